"""Real standalone clusters of Spark, a master and two workers: as processes, or as containers.

They authenticate. They listen on the loopback or in a network of their own, and the port at which anybody
could submit a job is off.
"""

import os
import secrets
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from stack.wait import wait_until
from tests.e2e.stacks import docker

_MASTER, _WORKER = (f"org.apache.spark.deploy.{name}" for name in ("master.Master", "worker.Worker"))
_STARTS_WITHIN = 120  # seconds
_SAID = "Starting Spark master at "

Start = Callable[..., "Machine"]
"""Starts a part of a cluster by its name and its arguments."""


@dataclass(frozen=True)
class Machine:
    """What runs a part of a cluster: its process, as this machine sees it, and how its log is read."""

    pid: int
    log: Callable[[], str]

    def processes(self, words: str) -> list[int]:
        """Return the ids of the processes below it whose command line has these words."""
        return [pid for pid in descendants(self.pid) if words in command_line(pid)]

    @property
    def executors(self) -> list[int]:
        return self.processes("CoarseGrainedExecutorBackend")

    @property
    def scoring(self) -> list[int]:
        """Return the processes that score: those that the daemon of an executor has forked."""
        daemons = self.processes("pyspark.daemon")
        return [child for daemon in daemons for child in children(daemon)]


@dataclass
class SparkCluster:
    """A cluster: its address, its users' settings and secret, its executors' Python, its machines."""

    master: str
    properties: Path
    secret: str
    python: str
    head: Machine
    workers: list[Machine] = field(default_factory=list)
    start_worker: Callable[[], Machine] = field(kw_only=True)

    def options(self) -> list[str]:
        return ["--master", self.master, "--properties", str(self.properties)]

    def add_worker(self) -> None:
        """Start one more worker, and wait until the master knows it."""
        before = self.head.log().count("Registering worker")
        self.workers.append(self.start_worker())

        def missing() -> str | None:
            return None if self.head.log().count("Registering worker") > before else self.head.log()

        wait_until(missing, timeout=_STARTS_WITHIN, interval=0.2)

    def kill_worker(self) -> None:
        """Kill the daemon of a worker."""
        os.kill(self.workers.pop(0).pid, signal.SIGKILL)

    def is_idle(self) -> bool:
        """Whether no executor is left of any application."""
        return not any(worker.executors or worker.processes("pyspark") for worker in self.workers)


def children(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@contextmanager
def cluster_of_processes(spark: Path, python: str, directory: Path) -> Iterator[SparkCluster]:
    """Run the Spark in a directory as a master and two workers of one core.

    Their own Python has no packages, so that only what is shipped counts.
    """
    started: list[subprocess.Popen[bytes]] = []
    bare = directory / "bare"
    subprocess.run([python, "-m", "venv", "--without-pip", bare], check=True)
    searched = os.pathsep.join((str(bare / "bin"), os.environ["PATH"]))
    environment = {"SPARK_HOME": str(spark), "SPARK_LOCAL_IP": "127.0.0.1", "PATH": searched}

    def start(settings: Path, kind: str, *arguments: str) -> Machine:
        log = directory / f"{len(started)}.log"
        options = ("--host", "127.0.0.1", "--webui-port", "0", "--properties-file", str(settings))
        own = ("--work-dir", str(directory / f"{len(started)}")) if kind == _WORKER else ()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [spark / "bin" / "spark-class", kind, *options, *own, *arguments],
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started.append(process)
        return Machine(process.pid, log.read_text)

    try:
        yield _cluster(start, python, directory)
    finally:
        for process in started:
            for pid in (process.pid, *descendants(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


@contextmanager
def cluster_of_containers(image: str, shared: Path, directory: Path) -> Iterator[SparkCluster]:
    """Run an image as a master and two workers of one core, which see one directory of this machine."""
    network, names = f"test-{uuid.uuid4().hex[:8]}", list[str]()
    docker("network", "create", network)

    def start(settings: Path, kind: str, *arguments: str) -> Machine:
        name = f"{network}-{len(names)}"
        names.append(name)
        mounts = (f"--volume={shared}:{shared}", f"--volume={settings}:/cluster.conf:ro")
        # The host's name has an address only once the container runs.
        program = f'exec spark-class {kind} --host "$(hostname -i)" --properties-file /cluster.conf "$@"'
        # Root, so that it may write into a directory of the test's user.
        options = ("--detach", f"--network={network}", f"--name={name}", "--user=0:0", "--workdir=/tmp")
        docker("run", *options, *mounts, "--entrypoint=sh", image, "-c", program, "sh", *arguments)
        pid = int(docker("inspect", "--format={{.State.Pid}}", name))

        def log() -> str:
            shown = subprocess.run(["docker", "logs", name], capture_output=True, text=True)
            return shown.stdout + shown.stderr

        return Machine(pid, log)

    try:
        yield _cluster(start, "python3", directory)
    finally:
        docker("rm", "--force", "--volumes", *names)
        docker("network", "rm", network)


def _cluster(start: Start, python: str, directory: Path) -> SparkCluster:
    secret = secrets.token_hex(16)
    users = (
        f"spark.authenticate true\nspark.authenticate.secret {secret}\nspark.network.crypto.enabled true\n"
        "spark.executorEnv.ON_EXECUTOR yes\n"
    )
    own, properties = directory / "cluster.conf", directory / "user.conf"
    for file, text in ((own, f"{users}spark.master.rest.enabled false\n"), (properties, users)):
        file.write_text(text)
        file.chmod(0o600)
    head = start(own, _MASTER, "--port", "0")
    wait_until(lambda: None if _SAID in head.log() else head.log(), timeout=_STARTS_WITHIN, interval=0.2)
    master = head.log().partition(_SAID)[2].split()[0]

    def start_worker() -> Machine:
        return start(own, _WORKER, "--cores", "1", "--memory", "1g", master)

    cluster = SparkCluster(master, properties, secret, python, head, start_worker=start_worker)
    for _ in range(2):
        cluster.add_worker()
    return cluster

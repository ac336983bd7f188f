"""Real standalone clusters of Spark, a master and two workers: as processes, or as containers.

They authenticate. They listen on the loopback or in a network of their own, and the port at which anybody
could submit a job is off.
"""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stack.wait import wait_until

_MASTER, _WORKER = (f"org.apache.spark.deploy.{name}" for name in ("master.Master", "worker.Worker"))
_STARTS_WITHIN = 60  # seconds


@dataclass(frozen=True)
class Machine:
    """What runs a part of a cluster: a process that the test can kill, and its log."""

    pid: int
    log: Path

    def processes(self, words: str) -> list[int]:
        """Return the ids of the processes below it whose command line has these words."""
        return [pid for pid in descendants(self.pid) if words in command_line(pid)]

    @property
    def executors(self) -> list[int]:
        return self.processes("CoarseGrainedExecutorBackend")

    @property
    def python_workers(self) -> list[int]:
        """Return the processes that score: each is a child of the daemon that forks them."""
        daemons = self.processes("pyspark.daemon")
        return [pid for pid in daemons if children(pid) == []] if len(daemons) > 1 else []


@dataclass(frozen=True)
class SparkCluster:
    """A cluster: its address, the file with the settings that its users need, and its machines."""

    master: str
    properties: Path
    secret: str
    head: Machine
    workers: list[Machine]

    def options(self) -> list[str]:
        return ["--master", self.master, "--properties", str(self.properties)]


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def write_settings(directory: Path, secret: str) -> tuple[Path, Path]:
    """Write the settings of the cluster's own parts, and those of its users."""
    users = (
        f"spark.authenticate true\nspark.authenticate.secret {secret}\nspark.network.crypto.enabled true\n"
    )
    files = directory / "cluster.conf", directory / "user.conf"
    for file, text in zip(files, (f"{users}spark.master.rest.enabled false\n", users), strict=True):
        file.write_text(text)
        file.chmod(0o600)
    return files


@contextmanager
def cluster_of_processes(spark: Path, directory: Path) -> Iterator[SparkCluster]:
    """Run the Spark in a directory as a master and two workers of one core."""
    secret = secrets.token_hex(16)
    own, users = write_settings(directory, secret)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> Machine:
        log = directory / f"{name}.log"
        options = ("--host", "127.0.0.1", "--webui-port", "0", "--properties-file", str(own))
        environment = {"SPARK_HOME": str(spark), "SPARK_LOCAL_IP": "127.0.0.1", "PATH": os.environ["PATH"]}
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [spark / "bin" / "spark-class", *arguments, *options],
                    env=environment,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return Machine(started[-1].pid, log)

    def worker(name: str) -> Machine:
        size = ("--cores", "1", "--memory", "1g", "--work-dir", str(directory / name))
        return start(name, _WORKER, master, *size)

    try:
        head = start("master", _MASTER, "--port", "0")
        master = found_master(head.log)
        workers = [worker(f"worker-{number}") for number in range(2)]
        wait_for_workers(head.log, 2)
        yield SparkCluster(master, users, secret, head, workers)
    finally:
        for process in started:
            for pid in (process.pid, *descendants(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def found_master(log: Path) -> str:
    """Wait until a master says its address; return that."""
    said = "Starting Spark master at "
    wait_until(lambda: None if said in log.read_text() else log.read_text(), timeout=_STARTS_WITHIN)
    return log.read_text().partition(said)[2].split()[0]


def wait_for_workers(log: Path, count: int) -> None:
    def missing() -> str | None:
        return None if log.read_text().count("Registering worker") >= count else log.read_text()

    wait_until(missing, timeout=_STARTS_WITHIN)

"""What runs beside a command that scores: a model server, or a Spark cluster, both on this machine only."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.native_spark import check_java, prepare
from stack.modes.processes import Process
from stack.wait import not_healthy, wait_until
from tests.bench.meter import Service
from tests.bench.servers import OURS, THREADS, WORKERS
from tests.bench.servers import Place as ServerPlace

_READY_WITHIN = 180  # seconds


@dataclass(frozen=True)
class Place:
    """What a measurement is given: ``spark`` is pyspark's directory, ``port`` is free for a service."""

    tracking_uri: str
    model_uri: str
    model: Path
    spark: Path
    scratch: Path
    port: int

    @property
    def master(self) -> str:
        """The address of the cluster."""
        return f"spark://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """The variables for Spark by hand: where it is, the workers' Python, a local address."""
        return {
            "PYTHONPATH": str(self.spark.parent),
            "SPARK_HOME": str(self.spark),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }


def server(place: Place) -> Service:
    """Return this project's model server, with two workers."""
    of_server = ServerPlace(place.model, Path(sys.executable).parent, place.port, 0, place.scratch)

    @contextmanager
    def serving(environment: Mapping[str, str]) -> Iterator[None]:
        settings = {**environment, **THREADS, **OURS.settings(of_server)}
        process = Process(place.scratch, "server")
        with _running(process, OURS.command(of_server), settings):
            _wait(process, lambda: not_healthy(f"http://127.0.0.1:{place.port}"))
            yield

    return serving


def cluster(place: Place) -> Service:
    """Return a standalone master and two workers of one core, as processes."""
    spark_class = [str(place.spark / "bin" / "spark-class")]
    local = ["--host", "127.0.0.1", "--webui-port", "0"]
    name = "org.apache.spark.deploy"

    @contextmanager
    def started(environment: Mapping[str, str]) -> Iterator[None]:
        settings = {**environment, **place.settings, "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false"}
        with ExitStack() as stops:
            master = Process(place.scratch, "master")
            command = [*spark_class, f"{name}.master.Master", *local, "--port", str(place.port)]
            stops.enter_context(_running(master, command, settings))
            _wait(master, partial(_not_said, master, "I have been elected leader"))
            workers = [Process(place.scratch, f"worker-{number}") for number in range(WORKERS)]
            for worker in workers:
                work = ["--cores", "1", "--memory", "2g", "--work-dir", str(place.scratch / worker.name)]
                command = [*spark_class, f"{name}.worker.Worker", *local, *work, place.master]
                stops.enter_context(_running(worker, command, settings))
            for worker in workers:
                _wait(worker, partial(_not_said, worker, "Successfully registered"))
            yield

    return started


@contextmanager
def _running(process: Process, command: list[str], settings: Mapping[str, str]) -> Iterator[None]:
    process.start(command, settings, CHECKOUT)
    try:
        yield
    finally:
        process.stop()


def _not_said(process: Process, words: str) -> str | None:
    return None if words in process.log.read_text(errors="replace") else f"it has not said: {words}"


def _wait(process: Process, ready: Callable[[], str | None]) -> None:
    try:
        wait_until(ready, timeout=_READY_WITHIN, alive=process.is_running)
    except StackError as error:
        raise StackError(f"{process.name}: {error}\n{process.log_tail()}") from error


def spark_here(home: Path) -> Path:
    """Return pyspark's directory, below ``home``, where it is installed if it is not there.

    Raises:
        StackError: if it can't be installed, or there is no Java for it.

    """
    check_java()
    return prepare(home) / "pyspark"


def spark_versions() -> str:
    """Name the versions of pyspark and Java."""
    lock = (CHECKOUT / "lock" / "spark.txt").read_text()
    (pyspark,) = re.findall(r"^pyspark==(\S+)", lock, re.MULTILINE)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    return f"pyspark {pyspark}, {java.splitlines()[0]}"

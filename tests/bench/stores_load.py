"""What the tracking server is asked, and its database is filled with, while it is measured on a store."""

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect, text

from stack.errors import StackError

CLIENTS = 16
METRICS = 100
REQUESTS = 3
"""That a run takes."""
_SHOWN = 100  # runs of a search's answer, as the MLflow UI asks for
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

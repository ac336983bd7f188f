"""What was measured, and what can be said from it: ratios between servers, and whether a target is met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.load import Load
from tests.bench.measure import verdict, wanted


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    clients: int
    rows: int

    def __str__(self) -> str:
        """Name it as the tables do."""
        return f"{_count(self.clients, 'client')}, {_count(self.rows, 'row')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


CELLS = tuple(Cell(clients, rows) for clients in (1, 16) for rows in (1, 3, 100, 10_000))


@dataclass(frozen=True)
class Footprint:
    """One start of a server: seconds to its first right answer; MB of memory when idle, and after load."""

    start: float
    idle: float
    loaded: float


@dataclass
class Run:
    """What one round over all servers found, by the names of the servers."""

    loads: dict[tuple[str, Cell], Load] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)


Measure = Callable[[Run, str], float]
"""Picks one number of a server from a run."""


def p50(cell: Cell) -> Measure:
    """Median latency [ms]."""
    return lambda run, server: run.loads[server, cell].p50


def p99(cell: Cell) -> Measure:
    """The latency that one request of a hundred exceeds [ms]."""
    return lambda run, server: run.loads[server, cell].p99


def requests_per_second(cell: Cell) -> Measure:
    """Requests answered per second."""
    return lambda run, server: run.loads[server, cell].rate


def rows_per_second(cell: Cell) -> Measure:
    """Rows answered per second."""
    return lambda run, server: run.loads[server, cell].rate * cell.rows


def values(runs: list[Run], measure: Measure, server: str) -> list[float]:
    """Return a server's number of each run."""
    return [measure(run, server) for run in runs]


def ratios(runs: list[Run], measure: Measure, server: str, other: str) -> list[float]:
    """Return how many times the ``other``'s number the server's is, for each run by itself.

    Both were measured within seconds of each other, so what slowed the machine slowed both.
    """
    return [measure(run, server) / measure(run, other) for run in runs]


@dataclass(frozen=True)
class Target:
    """A bound for a ratio to another server: at most ``bound``, or at least."""

    what: str
    other: str
    bound: float
    measure: Measure
    at_least: bool = False

    @property
    def wanted(self) -> str:
        """The bound, in words."""
        return wanted(self.bound, at_least=self.at_least)

    def verdict(self, found: list[float]) -> str:
        """Say whether the median of the ratios meets the bound; if not, by how much it is missed."""
        return verdict(found, self.bound, at_least=self.at_least)


def targets(stock: str, workers: dict[str, int]) -> Iterator[Target]:
    """Yield the targets of this project's server; ``stock`` is the one that stands for MLflow's image."""
    for rows in (1, 3, 100):
        one, many = Cell(1, rows), Cell(16, rows)
        yield Target(f"p50, {one}", "fastapi", 0.8, p50(one))
        yield Target(f"p50, {one}", stock, 0.15, p50(one))
        yield Target(f"requests/s, {many}", "fastapi", 1, requests_per_second(many), at_least=True)
        yield Target(f"requests/s, {many}", stock, 8, requests_per_second(many), at_least=True)
    yield Target(f"p50, {Cell(1, 3)}", "fastapi-in-loop", 1, p50(Cell(1, 3)))
    for clients in (1, 16):
        large = Cell(clients, 10_000)
        yield Target(f"rows/s, {large}", "fastapi", 2, rows_per_second(large), at_least=True)
        yield Target(f"rows/s, {large}", stock, 3, rows_per_second(large), at_least=True)
    yield Target("memory after load", stock, 1, lambda run, server: run.footprints[server].loaded)
    yield Target("idle memory", stock, 1, lambda run, server: run.footprints[server].idle)
    yield Target(
        "idle memory per worker",
        "mlflow",
        1,
        lambda run, server: run.footprints[server].idle / workers[server],
    )
    yield Target("start-up", "mlflow", 1, lambda run, server: run.footprints[server].start)

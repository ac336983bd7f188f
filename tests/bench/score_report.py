"""What scoring has taken, as Markdown: a table of the ways, ratios, targets."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.bench.measure import spread, table, verdict, wanted
from tests.bench.meter import Used
from tests.bench.score_ways import DOCUMENTED, HTTP, ONE, PANDAS, SHIPPED, SPARK, TWO, UDF, WAYS, Way


@dataclass(frozen=True)
class Measured:
    """One way in one run: a ``small`` table, and then a large one."""

    small: Used
    large: Used

    def scaled(self, rows: int) -> "Measured":
        """Return what a larger table would have taken, by what each row more has taken."""
        times = (rows - self.small.rows) / (self.large.rows - self.small.rows)
        seconds = self.small.seconds + times * (self.large.seconds - self.small.seconds)
        cpu = self.small.cpu + times * (self.large.cpu - self.small.cpu)
        return Measured(self.small, Used(rows, seconds, cpu, self.large.memory))


@dataclass
class Run:
    """What was found in one run, by way."""

    found: dict[Way, Measured] = field(default_factory=dict)


Figure = Callable[[Measured], float]


def rows_per_second(measured: Measured) -> float:
    """Rows per second of the whole command."""
    return measured.large.rows / measured.large.seconds


def rows_per_cpu(measured: Measured) -> float:
    """Rows per CPU second of all processes."""
    return measured.large.rows / measured.large.cpu


def rate(measured: Measured) -> float:
    """Rows per second without what the small table has taken, which is the start."""
    small, large = measured.small, measured.large
    seconds = large.seconds - small.seconds
    return (large.rows - small.rows) / seconds if seconds > 0 else math.inf


def memory(measured: Measured) -> float:
    """Return the most memory of all processes."""
    return measured.large.memory


FIGURES: Mapping[str, Figure] = {
    "seconds": lambda measured: measured.large.seconds,
    "rows/s": rows_per_second,
    "rows/s after the start": rate,
    "CPU seconds": lambda measured: measured.large.cpu,
    "rows per CPU second": rows_per_cpu,
    "memory [MB]": memory,
    "start [s]": lambda measured: measured.small.seconds,
    "start, CPU seconds": lambda measured: measured.small.cpu,
}


def ratios(runs: list[Run], figure: Figure, way: Way, other: Way) -> list[float]:
    """Return how many times the ``other``'s number the way's is, for each run by itself."""
    both = [run.found for run in runs if {way, other} <= run.found.keys()]
    return [figure(found[way]) / figure(found[other]) for found in both]


@dataclass(frozen=True)
class Target:
    """A bound for the ratio of a number of one way to that of another."""

    what: str
    figure: Figure
    way: Way
    other: Way
    bound: float
    at_least: bool = True


TARGETS = (
    *(Target("rows per CPU second", rows_per_cpu, way, PANDAS, 0.9) for way in (ONE, TWO)),
    *(Target("memory", memory, way, PANDAS, 1 / 3, at_least=False) for way in (ONE, TWO)),
    *(Target("rows/s", rows_per_second, TWO, way, 5) for way in (HTTP, DOCUMENTED)),
    *(Target("rows/s after the start", rate, TWO, way, 5) for way in (HTTP, DOCUMENTED)),
    *(Target("rows per CPU second", rows_per_cpu, way, UDF, 1.3) for way in (SPARK, SHIPPED)),
)


def ways(runs: list[Run]) -> Iterator[str]:
    """Yield the table of all ways that were measured."""
    lines = []
    for way in WAYS:
        found = [run.found[way] for run in runs if way in run.found]
        if found:
            figures = (spread([figure(each) for each in found]) for figure in FIGURES.values())
            lines.append([way.title, *figures])
    yield from table(["", *FIGURES], lines)


def targets(runs: list[Run]) -> Iterator[str]:
    """Yield each target that was measured, and whether it is met."""
    lines = []
    for target in TARGETS:
        if found := ratios(runs, target.figure, target.way, target.other):
            judged = verdict(found, target.bound, at_least=target.at_least)
            bound = wanted(round(target.bound, 3), at_least=target.at_least)
            lines.append([target.what, target.way.title, target.other.title, bound, spread(found), judged])
    if lines:
        yield "In the same run, one way : the other\n"
        yield from table(["target", "way", "other", "wanted", "found", ""], lines)


def price_of_spark(runs: list[Run]) -> Iterator[str]:
    """Yield how many times the CPU seconds of one worker each way on Spark takes."""
    found = {way: ratios(runs, FIGURES["CPU seconds"], way, ONE) for way in (UDF, SPARK, SHIPPED)}
    lines = [[way.title, spread(each)] for way, each in found.items() if each]
    if lines:
        yield from table(["way", f"CPU seconds : those of {ONE.title}"], lines)


def report(runs: list[Run]) -> Iterator[str]:
    """Yield all that can be said, line by line."""
    yield from ways(runs)
    yield from targets(runs)
    yield from price_of_spark(runs)

"""What the starts have taken, as Markdown: a table for each situation, ratios, targets."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.measure import spread, table, verdict, wanted

DOCKER, NATIVE, TUTORIAL = "Docker", "native", "the tutorial's way"
COLUMNS = (DOCKER, NATIVE, TUTORIAL)
FIRST, SETTLED, BAKE = "first right answer", "command ended, right answer", "the bake alone"
SITUATIONS = {
    "cold": "Cold, nothing built or installed: from the command [s]",
    "warm": "Warm, images built or packages installed, no data: from the command [s]",
    "again": "Again, `./scripts/up` where nothing has changed: from the command [s]",
    "rebake": "Rebake, `./scripts/train --force`, and then `./scripts/deploy`: from the command [s]",
    "retrain": "Retrain, a parameter of the model changed, `./scripts/up`: from the command [s]",
    "rollback": "`./scripts/rollback`: from the command [s]",
    "idle": "Idle, after a warm start",
}
# In which order they stand in a table.
ROWS = (
    "train --force",
    "images there",
    "tracking healthy",
    "trained",
    "baking begins",
    "baked",
    "replayed",
    FIRST,
    "served",
    SETTLED,
    BAKE,
    "longest time without an answer",
    "memory of all [MB]",
    "memory of tracking [MB]",
    "all images [MB]",
    "one more model version [MB]",
)


@dataclass
class Run:
    """What was found in one run: numbers by situation, row and column."""

    found: dict[tuple[str, str, str], float] = field(default_factory=dict)


def values(runs: list[Run], situation: str, row: str, column: str) -> list[float]:
    """Return a number of each run that has it."""
    key = (situation, row, column)
    return [run.found[key] for run in runs if key in run.found]


def ratios(runs: list[Run], situation: str, column: str) -> list[float]:
    """Return how many times as long the tutorial's way took to its first right answer, each run by itself."""
    ours, theirs = (situation, FIRST, column), (situation, FIRST, TUTORIAL)
    return [run.found[theirs] / run.found[ours] for run in runs if {ours, theirs} <= run.found.keys()]


@dataclass(frozen=True)
class Target:
    """A bound for one number or, without a row, for how many times faster it is than the tutorial's way."""

    what: str
    situation: str
    column: str
    bound: float
    row: str = ""

    def found(self, runs: list[Run]) -> list[float]:
        """Return what was measured of it."""
        if self.row:
            return values(runs, self.situation, self.row, self.column)
        return ratios(runs, self.situation, self.column)


TARGETS = (
    Target("warm, first right answer [s]", "warm", DOCKER, 12, FIRST),
    Target("warm, first right answer [s]", "warm", NATIVE, 10, FIRST),
    Target("again [s]", "again", DOCKER, 6, SETTLED),
    Target("again [s]", "again", NATIVE, 6, SETTLED),
    Target("rebake, the bake alone [s]", "rebake", DOCKER, 3, BAKE),
    Target("rebake, the bake alone [s]", "rebake", NATIVE, 3, BAKE),
    Target("warm, times faster than the tutorial's way", "warm", DOCKER, 4),
    Target("retrain, times faster than the tutorial's way", "retrain", DOCKER, 8),
)


def situation_table(runs: list[Run], situation: str) -> Iterator[str]:
    """Yield the table of one situation; nothing, if it was not measured."""
    measured = {key[1:] for run in runs for key in run.found if key[0] == situation}
    columns = [column for column in COLUMNS if column in {column for _, column in measured}]
    rows = [row for row in ROWS if row in {row for row, _ in measured}]
    lines = []
    for row in rows:
        each = [values(runs, situation, row, column) for column in columns]
        lines.append([row, *(spread(found) if found else "-" for found in each)])
    if lines:
        yield f"{SITUATIONS[situation]}\n"
        yield from table(["", *columns], lines)


def ratio_table(runs: list[Run]) -> Iterator[str]:
    """Yield how many times faster than the tutorial's way the stack is."""
    lines = []
    for situation in ("cold", "warm", "retrain"):
        each = [ratios(runs, situation, column) for column in (DOCKER, NATIVE)]
        if any(each):
            lines.append([situation, *(spread(found) if found else "-" for found in each)])
    if lines:
        yield "To the first right answer, the tutorial's way : this stack, each run by itself\n"
        yield from table(["", DOCKER, NATIVE], lines)


def targets(runs: list[Run]) -> Iterator[str]:
    """Yield each target that was measured, and whether it is met."""
    lines = []
    for target in TARGETS:
        if found := target.found(runs):
            at_least = not target.row
            judged = verdict(found, target.bound, at_least=at_least)
            bound = wanted(target.bound, at_least=at_least)
            lines.append([target.what, target.column, bound, spread(found), judged])
    if lines:
        yield from table(["target", "mode", "wanted", "found", ""], lines)


def report(runs: list[Run]) -> Iterator[str]:
    """Yield all that can be said, line by line."""
    for situation in SITUATIONS:
        yield from situation_table(runs, situation)
    yield from ratio_table(runs)
    yield from targets(runs)

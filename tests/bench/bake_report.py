"""What bakes have taken, as Markdown: a table for the first and for the second one, ratios, the target."""

from collections.abc import Iterator

from tests.bench.measure import spread, table, verdict, wanted
from tests.bench.startup_report import DOCKER, NATIVE, Run, values

STOCK = "build-docker"
COLUMNS = (DOCKER, NATIVE, STOCK)
FIRST, RETRAIN = "first", "retrain"
SITUATIONS = {
    FIRST: "The first version with these requirements",
    RETRAIN: "A retrain: one more version with the same requirements",
}
BAKED, SERVED, ADDED = "baked [s]", "first right answer [s]", "added to the disk [MB]"
ROWS = (BAKED, SERVED, ADDED)
# How many times faster than by build-docker a retrain is to be baked, at least.
FASTER = 4


def ratios(runs: list[Run], situation: str, row: str) -> list[float]:
    """Return how many times as long build-docker takes as this stack with Docker, each run by itself."""
    ours, theirs = (situation, row, DOCKER), (situation, row, STOCK)
    return [run.found[theirs] / run.found[ours] for run in runs if {ours, theirs} <= run.found.keys()]


def report(runs: list[Run]) -> Iterator[str]:
    """Yield all that can be said, line by line."""
    for situation, title in SITUATIONS.items():
        lines = []
        for row in ROWS:
            each = [values(runs, situation, row, column) for column in COLUMNS]
            compared = ratios(runs, situation, row) if row != ADDED else []
            lines.append([row, *(spread(found) if found else "-" for found in (*each, compared))])
        yield f"{title}\n"
        yield from table(["", *COLUMNS, f"{STOCK} : {DOCKER}"], lines)
    if found := ratios(runs, RETRAIN, BAKED):
        judged = verdict(found, FASTER, at_least=True)
        heads = ["target", "wanted", "found", ""]
        line = ["retrain, times faster baked", wanted(FASTER, at_least=True), spread(found), judged]
        yield from table(heads, [line])

"""What the tracking server takes on each store, as a Markdown table, with ratios."""

from collections.abc import Iterator

from tests.bench.measure import spread, table

SQLITE, POSTGRES = "SQLite", "PostgreSQL"
COLUMNS = (SQLITE, POSTGRES)
# What is measured, as the table has it, in its order.
ROWS = {
    "first start": "start on an empty store, until /health [s]",
    "start": "start after that [s]",
    "server, at rest": "memory of the server at rest [MB]",
    "database, at rest": "... of PostgreSQL",
    "server, after the load": "memory of the server after the load [MB]",
    "database, after the load": "... of PostgreSQL",
    "runs": "runs/s",
    "requests": "requests/s",
    "log_metric, p50": "log_metric by one client, p50 [ms]",
    "log_metric, p99": "... p99",
    "search": "search with a filter and an order, p50 [ms]",
    "backup": "backup [s]",
    "archive": "... the archive [MB]",
    "restore": "restore on an empty store of this kind [s]",
}

Run = dict[tuple[str, str], float]
"""What was found in one run, by store and row."""


def report(runs: list[Run]) -> Iterator[str]:
    """Yield the table, line by line; each ratio is of one run."""
    lines = []
    for row, title in ROWS.items():
        each = [[run[store, row] for run in runs if (store, row) in run] for store in COLUMNS]
        of_both = [run for run in runs if all((store, row) in run for store in COLUMNS)]
        ratios = [run[POSTGRES, row] / run[SQLITE, row] for run in of_both]
        lines.append([title, *(spread(found) if found else "" for found in (*each, ratios))])
    yield from table(["", *COLUMNS, f"{POSTGRES} : {SQLITE}"], lines)

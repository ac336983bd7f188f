"""The results as Markdown: the machine, tables of medians and ranges, ratios, targets."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from tests.bench import measure
from tests.bench.measure import spread, table
from tests.bench.prepare import base_image
from tests.bench.results import (
    CELLS,
    Cell,
    Measure,
    Run,
    p50,
    p99,
    ratios,
    requests_per_second,
    rows_per_second,
    targets,
    values,
)
from tests.bench.servers import BAKED, IMAGE, MLFLOW, OURS, PEERS, Peer

COLUMNS = {
    "p50 [ms]": p50,
    "p99 [ms]": p99,
    "requests/s": requests_per_second,
    "rows/s": rows_per_second,
}
# What the table of ratios compares.
HEADLINES: Mapping[str, Measure] = {
    "p50, 1 client, 3 rows": p50(Cell(1, 3)),
    "requests/s, 16 clients, 3 rows": requests_per_second(Cell(16, 3)),
    "rows/s, 1 client, 10,000 rows": rows_per_second(Cell(1, 10_000)),
    "idle memory": lambda run, server: run.footprints[server].idle,
    "start-up": lambda run, server: run.footprints[server].start,
}


def loads(runs: list[Run], peers: list[Peer]) -> Iterator[str]:
    """Yield a table for each cell."""
    for cell in CELLS:
        yield f"{cell}:\n"
        lines = [
            [peer.title, *(spread(values(runs, column(cell), peer.name)) for column in COLUMNS.values())]
            for peer in peers
        ]
        yield from table(["server", *COLUMNS], lines)


def footprints(runs: list[Run], peers: list[Peer]) -> Iterator[str]:
    """Yield the table of start-up and memory."""
    lines = []
    for peer in peers:
        found = [run.footprints[peer.name] for run in runs]
        columns = (
            [each.start for each in found],
            [each.idle for each in found],
            [each.idle / peer.workers for each in found],
            [each.loaded for each in found],
        )
        lines.append([peer.title, str(peer.workers), *(spread(column) for column in columns)])
    heads = ["start-up [s]", "idle memory [MB]", "a worker [MB]", "memory after load [MB]"]
    yield from table(["server", "workers", *heads], lines)


def counterpart(peer: Peer, peers: list[Peer]) -> Peer:
    """Return what of ours is compared with ``peer``: an image with an image, a process with a process."""
    return BAKED if peer == IMAGE and BAKED in peers else OURS


def comparison(runs: list[Run], peers: list[Peer]) -> Iterator[str]:
    """Yield this server's ratios to each other one."""
    yield f"{OURS.title} : the other server, of each run by itself:\n"
    lines = []
    for peer in peers:
        if peer not in (OURS, BAKED):
            ours = counterpart(peer, peers).name
            lines.append(
                [peer.title, *(spread(ratios(runs, each, ours, peer.name)) for each in HEADLINES.values())]
            )
    yield from table(["server", *HEADLINES], lines)


def verdicts(runs: list[Run], peers: list[Peer]) -> Iterator[str]:
    """Yield the targets, each with the ratio found and whether it meets it, as far as it was measured."""
    by_name = {peer.name: peer for peer in peers}
    stock = IMAGE if IMAGE in peers else MLFLOW
    lines = []
    for target in targets(stock.name, {peer.name: peer.workers for peer in peers}):
        if target.other in by_name:
            other = by_name[target.other]
            found = ratios(runs, target.measure, counterpart(other, peers).name, other.name)
            title = other.title
            lines.append([target.what, title, target.wanted, spread(found), target.verdict(found)])
    yield from table(["target", "as a ratio to", "wanted", "found", ""], lines)


def machine(peers: list[Peer], load: float) -> Iterator[str]:
    """Yield what the numbers were found on, and with which versions; ``load`` is the average from before."""
    yield f"{measure.machine(load)}\n"
    ours = ("mlflow", "scikit-learn", "numpy", "uvicorn")
    yield f"- from the lock: {', '.join(f'{name} {version(name)}' for name in ours)}"
    for peer in peers:
        if peer.environment:
            pinned = (PEERS / peer.environment / "requirements.txt").read_text().splitlines()
            own = [
                line.replace("==", " ") for line in pinned if line.startswith((peer.environment, "uvicorn=="))
            ]
            yield f"- {peer.title}: {', '.join(own)}"
        elif peer == IMAGE:
            yield f"- {peer.title}: on {base_image()}"


def report(runs: list[Run], peers: list[Peer]) -> Iterator[str]:
    """Yield all that can be said, line by line."""
    yield from loads(runs, peers)
    yield from footprints(runs, peers)
    if OURS in peers:
        yield from comparison(runs, peers)
        yield from verdicts(runs, peers)

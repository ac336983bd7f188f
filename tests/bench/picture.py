"""The picture for docs/measured.md: three measures, a bar for each server, with the range of the runs."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.measure import shown
from tests.bench.results import Cell, Measure, Run, p50, requests_per_second, rows_per_second, values
from tests.bench.servers import BAKED, OURS, Peer

PANELS: tuple[tuple[str, Measure], ...] = (
    ("one client, 3 rows\nmedian latency [ms], less is better", p50(Cell(1, 3))),
    ("16 clients, 3 rows\nrequests per second, more is better", requests_per_second(Cell(16, 3))),
    ("one client, 10,000 rows\nrows per second, more is better", rows_per_second(Cell(1, 10_000))),
)
OWN_COLOUR, OTHER_COLOUR, INK = "#0072b2", "#b8bfc6", "#24292f"


def draw(runs: list[Run], peers: list[Peer], file: Path) -> None:
    """Write the picture to ``file``; its name says the format."""
    figure = Figure(figsize=(11, 0.42 * len(peers) + 1.1), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (title, measure) in zip(panels, PANELS, strict=True):
        _panel(axes, title, {peer: values(runs, measure, peer.name) for peer in peers})
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=160, facecolor="white")


def _panel(axes: Axes, title: str, found: dict[Peer, list[float]]) -> None:
    middles = [statistics.median(each) for each in found.values()]
    ranges = [
        [middle - min(each) for middle, each in zip(middles, found.values(), strict=True)],
        [max(each) - middle for middle, each in zip(middles, found.values(), strict=True)],
    ]
    colours = [OWN_COLOUR if peer in (OURS, BAKED) else OTHER_COLOUR for peer in found]
    places = range(len(found))
    axes.barh(places, middles, color=colours, height=0.7)
    axes.errorbar(middles, places, xerr=ranges, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    for place, middle, each in zip(places, middles, found.values(), strict=True):
        axes.annotate(
            f" {shown(middle)}",
            (max(each), place),
            va="center",
            color=INK,
            xytext=(3, 0),
            textcoords="offset points",
        )
    axes.set_yticks(places, [peer.title for peer in found], color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, max(max(each) for each in found.values()) * 1.25)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(title, fontsize=10, color=INK, loc="left")

"""When a start has come how far: the phases, by the times of log lines and of what the engine notes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stack.modes.engine import moment

# The first line that matches says that the phase has ended.
_MARKS = {
    "trained": r"^\s*(registered as version \d+ of|nothing has changed since version) ",
    "baking begins": r"^\s*baking version \d+ of ",
    "baked": r"^\s*baked in [0-9.]+ s",
    "replayed": r"^\s*replayed in [0-9.]+ s",
    "served": r"^\s*version \d+ of \S+ is served at ",
}


@dataclass(frozen=True)
class Line:
    """A line of a log or of what a command printed, and when it came, in seconds since the epoch."""

    at: float
    text: str


def stamped(log: str) -> list[Line]:
    """Read what `docker logs --timestamps` prints."""
    lines = []
    for line in log.splitlines():
        when, found, text = line.partition(" ")
        if found and re.match(r"\d{4}-\d\d-\d\dT", when):
            lines.append(Line(moment(when).timestamp(), text))
    return lines


def phases(since: float, lines: Iterable[Line]) -> dict[str, float]:
    """Return how many seconds after ``since`` each phase had ended, as far as the lines say."""
    in_order = sorted((line for line in lines if line.at >= since), key=lambda line: line.at)
    found = {}
    for phase, mark in _MARKS.items():
        first = next((line.at for line in in_order if re.match(mark, line.text)), None)
        if first is not None:
            found[phase] = first - since
    return found


def first_sign(containers: Iterable[Mapping[str, Any]], since: float) -> float | None:
    """Return how many seconds after ``since`` a container was first made or started; None if none was.

    Compose does that when all images are there.
    """
    noted = [
        moment(text).timestamp() - since
        for container in containers
        for text in (container["Created"], container["State"]["StartedAt"])
    ]
    return min((seconds for seconds in noted if seconds >= 0), default=None)

"""What clients saw while versions changed, as Markdown: the load, each kind of step, failures, targets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.measure import shown, spread, table, verdict, wanted
from tests.bench.startup_report import DOCKER, NATIVE
from tests.bench.switch_results import AWAY, KINDS, SWITCHES, Request, Soak

BEHIND = "Docker, gateway"
"""The name of the column of Docker behind the gateway."""
_OUTSIDE = "requests failed, but not in the pause of a switch"
_UP = "longest request, while a model server is up [ms]"
_AWAY = "longest request, while the model server is away [ms]"


@dataclass(frozen=True)
class Target:
    """A bound for one number of a mode."""

    what: str
    mode: str
    bound: float
    found: Callable[[Soak], float]
    at_least: bool = False

    def line(self, soak: Soak) -> list[str]:
        """Return the line of the table: what is wanted, what was found, and whether that will do."""
        found = self.found(soak)
        bound = "0" if self.bound == 0 else wanted(self.bound, at_least=self.at_least)
        return [self.what, self.mode, bound, number(found), self.verdict(found)]

    def verdict(self, found: float) -> str:
        """Say whether the bound is met; of 0, nothing is a part."""
        if self.bound == 0:
            return "met" if found == 0 else "missed"
        return verdict([found], self.bound, at_least=self.at_least)


def targets(requests: int, switches: int) -> Iterator[Target]:
    """Yield the targets of all modes, for a soak of at least so many requests and switches."""
    for mode in (NATIVE, DOCKER, BEHIND):
        yield Target("requests", mode, requests, lambda soak: len(soak.requests), at_least=True)
        yield Target("switches", mode, switches, lambda soak: soak.switches, at_least=True)
        yield Target("answers with wrong predictions", mode, 0, lambda soak: soak.wrong)
        if mode == DOCKER:
            yield Target(_OUTSIDE, mode, 0, lambda soak: len(soak.failed_outside))
            yield Target("longest pause at a switch [s]", mode, 3, lambda soak: soak.longest_pause / 1e3)
            continue
        yield Target("requests failed or wrong", mode, 0, lambda soak: len(soak.failed))
        if mode == NATIVE:
            yield Target("longest request [ms]", mode, 250, lambda soak: longest(soak.requests))
        else:
            yield Target(_UP, mode, 2000, lambda soak: longest(soak.besides(AWAY)))
            yield Target(_AWAY, mode, 12_000, lambda soak: longest(soak.during(AWAY)))


def number(value: float) -> str:
    """Show a number; one that counts something without decimals."""
    return f"{value:,.0f}" if float(value).is_integer() else shown(value)


def longest(requests: Iterable[Request]) -> float:
    """Return how long the longest request took [ms]; 0 if there is none."""
    return max((request.took for request in requests), default=0)


def load_table(soak: Soak) -> Iterator[str]:
    """Yield how long requests took while the version changed, and while it did not."""
    parts = {"while the version changes": soak.during(SWITCHES)}
    if away := soak.during(AWAY):
        parts["while the model server is away"] = away
    parts["in the other steps"] = soak.during([kind for kind in KINDS if kind not in (*SWITCHES, *AWAY)])
    parts |= {"between the steps": soak.on_their_way(None), "together": list(soak.requests)}
    heads = ["", "requests", "failed or wrong", "p50 [ms]", "p99 [ms]", "longest [ms]"]
    yield from table(heads, [[what, *_load(requests)] for what, requests in parts.items()])


def _load(requests: Sequence[Request]) -> list[str]:
    took = sorted(request.took for request in requests if not request.failure)
    at = [shown(took[int(len(took) * part)]) if took else "-" for part in (0.5, 0.99)]
    return [number(len(requests)), number(_failed(requests)), *at, shown(longest(requests))]


def _failed(requests: Iterable[Request]) -> int:
    return sum(bool(request.failure) for request in requests)


def step_table(soak: Soak) -> Iterator[str]:
    """Yield what was seen of each kind of step."""
    heads = [
        "step",
        "times",
        "it takes [s]",
        "requests",
        "failed or wrong",
        "pause [ms]",
        "longest request [ms]",
    ]
    lines = []
    for kind in KINDS:
        seen = [each for each in soak.seen if each.step.kind == kind]
        if not seen:
            continue
        requests = [request for each in seen for request in each.requests]
        took = spread([each.step.ended - each.step.began for each in seen])
        pause = spread([each.pause.length for each in seen])
        counts = [number(len(requests)), number(_failed(requests))]
        lines.append([kind, number(len(seen)), took, *counts, pause, shown(longest(requests))])
    yield from table(heads, lines)


def failure_table(soak: Soak) -> Iterator[str]:
    """Yield why requests failed, when, after how long, and in which step; nothing, if none did."""
    steps = {request: seen.step for seen in soak.seen for request in seen.requests if request.failure}
    outside = set(soak.failed_outside)
    found: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for request in soak.failed:
        step = steps.get(request)
        connection, in_pause = "new" if request.is_new else "kept", "no" if request in outside else "yes"
        what = (request.failure, connection, step.kind if step else "no step", in_pause)
        begun = request.begun - step.began if step else 0
        found.setdefault(what, []).append((begun, request.took))
    heads = [
        "failure",
        "connection",
        "step",
        "in the pause of a switch",
        "after the step's start [s]",
        "it took [ms]",
        "requests",
    ]
    lines = []
    for which, times in found.items():
        spreads = [spread([*each]) for each in zip(*times, strict=True)]
        lines.append([*which, *spreads, number(len(times))])
    if lines:
        yield from table(heads, lines)


def report(soaks: Mapping[str, Soak], requests: int, switches: int) -> Iterator[str]:
    """Yield all that can be said of the modes that were measured, line by line."""
    for mode, soak in soaks.items():
        seconds = soak.seconds()
        yield f"### {mode}\n"
        yield (
            f"{number(len(soak.requests))} requests in {seconds:.0f} s"
            f" ({len(soak.requests) / seconds if seconds else 0:.0f} a second), {soak.switches} switches."
            f" The clients themselves were held up for {shown(soak.late)} ms at most.\n"
        )
        yield from load_table(soak)
        yield "A pause is the longest time in a step without a right answer on a new connection.\n"
        yield from step_table(soak)
        yield from failure_table(soak)
    lines = [it.line(soaks[it.mode]) for it in targets(requests, switches) if it.mode in soaks]
    yield from table(["target", "mode", "wanted", "found", ""], lines)

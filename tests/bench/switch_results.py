"""What clients saw while versions changed: each request, each step, and the pause in it."""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

DEPLOY, PROMOTE, ROLLBACK = "deploy", "promote", "rollback"
SWITCHES = (DEPLOY, PROMOTE, ROLLBACK)
TRAIN, UP = "train --force", "up again"
FAILING_REPLAY = "deploy, and the replay fails"
FAILING_START = "deploy, and it does not start"
FAILING_WHERE_SERVED = "deploy, and it does not start where it is served"
# These take the model server away for some seconds. Behind the gateway, requests wait for it.
PLAIN_UP, KILL = "docker compose up", "docker kill, and up"
RESTART, CRASH = "docker restart", "the model server dies"
AWAY = (PLAIN_UP, KILL, RESTART, CRASH)
KINDS = (*SWITCHES, FAILING_REPLAY, FAILING_START, FAILING_WHERE_SERVED, TRAIN, UP, *AWAY)
WRONG = "wrong predictions"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: times of the monotonic clock [s], from before it connects to the whole answer.

    ``failure`` is empty if the answer was right, and else says why it was not, or why there was none.
    """

    begun: float
    ended: float
    is_new: bool
    """Whether it opened its connection."""
    failure: str = ""

    @property
    def took(self) -> float:
        """How long it took, in ms."""
        return (self.ended - self.begun) * 1e3


@dataclass(frozen=True)
class Step:
    """One command, from its start to its end."""

    kind: str
    began: float
    ended: float


@dataclass(frozen=True)
class Pause:
    """A time in which no new connection got a right answer.

    It lasts from when the last connection was opened that got one to the next right answer on another.
    """

    since: float
    until: float

    @property
    def length(self) -> float:
        """How long it was, in ms."""
        return (self.until - self.since) * 1e3

    def has(self, request: Request) -> bool:
        """Whether a request began in it: one that began before was cut off by a server which had it."""
        return self.since <= request.begun <= self.until


@dataclass(frozen=True)
class Seen:
    """What the clients saw of one step."""

    step: Step
    requests: list[Request]
    pause: Pause


def longest_pause(right: Iterable[Request], step: Step) -> Pause:
    """Return the longest pause that touches a step; ``right`` is `answered_on_new_connections`."""
    longest, opened = Pause(step.began, step.began), step.began
    is_first = True
    for request in right:
        if not is_first and request.ended > step.began and opened < step.ended:
            longest = max(longest, Pause(opened, request.ended), key=lambda pause: pause.length)
        opened = request.begun if is_first else max(opened, request.begun)
        is_first = False
        if opened >= step.ended:
            return longest
    return Pause(opened, math.inf)


def answered_on_new_connections(requests: Iterable[Request]) -> list[Request]:
    """Return the requests that opened a connection and got a right answer, in the order of the answers."""
    right = (request for request in requests if request.is_new and not request.failure)
    return sorted(right, key=lambda request: request.ended)


@dataclass(frozen=True)
class Soak:
    """What one mode went through: the steps in their order, and the requests.

    ``late`` is by how many ms a client began a request too late at most: what held the clients themselves up.
    """

    requests: Sequence[Request]
    steps: Sequence[Step]
    late: float = 0.0

    @cached_property
    def seen(self) -> list[Seen]:
        """Each step with the requests that were on their way in it."""
        right = answered_on_new_connections(self.requests)
        return [Seen(step, self.on_their_way(step), longest_pause(right, step)) for step in self.steps]

    @cached_property
    def _by_step(self) -> dict[Step | None, list[Request]]:
        began = [step.began for step in self.steps]
        found: dict[Step | None, list[Request]] = {}
        for request in self.requests:
            number = bisect_right(began, request.ended) - 1
            step = self.steps[number] if number >= 0 and request.begun <= self.steps[number].ended else None
            found.setdefault(step, []).append(request)
        return found

    def on_their_way(self, step: Step | None) -> list[Request]:
        """Return the requests of a step; with None, those between the steps."""
        return self._by_step.get(step, [])

    def during(self, kinds: Collection[str]) -> list[Request]:
        """Return the requests of all steps of some kinds."""
        return [request for seen in self.seen if seen.step.kind in kinds for request in seen.requests]

    def besides(self, kinds: Collection[str]) -> list[Request]:
        """Return the requests of all other steps, and those between the steps."""
        others = {step.kind for step in self.steps if step.kind not in kinds}
        return self.during(others) + self.on_their_way(None)

    @property
    def failed(self) -> list[Request]:
        """All requests that failed or got a wrong answer."""
        return [request for request in self.requests if request.failure]

    @property
    def failed_outside(self) -> list[Request]:
        """Those that did not begin in the one pause of a switch."""
        pauses = [seen.pause for seen in self.seen if seen.step.kind in SWITCHES]
        return [request for request in self.failed if not any(pause.has(request) for pause in pauses)]

    @property
    def wrong(self) -> int:
        """How many answers had status 200 and wrong predictions."""
        return sum(request.failure == WRONG for request in self.requests)

    @property
    def switches(self) -> int:
        """How often the served version changed."""
        return sum(step.kind in SWITCHES for step in self.steps)

    def seconds(self) -> float:
        """Return how long the clients asked."""
        if not self.requests:
            return 0
        first = min(request.begun for request in self.requests)
        return max(request.ended for request in self.requests) - first

    @property
    def longest_pause(self) -> float:
        """The longest pause of a switch [ms]; 0 without a switch."""
        pauses = (seen.pause for seen in self.seen if seen.step.kind in SWITCHES)
        return max((pause.length for pause in pauses), default=0)

"""A canary: a new version gets a share of the requests, and is compared with the champion meanwhile."""

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families

from stack.errors import StackError
from stack.modes.mode import Split
from stack.wait import wait_until

_EVERY = 1.0  # seconds
_SILENT = 5  # looks without an answer, and it has failed
# It happens by chance once in so many looks that a version which is as good looks worse.
_BY_CHANCE = 1e-4
# A request is slow if it takes longer than this share of the champion's; more than so many are worse.
_USUAL, _MOST_SLOW = 0.95, 0.1
# Until then, it may be that each worker's first ones are slow.
_WARM = 100  # requests
_ENDED = "ended workers"


@dataclass(frozen=True)
class Numbers:
    """What a model server has answered: requests, and those which failed or took longer than some seconds.

    A request fails if its status is not 200, or if its worker ends.
    """

    requests: int
    failed: int
    within: dict[float, int]
    """How many took at most so many seconds."""

    def slower(self, seconds: float) -> int:
        """Return how many took longer than a bound of the histogram [s]."""
        return self.within.get(math.inf, 0) - self.within.get(seconds, 0)

    def usual(self) -> float:
        """Return the lowest bound [s] that 95 of 100 requests kept within; infinite without a request."""
        answered = self.within.get(math.inf, 0)
        kept = (bound for bound, count in self.within.items() if answered and count >= _USUAL * answered)
        return min(kept, default=math.inf)


class Watched:
    """A model server, and what it has answered since the first look at its metrics."""

    def __init__(self, url: str) -> None:
        """Take a first look at the model server at ``url``; StackError if it does not answer."""
        self._url = url
        self._last = _read(url)
        self._since: Counter[str] = Counter()

    def look(self) -> None:
        """Count what it has answered since the last look; StackError if it does not answer."""
        now = _read(self._url)
        # One that was started again counts from 0.
        before = self._last if all(now[name] >= count for name, count in self._last.items()) else Counter()
        self._since += Counter({name: count - before[name] for name, count in now.items()})
        self._last = now

    def numbers(self) -> Numbers:
        """Return what it has answered."""
        by = {kind: self._of(kind) for kind in ("status", "within")}
        ended = self._since[_ENDED]
        answered = sum(by["status"].values())
        return Numbers(
            requests=answered + ended,
            failed=answered - by["status"].get("200", 0) + ended,
            within={float(bound): count for bound, count in by["within"].items()},
        )

    def _of(self, kind: str) -> dict[str, int]:
        found = ((name.partition(" "), count) for name, count in self._since.items())
        return {value: count for (word, _, value), count in found if word == kind}


def _read(url: str) -> Counter[str]:
    """Return the counts in a model server's metrics."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy lies between
            answer = session.get(f"{url}/metrics", timeout=5)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise StackError(f"{url}/metrics does not answer ({error})") from error
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == "model_server_requests_total":
                found[f"status {sample.labels['status']}"] += int(sample.value)
            elif sample.name == "model_server_request_duration_seconds_bucket":
                found[f"within {sample.labels['le']}"] += int(sample.value)
            elif sample.name == "model_server_ended_workers_total":
                found[_ENDED] += int(sample.value)
    return found


@dataclass(frozen=True)
class Canary:
    """What somebody wants: how many of 100 requests the new version gets, and for how many seconds."""

    percent: int
    seconds: float


def compare(new: tuple[str, str], old: tuple[str, Split], seconds: float, check: Callable[[], None]) -> None:
    """Return after ``seconds`` if the new version was no worse than the champion, and print the numbers.

    ``new`` is the new version and its URL, ``old`` the champion and the split of the requests between both.
    An exception of ``check`` ends it.

    Raises:
        StackError: as soon as it is worse or does not answer, and in the end if nobody has asked it; with the
            numbers.

    """
    (version, url), (champion, split) = new, old
    canary, other = Watched(url), Watched(split.champion)
    since = time.monotonic()
    silent = 0

    def numbers() -> str:
        theirs = other.numbers()
        usual = theirs.usual()
        both = _told(version, canary.numbers(), usual), _told(champion, theirs, usual)
        return f"in {time.monotonic() - since:.0f} s, {'; '.join(both)}"

    def look() -> str | None:
        nonlocal silent
        if not split.is_on():
            raise StackError(
                f"the gateway has been started again, which ends the canary of version {version}; promote it"
                " again"
            )
        try:
            canary.look()
            silent = 0
        except StackError as error:
            silent += 1
            if silent == _SILENT:
                raise StackError(
                    f"version {version} does not answer any more as a canary ({error}); {numbers()}"
                ) from error
        with suppress(StackError):  # it may just be started again
            other.look()
        is_over = time.monotonic() - since >= seconds
        if why := worse(canary.numbers(), other.numbers(), is_over=is_over):
            raise StackError(
                f"version {version} is withdrawn: {why} than those of version {champion}; {numbers()}"
            )
        return None if is_over else "not yet over"

    wait_until(look, timeout=math.inf, on_wait=check, interval=_EVERY)
    if not canary.numbers().requests:
        raise StackError(
            f"version {version} got no request as a canary, so nothing is known of it; {numbers()}; promote"
            " it with --canary for a longer time, or without"
        )
    print(numbers(), flush=True)


def _told(version: str, seen: Numbers, usual: float) -> str:
    slow = f", {seen.slower(usual):,} took longer than {usual * 1e3:g} ms" if usual < math.inf else ""
    return f"version {version} got {seen.requests:,} requests: {seen.failed:,} failed{slow}"


def worse(new: Numbers, old: Numbers, *, is_over: bool = True) -> str:
    """Return what is worse with the new version than chance explains; empty if nothing is.

    Until the canary ``is_over``, a few slow requests do not count.
    """
    if _is_more((new.failed, new.requests), (old.failed, old.requests)):
        return "more of its requests fail"
    usual, answered = old.usual(), new.within.get(math.inf, 0)
    slow = (new.slower(usual), answered), (old.slower(usual), old.within.get(math.inf, 0))
    is_slow = usual < math.inf and slow[0][0] > _MOST_SLOW * answered
    if is_slow and (is_over or answered >= _WARM) and _is_more(*slow):
        return "more of its requests are slow"
    return ""


def _is_more(new: tuple[int, int], old: tuple[int, int]) -> bool:
    """Whether the share of ``new``, as a count of a total, is larger than that of ``old``, and not by chance.

    Fisher's exact test, one-sided: https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.fisher_exact.html
    """
    (found, drawn), (others, rest) = new, old
    if found * rest <= others * drawn:
        return False
    marked, every = found + others, drawn + rest
    chance = 0.0
    for count in range(found, min(marked, drawn) + 1):
        term = math.exp(_ways(marked, count) + _ways(every - marked, drawn - count) - _ways(every, drawn))
        chance += term
        if chance >= _BY_CHANCE or term < _BY_CHANCE * 1e-9:
            break
    return chance < _BY_CHANCE


def _ways(of: int, chosen: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)

"""A canary: a new version gets a share of the requests, and is compared with the champion meanwhile."""

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import requests
from prometheus_client.parser import text_string_to_metric_families

from stack.errors import StackError, UndecidedError, WithdrawnError
from stack.wait import wait_until

_EVERY, _TOLD_EVERY = 1.0, 60.0  # seconds
_PATIENCE = (1, 5)  # seconds, to connect and to answer
# After so many looks without an answer, the trial has ended, and the champion does not come back by itself.
_TRIAL_SILENT, _CHAMPION_SILENT = 5, 20
# With fewer requests, nothing is known.
_ENOUGH = 10
# How rarely a version that is as good looks worse by chance: at one of many looks, and at the end.
_BY_CHANCE, _IN_THE_END = 1e-4, 1e-2
# A request is slow if it takes twice as long as this share of the champion's do, and so many seconds. Twice
# as many slow ones, and this share more, are worse: less may come of the unequal load.
_USUAL, _SLOW, _MORE_SLOW = 0.75, 0.01, 0.05
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
        return self.answered - self.within.get(seconds, 0)

    @property
    def answered(self) -> int:
        """How many were answered."""
        return self.within.get(math.inf, 0)


class Watched:
    """A model server, and what it has answered since the first look at its metrics."""

    def __init__(self, url: str) -> None:
        """Take a first look at the model server at ``url``; StackError if it does not answer."""
        self._url = url
        self._last, self.in_flight = _read(url)
        self._since: Counter[str] = Counter()
        self.silent = 0

    def look(self) -> None:
        """Count what it has answered since the last look, or one more look without an answer."""
        try:
            now, self.in_flight = _read(self._url)
        except StackError:
            self.silent += 1
            return
        self.silent = 0
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


def _read(url: str) -> tuple[Counter[str], int]:
    """Return the counts in a model server's metrics, and how many requests it is at."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy lies between
            answer = session.get(f"{url}/metrics", timeout=_PATIENCE)
        answer.raise_for_status()
        samples = [
            sample for family in text_string_to_metric_families(answer.text) for sample in family.samples
        ]
    except (requests.RequestException, ValueError) as error:
        raise StackError(f"{url}/metrics does not answer") from error
    found: Counter[str] = Counter()
    in_flight = 0
    for sample in samples:
        if sample.name == "model_server_requests_total":
            found[f"status {sample.labels['status']}"] += int(sample.value)
        elif sample.name == "model_server_request_duration_seconds_bucket":
            found[f"within {sample.labels['le']}"] += int(sample.value)
        elif sample.name == "model_server_ended_workers_total":
            found[_ENDED] += int(sample.value)
        elif sample.name == "model_server_requests_in_flight":
            in_flight += int(sample.value)
    return found, in_flight


@dataclass(frozen=True)
class Canary:
    """What somebody wants: how many of 100 requests the new version gets, and for how many seconds."""

    percent: int
    seconds: float


@dataclass
class Comparison:
    """A new version, by its number and URL, beside the champion, while the requests are split."""

    new: tuple[str, str]
    old: tuple[str, str]

    def __post_init__(self) -> None:
        """Take a first look at both; UndecidedError if one does not answer."""
        self._since = time.monotonic()
        try:
            self._canary, self._champion = Watched(self.new[1]), Watched(self.old[1])
        except StackError as error:
            raise UndecidedError(f"there can be no canary ({error}); run this again") from error

    def follow(self, is_on: Callable[[], bool], seconds: float, check: Callable[[], None]) -> None:
        """Compare for so many seconds, while the split ``is_on``; an exception of ``check`` ends it.

        Raises:
            WithdrawnError: as soon as the new version is worse or has ended.
            UndecidedError: if the requests are split no more, or the champion does not answer any more.

        """
        told = self._since

        def look() -> str | None:
            nonlocal told
            self._look(is_on)
            now = time.monotonic()
            if now - told >= _TOLD_EVERY:
                told = now
                print(self._told(), flush=True)
            return "not yet over" if now - self._since < seconds else None

        wait_until(look, timeout=math.inf, on_wait=check, interval=_EVERY)

    def _look(self, is_on: Callable[[], bool]) -> None:
        self._canary.look()
        self._champion.look()
        if self._canary.silent >= _TRIAL_SILENT:
            raise WithdrawnError(f"version {self.new[0]} is withdrawn: it has ended; {self._told()}")
        why = ""
        if not is_on():
            why = "the gateway has been started again"
        elif self._champion.silent >= _CHAMPION_SILENT:
            why = f"version {self.old[0]}, which is served, does not answer any more"
        if why:
            raise UndecidedError(f"{why}, which ends the canary; run this again when all is up")
        self._judge(is_over=False)

    def drain(self, seconds: float) -> None:
        """Return when the new version, which gets no more requests, has answered all that it got.

        After so many seconds at the latest.
        """

        def at_work() -> str | None:
            self._canary.look()
            return "at work" if self._canary.in_flight and not self._canary.silent else None

        with suppress(StackError):
            wait_until(at_work, timeout=seconds, interval=0.1)

    def judge(self) -> None:
        """Return if the new version was no worse, and print the numbers; what it has not answered has failed.

        Raises:
            WithdrawnError: if it was worse.
            UndecidedError: if too few have asked either.

        """
        self._champion.look()
        self._judge(is_over=True)
        if min(of.numbers().requests for of in (self._canary, self._champion)) < _ENOUGH:
            raise UndecidedError(
                f"too few requests to compare versions {self.new[0]} and {self.old[0]}, which takes {_ENOUGH}"
                f" of each; {self._told()}; run this again, for longer or with more, or without --canary"
            )
        print(self._told(), flush=True)

    def _judge(self, *, is_over: bool) -> None:
        numbers = self._canary.numbers()
        if is_over:
            waiting = self._canary.in_flight
            numbers = replace(numbers, requests=numbers.requests + waiting, failed=numbers.failed + waiting)
        if why := worse(numbers, self._champion.numbers(), is_over=is_over):
            raise WithdrawnError(
                f"version {self.new[0]} is withdrawn: {why} than those of version {self.old[0]};"
                f" {self._told()}"
            )

    def _told(self) -> str:
        both = (self.new[0], self._canary), (self.old[0], self._champion)
        texts = [_told(version, of.numbers(), of.in_flight) for version, of in both]
        return f"in {time.monotonic() - self._since:.0f} s, {'; '.join(texts)}"


def _told(version: str, seen: Numbers, in_flight: int) -> str:
    """Say how many requests failed, and within which bound 95 of 100 of the others were answered."""
    kept = [bound for bound, count in seen.within.items() if seen.answered and count >= 0.95 * seen.answered]
    usual = f", 95 of 100 took at most {min(kept) * 1e3:g} ms" if kept and min(kept) < math.inf else ""
    at_work = f", {in_flight:,} unanswered" if in_flight else ""
    return f"version {version} got {seen.requests:,} requests: {seen.failed:,} failed{at_work}{usual}"


def worse(new: Numbers, old: Numbers, *, is_over: bool) -> str:
    """Return what is worse with the new version than chance explains; empty if nothing is.

    Until the canary ``is_over``, a few requests say less.
    """
    chance = _chance((new.failed, new.requests), (old.failed, old.requests))
    if chance < (_IN_THE_END if is_over else _BY_CHANCE):
        return "more of its requests fail"
    if not is_over and new.answered < _WARM:
        return ""
    kept = [bound for bound, count in old.within.items() if count >= _USUAL * old.answered > 0]
    for bound in sorted(old.within):
        slow, usual = (new.slower(bound), new.answered), (old.slower(bound), old.answered)
        is_more = slow[0] * max(usual[1], 1) > (2 * usual[0] + _MORE_SLOW * usual[1]) * slow[1]
        if kept and bound >= max(2 * min(kept), _SLOW) and is_more and _chance(slow, usual) < _BY_CHANCE:
            return f"more of its requests take longer than {bound * 1e3:g} ms"
    return ""


def _chance(new: tuple[int, int], old: tuple[int, int]) -> float:
    """Return how likely ``new``, a count of a total, is as large beside ``old`` if both are the same.

    Fisher's exact test, one-sided: https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.fisher_exact.html
    Returns 1 where the share is not larger.
    """
    (found, drawn), (others, rest) = new, old
    if found * rest <= others * drawn:
        return 1.0
    marked, every = found + others, drawn + rest
    chance = 0.0
    for count in range(found, min(marked, drawn) + 1):
        term = math.exp(_ways(marked, count) + _ways(every - marked, drawn - count) - _ways(every, drawn))
        chance += term
        if term < chance * 1e-9:
            break
    return chance


def _ways(of: int, chosen: int) -> float:
    """Return the logarithm of the binomial coefficient."""
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)

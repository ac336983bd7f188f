"""A canary: what a model server's metrics say of it, and when it is worse than the champion."""

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import SimpleNamespace

import pytest
from scipy.stats import fisher_exact  # type: ignore[import-untyped]

from stack.errors import StackError, UndecidedError, WithdrawnError
from stack.release import canary
from stack.release.canary import Comparison, Numbers, Watched, _chance, worse


@dataclass
class Server:
    """A model server that has nothing but metrics, of requests that a test lets it have."""

    url: str = ""
    answered: list[tuple[int, float]] = field(default_factory=list)
    ended: int = 0
    in_flight: int = 0
    is_up: bool = True

    def metrics(self) -> str:
        own = 'model="iris",version="1"'
        name = "model_server_request_duration_seconds"
        lines = ["# TYPE model_server_requests_total counter"]
        for status in sorted({status for status, _ in self.answered}):
            number = sum(found == status for found, _ in self.answered)
            lines.append(f'model_server_requests_total{{{own},status="{status}"}} {number}.0')
        lines += [f"# TYPE {name} histogram"]
        for bound in ("0.005", "0.1", "+Inf"):
            number = sum(seconds <= float(bound) for _, seconds in self.answered)
            lines.append(f'{name}_bucket{{{own},le="{bound}"}} {number}.0')
        lines.append(f"{name}_count{{{own}}} {len(self.answered)}.0")
        lines.append("# TYPE model_server_ended_workers_total counter")
        lines.append(f"model_server_ended_workers_total{{{own}}} {self.ended}.0")
        lines.append("# TYPE model_server_requests_in_flight gauge")
        lines.append(f"model_server_requests_in_flight{{{own}}} {self.in_flight}.0")
        return "\n".join([*lines, ""])


@contextmanager
def serving() -> Iterator[Server]:
    of = Server()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = of.metrics().encode()
            self.send_response(200 if of.is_up and self.path == "/metrics" else 503)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        of.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield of
        server.shutdown()


@pytest.fixture
def new() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def old() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_only_what_comes_after_the_first_look_counts(new: Server) -> None:
    new.answered, new.ended = [(200, 0.001), (500, 2.0)], 3
    watched = Watched(new.url)
    new.answered += [(200, 0.003), (200, 0.05), (400, 0.001), (503, 7.0)]
    new.ended += 1
    watched.look()
    watched.look()
    assert watched.numbers() == Numbers(5, 3, {0.005: 2, 0.1: 3, math.inf: 4})


def test_a_server_that_is_started_again_counts_from_nothing(new: Server) -> None:
    new.answered = [(200, 0.001)] * 5
    watched = Watched(new.url)
    new.answered += [(200, 0.001)] * 2
    watched.look()
    new.answered = [(200, 0.001)] * 3
    watched.look()
    assert watched.numbers().requests == 5


def test_a_server_that_does_not_answer_is_told(new: Server) -> None:
    new.is_up = False
    with pytest.raises(StackError, match="/metrics does not answer"):
        Watched(new.url)


def numbers(requests: int, failed: int = 0, slow: int = 0) -> Numbers:
    return Numbers(requests, failed, {0.005: requests - slow, 0.1: requests - slow, math.inf: requests})


def within(*counts: int) -> Numbers:
    """Return requests by how many were answered within 0.5, 1, 2.5 and 30 s, and in all."""
    return Numbers(counts[-1], 0, dict(zip((0.5, 1, 2.5, 30, math.inf), counts, strict=True)))


def test_milliseconds_that_come_of_cold_caches_are_not_worse() -> None:
    new = Numbers(1000, 0, {0.001: 100, 0.005: 900, 0.01: 990, math.inf: 1000})
    old = Numbers(9000, 0, {0.001: 8900, 0.005: 9000, 0.01: 9000, math.inf: 9000})
    assert worse(new, old, is_over=True) == ""


FAIL = "more of its requests fail"


@pytest.mark.parametrize(
    ("new", "old", "at_once", "in_the_end"),
    [
        (numbers(0), numbers(0), "", ""),
        (numbers(100), numbers(900), "", ""),
        (numbers(100, failed=10), numbers(900, failed=90), "", ""),
        (numbers(100, failed=1), numbers(900), "", ""),  # it may be chance
        (numbers(100, failed=3), numbers(900), "", FAIL),
        (numbers(2, failed=2), numbers(14), "", FAIL),
        (numbers(100, failed=5), numbers(900), FAIL, FAIL),
        (numbers(10_000, failed=9_000), numbers(100_000, failed=10), FAIL, FAIL),
        (numbers(100), numbers(900, failed=900), "", ""),
        (numbers(100, slow=40), numbers(900, slow=40), "longer than 100 ms", "longer than 100 ms"),
        (numbers(8, slow=8), numbers(80), "", "longer than 100 ms"),  # of cold workers, at first
        (numbers(1000, slow=50), numbers(9000, slow=10), "", ""),  # more, but few
        (numbers(100, slow=100), numbers(900, slow=900), "", ""),
        (within(910, 910, 910, 910, 1000), within(9000, 9000, 9000, 9000, 9000), "1000 ms", "1000 ms"),
        (within(0, 0, 910, 910, 1000), within(0, 8010, 9000, 9000, 9000), "2500 ms", "2500 ms"),
        (within(0, 0, 1000, 1000, 1000), within(0, 8010, 9000, 9000, 9000), "", ""),  # hardly twice as long
        (within(0, 1000, 1000, 1000, 1000), within(9000, 9000, 9000, 9000, 9000), "", ""),  # the same
    ],
)
def test_worse_is_what_chance_does_not_explain(
    new: Numbers, old: Numbers, at_once: str, in_the_end: str
) -> None:
    for is_over, expected in ((False, at_once), (True, in_the_end)):
        found = worse(new, old, is_over=is_over)
        assert expected in found
        assert bool(expected) == bool(found)


@pytest.mark.parametrize(
    ("new", "old"), [((3, 40), (2, 400)), ((9, 50), (20, 450)), ((40, 300), (50, 2000)), ((1, 9), (8, 81))]
)
def test_the_chance_is_that_of_fishers_exact_test(new: tuple[int, int], old: tuple[int, int]) -> None:
    table = [[new[0], new[1] - new[0]], [old[0], old[1] - old[0]]]
    found = fisher_exact(table, alternative="greater").pvalue
    assert _chance(new, old) == pytest.approx(found if new[0] * old[1] > old[0] * new[1] else 1)


@dataclass
class Round:
    """A comparison in which a second passes with each look, and something happens after it."""

    new: Server
    old: Server
    seconds: int = 20
    is_on: bool = True

    def run(self, after: Callable[[], None]) -> None:
        of = Comparison(("2", self.new.url), ("1", self.old.url))
        of.follow(lambda: self.is_on, self.seconds, after)
        of.drain(0.2)
        of.judge()


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch, new: Server, old: Server) -> Round:
    monkeypatch.setattr(canary, "_EVERY", 0)
    seconds = count()
    monkeypatch.setattr(canary, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    return Round(new, old)


def more(of: Round, new: list[tuple[int, float]], old: list[tuple[int, float]]) -> Callable[[], None]:
    """Return what lets both have more requests."""

    def give() -> None:
        of.new.answered += new
        of.old.answered += old

    return give


RIGHT, WRONG = (200, 0.001), (500, 0.001)


def test_one_that_is_no_worse_stays_for_its_time_and_its_numbers_are_told(
    of: Round, capsys: pytest.CaptureFixture[str]
) -> None:
    of.seconds = 200
    of.run(more(of, [RIGHT], [RIGHT] * 9))
    *before, told = capsys.readouterr().out.splitlines()
    assert len(before) >= 1  # one a minute
    had = len(of.new.answered)
    assert f"version 2 got {had} requests: 0 failed, 95 of 100 took at most 5 ms; version 1 got " in told


def test_one_that_is_worse_is_withdrawn_at_once(of: Round) -> None:
    of.seconds = 10**6
    with pytest.raises(WithdrawnError, match="version 2 is withdrawn: more of its requests fail") as error:
        of.run(more(of, [WRONG], [RIGHT] * 9))
    assert "version 2 got 4 requests: 4 failed" in str(error.value)
    assert "version 1 got 36 requests: 0 failed" in str(error.value)


def test_few_requests_that_all_fail_are_enough_in_the_end(of: Round) -> None:
    asked = iter([more(of, [WRONG, WRONG], [RIGHT] * 14)])
    with pytest.raises(WithdrawnError, match="more of its requests fail"):
        of.run(lambda: next(asked, lambda: None)())


def test_one_that_hangs_is_withdrawn_in_the_end(of: Round) -> None:
    of.new.in_flight = 6
    with pytest.raises(WithdrawnError, match="more of its requests fail") as error:
        of.run(more(of, [RIGHT], [RIGHT] * 9))
    assert "0 failed, 6 unanswered" in str(error.value)


def test_what_it_is_at_in_the_end_is_waited_for(
    of: Round, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of.new.in_flight = 6
    of_old, looks = more(of, [RIGHT], [RIGHT] * 9), []

    def wait_until(ready: Callable[[], str | None], **_: object) -> None:
        while ready():
            looks.append(1)
            of.new.in_flight -= 1
            of.new.answered.append(RIGHT)

    for _ in range(20):
        of_old()
    comparison = Comparison(("2", of.new.url), ("1", of.old.url))
    for _ in range(20):
        of_old()
    monkeypatch.setattr(canary, "wait_until", wait_until)
    comparison.drain(60)
    comparison.judge()
    assert len(looks) == 6
    assert "version 2 got 26 requests: 0 failed," in capsys.readouterr().out


@pytest.mark.parametrize(("of_new", "of_old"), [([], [RIGHT] * 9), ([RIGHT], []), ([], [])])
def test_one_that_hardly_anybody_asked_is_not_known(
    of: Round, of_new: list[tuple[int, float]], of_old: list[tuple[int, float]]
) -> None:
    of.seconds = 5
    with pytest.raises(UndecidedError, match="too few requests to compare versions 2 and 1"):
        of.run(more(of, of_new, of_old))


def test_one_that_does_not_answer_any_more_is_withdrawn(of: Round) -> None:
    of.seconds = 10**6
    with pytest.raises(WithdrawnError, match="version 2 is withdrawn: it has ended"):
        of.run(lambda: setattr(of.new, "is_up", False))


def test_a_champion_that_is_started_again_meanwhile_ends_nothing(
    of: Round, capsys: pytest.CaptureFixture[str]
) -> None:
    give = more(of, [RIGHT], [RIGHT] * 9)
    seconds = count()

    def restart() -> None:
        second = next(seconds)
        of.old.is_up = not 5 < second < 10
        if second == 7:
            of.old.answered.clear()
        give()

    of.run(restart)
    told = re.search(r"version 1 got (\d+) requests: 0 failed", capsys.readouterr().out)
    assert told is not None
    assert int(told[1]) > len(of.old.answered)  # what it had answered before counts, too


def test_a_champion_that_is_gone_ends_it(of: Round) -> None:
    of.seconds = 10**6
    with pytest.raises(UndecidedError, match="version 1, which is served, does not answer any more"):
        of.run(lambda: setattr(of.old, "is_up", False))


def test_a_champion_that_does_not_answer_at_first_is_told(of: Round) -> None:
    of.old.is_up = False
    with pytest.raises(UndecidedError, match=r"there can be no canary .*/metrics does not answer"):
        of.run(lambda: None)


def test_a_gateway_that_is_started_again_ends_it(of: Round) -> None:
    of.is_on = False
    with pytest.raises(UndecidedError, match="the gateway has been started again"):
        of.run(lambda: None)


def test_an_interruption_ends_it(of: Round) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of.run(interrupt)

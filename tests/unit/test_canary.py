"""A canary: what a model server's metrics say of it, and when it is worse than the champion."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from scipy.stats import fisher_exact  # type: ignore[import-untyped]

from stack.errors import StackError
from stack.modes.mode import Split
from stack.release import canary
from stack.release.canary import Numbers, Watched, compare, worse


@dataclass
class Server:
    """A model server that has nothing but metrics, of requests that a test lets it have."""

    url: str = ""
    answered: list[tuple[int, float]] = field(default_factory=list)
    ended: int = 0
    is_up: bool = True

    def metrics(self) -> str:
        own = 'model="iris",version="1"'
        name = "model_server_request_duration_seconds"
        lines = ["# TYPE model_server_requests_total counter"]
        for status in sorted({status for status, _ in self.answered}):
            count = sum(found == status for found, _ in self.answered)
            lines.append(f'model_server_requests_total{{{own},status="{status}"}} {count}.0')
        lines += [f"# TYPE {name} histogram"]
        for bound in ("0.005", "0.1", "+Inf"):
            count = sum(seconds <= float(bound) for _, seconds in self.answered)
            lines.append(f'{name}_bucket{{{own},le="{bound}"}} {count}.0')
        lines.append(f"{name}_count{{{own}}} {len(self.answered)}.0")
        lines.append("# TYPE model_server_ended_workers_total counter")
        lines.append(f"model_server_ended_workers_total{{{own}}} {self.ended}.0")
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
    return Numbers(requests, failed, {0.005: requests - slow, 0.1: requests, math.inf: requests})


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (numbers(0), numbers(0), ""),
        (numbers(100), numbers(900), ""),
        (numbers(100, failed=10), numbers(900, failed=90), ""),
        (numbers(100, failed=3), numbers(900), ""),  # it may be chance
        (numbers(100, failed=5), numbers(900), "more of its requests fail"),
        (numbers(10_000, failed=9_000), numbers(100_000, failed=10), "more of its requests fail"),
        (numbers(100), numbers(900, failed=900), ""),
        (numbers(5, failed=5), numbers(0), ""),
        (numbers(100, slow=40), numbers(900, slow=40), "more of its requests are slow"),
        (numbers(1000, slow=90), numbers(9000, slow=10), ""),  # more, but few
        (numbers(100, slow=100), numbers(900, slow=900), ""),
        (numbers(100, slow=10), numbers(0), ""),
    ],
)
def test_worse_is_what_chance_does_not_explain(new: Numbers, old: Numbers, why: str) -> None:
    assert worse(new, old) == why


def test_the_first_slow_requests_may_be_those_of_cold_workers() -> None:
    assert worse(numbers(8, slow=8), numbers(80), is_over=False) == ""
    assert worse(numbers(8, slow=8), numbers(80), is_over=True) == "more of its requests are slow"
    assert worse(numbers(100, slow=80), numbers(900), is_over=False) == "more of its requests are slow"
    assert worse(numbers(8, failed=8), numbers(80), is_over=False) == "more of its requests fail"


@pytest.mark.parametrize(
    ("new", "old"), [((3, 40), (2, 400)), ((9, 50), (20, 450)), ((40, 300), (50, 2000)), ((1, 9), (8, 81))]
)
def test_the_chance_is_that_of_fishers_exact_test(
    monkeypatch: pytest.MonkeyPatch, new: tuple[int, int], old: tuple[int, int]
) -> None:
    table = [[new[0], new[1] - new[0]], [old[0], old[1] - old[0]]]
    chance = fisher_exact(table, alternative="greater").pvalue
    for limit, is_more in ((chance * 1.001, True), (chance * 0.999, False)):
        monkeypatch.setattr(canary, "_BY_CHANCE", limit)
        assert canary._is_more(new, old) == is_more


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, new: Server, old: Server) -> Callable[..., None]:
    """Return what compares both for 0.1 s, with a look every 10 ms, while both have these requests."""
    monkeypatch.setattr(canary, "_EVERY", 0.01)

    def run(
        of_new: list[tuple[int, float]],
        of_old: list[tuple[int, float]],
        seconds: float = 0.1,
        *,
        is_on: bool = True,
    ) -> None:
        def more() -> None:
            new.answered += of_new
            old.answered += of_old

        split = Split(old.url, lambda: is_on)
        compare(("2", new.url), ("1", split), seconds, more)

    return run


def test_one_that_is_no_worse_stays_for_its_time_and_its_numbers_are_told(
    look: Callable[..., None], capsys: pytest.CaptureFixture[str], new: Server
) -> None:
    look([(200, 0.001)], [(200, 0.001)] * 20 + [(200, 0.01)])
    told = capsys.readouterr().out
    assert f"version 2 got {len(new.answered)} requests: 0 failed, 0 took longer than 5 ms" in told
    assert "; version 1 got " in told


def test_one_that_is_worse_is_withdrawn_at_once(look: Callable[..., None]) -> None:
    with pytest.raises(StackError, match="version 2 is withdrawn: more of its requests fail") as error:
        look([(500, 0.001)], [(200, 0.001)] * 9, seconds=600)
    assert "version 2 got 4 requests: 4 failed" in str(error.value)
    assert "version 1 got 36 requests: 0 failed" in str(error.value)


def test_one_that_nobody_asked_is_not_known(look: Callable[..., None]) -> None:
    with pytest.raises(StackError, match="version 2 got no request as a canary"):
        look([], [(200, 0.001)])


def test_one_that_does_not_answer_any_more_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch, new: Server, old: Server
) -> None:
    monkeypatch.setattr(canary, "_EVERY", 0.01)
    with pytest.raises(StackError, match="version 2 does not answer any more as a canary"):
        compare(
            ("2", new.url), ("1", Split(old.url, lambda: True)), 600, lambda: setattr(new, "is_up", False)
        )


def test_a_champion_that_is_started_again_meanwhile_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, new: Server, old: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(canary, "_EVERY", 0.01)

    def more() -> None:
        old.is_up = not old.is_up
        new.answered += [(200, 0.001)]
        old.answered += [(200, 0.001)]

    compare(("2", new.url), ("1", Split(old.url, lambda: True)), 0.1, more)
    assert "version 1 got " in capsys.readouterr().out


def test_a_gateway_that_is_started_again_ends_it(look: Callable[..., None]) -> None:
    with pytest.raises(StackError, match="the gateway has been started again"):
        look([], [], seconds=600, is_on=False)


def test_an_interruption_ends_it(new: Server, old: Server) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(("2", new.url), ("1", Split(old.url, lambda: True)), 600, interrupt)

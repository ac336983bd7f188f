import io
import socket
from collections.abc import Iterator

import pytest

from stack.errors import StackError
from stack.wait import Clock, Progress, not_healthy, wait_until


class FakeTime:
    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.seconds, sleep=self.sleep)


def answers(*values: str | None) -> Iterator[str | None]:
    yield from values


def test_waiting_ends_when_it_is_ready() -> None:
    time = FakeTime()
    reasons = answers("not yet", "not yet", None)
    wait_until(lambda: next(reasons), timeout=10, clock=time.clock, interval=2)
    assert time.seconds == 4


def test_a_timeout_tells_the_last_reason() -> None:
    with pytest.raises(StackError, match=r"not ready after 3 s \(refused\)"):
        wait_until(lambda: "refused", timeout=3, clock=FakeTime().clock)


def test_the_end_of_what_is_waited_for_ends_the_waiting_at_once() -> None:
    time = FakeTime()
    with pytest.raises(StackError, match="ended before it was ready"):
        wait_until(lambda: "refused", timeout=100, alive=lambda: False, clock=time.clock)
    assert time.seconds == 0


def test_progress_tells_every_ten_seconds_where_there_is_no_terminal() -> None:
    time, out = FakeTime(), io.StringIO()
    progress = Progress(out, time.clock)
    progress.start("baking")
    for _ in range(25):
        time.sleep(1)
        progress.tick()
    progress.done()
    assert out.getvalue().splitlines() == [
        "==> baking",
        "    still baking (10 s)",
        "    still baking (20 s)",
        "    done in 25.0 s",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_counts_the_seconds_in_place_on_a_terminal() -> None:
    time, out = FakeTime(), Terminal()
    progress = Progress(out, time.clock)
    progress.start("baking")
    for _ in range(4):
        time.sleep(0.5)
        progress.tick()
    progress.done()
    assert out.getvalue() == "==> baking\r==> baking ... 1 s\r==> baking ... 2 s\r==> baking: 2.0 s\033[K\n"


def test_nothing_listening_is_not_healthy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reason = not_healthy(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert reason is not None
    assert "refused" in reason

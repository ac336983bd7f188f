"""What `deploy --wait` does beside a training: when it serves, waits and holds the lock."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

import pytest

from stack.config import load_config
from stack.errors import LockedError
from stack.release import commands

CONFIG = load_config({})


@dataclass
class FakeMode:
    """Trains for so many looks at a clock that advances a second at each; notes what happens."""

    training: int = 0
    is_locked_by_another: bool = False
    happened: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        if self.is_locked_by_another:
            self.is_locked_by_another = False  # by the next time, it has ended
            raise LockedError("another deployment is running")
        self.happened.append("locked")
        yield
        self.happened.append("unlocked")

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        for _ in range(self.training):
            self.seconds += 1
            on_wait()
        self.happened.append("trained")


class NotInterrupted:
    def check(self) -> None:
        pass


def start_up(monkeypatch: pytest.MonkeyPatch, mode: FakeMode) -> list[str]:
    """Start up; return what has happened by then."""
    monkeypatch.setattr(commands, "serve_last", lambda _: mode.happened.append("served last"))
    monkeypatch.setattr(commands, "resume", lambda *_: mode.happened.append("resumed"))
    monkeypatch.setattr(commands, "registered", lambda _: nullcontext())
    monkeypatch.setattr(commands, "_wait_for_tracking", lambda *_: None)
    monkeypatch.setattr("stack.release.commands.time.monotonic", lambda: mode.seconds)
    with ExitStack() as lock:
        commands._start_up(CONFIG, mode, NotInterrupted(), lock)  # type: ignore[arg-type]
        happened = list(mode.happened)
        lock.pop_all()
    return happened


@pytest.mark.parametrize("training", [0, 10])
def test_a_short_training_does_not_open_the_lock(monkeypatch: pytest.MonkeyPatch, training: int) -> None:
    happened = start_up(monkeypatch, FakeMode(training))
    assert happened == ["locked", "served last", "resumed", "trained"]


def test_a_long_training_lets_other_deployments_through(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = start_up(monkeypatch, FakeMode(20))
    assert happened == ["locked", "served last", "resumed", "unlocked", "trained", "locked"]


def test_beside_another_deployment_nothing_is_served_before_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened = start_up(monkeypatch, FakeMode(2, is_locked_by_another=True))
    assert happened == ["trained", "locked"]

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stack.errors import StackError
from stack.modes.environment import Environment
from stack.release.watch import Watch
from tests.unit.test_deploy import FakeMode, FakeRegistry, World, fake_replay, served_world


@pytest.fixture(autouse=True)
def _replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.release.replay.replay", fake_replay)


def nothing() -> None:
    pass


def watched(world: World) -> Watch:
    return Watch(FakeRegistry(world), lambda: FakeMode(world))


def test_the_first_look_deploys_and_the_next_ones_do_nothing_until_an_alias_moves() -> None:
    world = served_world("1", candidate="2")
    watch = watched(world)
    watch.look(nothing)
    assert (world.served, world.aliases) == ("2", {"champion": "2", "previous": "1"})
    world.done.clear()
    watch.look(nothing)
    assert world.done == []
    world.aliases["champion"] = "1"
    watch.look(nothing)
    assert world.served == "1"
    world.tags["3"] = {}
    world.aliases["candidate"] = "3"
    watch.look(nothing)
    assert (world.served, world.aliases) == ("3", {"champion": "3", "previous": "1"})


def test_what_fails_is_told_and_tried_again_only_when_an_alias_moves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = served_world("1", candidate="2")
    world.wrong = ("2",)
    watch = watched(world)
    for _ in range(3):
        watch.look(nothing)
    assert world.done == ["bake 2", "try 2"]
    assert world.served == "1"
    assert "answers otherwise" in world.tags["2"]["failure"]
    assert capsys.readouterr().err.count("deploy: version 2 of iris failed the replay") == 1
    world.tags["3"] = {}
    world.aliases["candidate"] = "3"
    watch.look(nothing)
    assert world.served == "3"


def test_a_tracking_server_that_is_down_is_told_once_and_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = served_world("1", candidate="2")
    watch = watched(world)
    world.is_gone = True
    watch.look(nothing)
    watch.look(nothing)
    assert capsys.readouterr().err.count("the tracking server") == 1
    world.is_gone = False
    watch.look(nothing)
    assert world.served == "2"


def test_a_deployment_in_which_the_tracking_server_goes_away_is_tried_again() -> None:
    world = served_world("1", candidate="2")
    watch = watched(world)
    world.steps_left, world.tracking_dies = 3, True
    watch.look(nothing)
    assert world.aliases["champion"] == "1"
    world.steps_left = None
    watch.look(nothing)
    assert world.served == world.aliases["champion"] == "2"


def test_an_alias_that_moves_during_a_deployment_is_followed_afterwards() -> None:
    class Moving(FakeMode):
        def bake(self, version: str, model: Path, environment: Environment | None) -> None:
            super().bake(version, model, environment)
            if version == "2":
                world.tags["3"] = {}
                world.aliases["candidate"] = "3"

    world = served_world("1", candidate="2")
    watch = Watch(FakeRegistry(world), lambda: Moving(world))
    watch.look(nothing)
    assert (world.served, world.aliases["candidate"]) == ("2", "3")
    watch.look(nothing)
    assert world.served == "3"


def test_another_deployment_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    class Busy(FakeMode):
        is_busy = True

        @contextmanager
        def exclusive(self) -> Iterator[None]:
            if self.is_busy:
                raise StackError("another deployment is running")
            yield

    world = served_world("1", candidate="2")
    mode = Busy(world)
    watch = Watch(FakeRegistry(world), lambda: mode)
    watch.look(nothing)
    watch.look(nothing)
    assert world.served == "1"
    assert capsys.readouterr().err == "deploy: another deployment is running\n"
    mode.is_busy = False
    watch.look(nothing)
    assert world.served == "2"


def test_following_ends_when_it_is_asked_to() -> None:
    asked: list[Any] = []

    def check() -> None:
        asked.append(None)
        if world.served == "2":
            raise KeyboardInterrupt

    world = served_world("1", candidate="2")
    with pytest.raises(KeyboardInterrupt):
        watched(world).follow(check)
    assert world.aliases["champion"] == "2"

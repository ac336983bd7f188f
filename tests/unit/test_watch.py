from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.modes.environment import Environment
from stack.release import commands
from stack.release.watch import Watch
from tests.unit.test_deploy import FakeMode, FakeRegistry, World, fake_replay, served_world
from tests.unit.test_start_up import NotInterrupted


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


def meanwhile(world: World, version: str, **aliases: str) -> Watch:
    """Return a watch in whose deployments somebody moves aliases while that version is baked."""

    class Moving(FakeMode):
        def bake(self, baked: str, model: Path, environment: Environment | None) -> None:
            super().bake(baked, model, environment)
            if baked == version:
                world.aliases.update(aliases)

    return Watch(FakeRegistry(world), lambda: Moving(world))


def test_a_candidate_that_is_set_during_a_deployment_is_followed_afterwards() -> None:
    world = served_world("1", candidate="2")
    world.tags["3"] = {}
    watch = meanwhile(world, "2", candidate="3")
    watch.look(nothing)
    assert (world.served, world.aliases["candidate"]) == ("2", "3")
    watch.look(nothing)
    assert world.served == "3"


def test_a_champion_that_is_moved_back_while_it_is_baked_ends_where_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = served_world("1")
    world.tags["2"] = {}
    world.aliases["champion"] = "2"
    watch = meanwhile(world, "2", champion="1")
    watch.look(nothing)
    assert (world.served, world.aliases["champion"]) == ("2", "1")
    assert "champion was moved to version 1 meanwhile" in capsys.readouterr().out
    watch.look(nothing)
    assert (world.served, world.aliases) == ("1", {"champion": "1", "previous": "2"})


@pytest.mark.parametrize("wrong", [(), ("2",)])
def test_a_champion_that_is_set_while_a_candidate_is_baked_is_followed_afterwards(
    wrong: tuple[str, ...],
) -> None:
    world = served_world("1", candidate="2")
    world.tags["3"], world.wrong = {}, wrong
    watch = meanwhile(world, "2", champion="3")
    watch.look(nothing)
    assert world.aliases["champion"] == "3"
    watch.look(nothing)
    assert world.served == world.aliases["champion"] == "3"


@pytest.mark.parametrize(
    ("wrong", "order", "aliases"),
    [
        ((), ["serve 2", "serve 3"], {"champion": "3", "previous": "2"}),
        (("2",), ["serve 3"], {"champion": "3", "previous": "1"}),
        (("3",), ["serve 2"], {"champion": "2", "previous": "1", "candidate": "3"}),
        (("2", "3"), [], {"champion": "1", "candidate": "3"}),
    ],
    ids=["both right", "the champion wrong", "the candidate wrong", "both wrong"],
)
def test_of_two_aliases_that_move_at_once_the_champion_comes_first_and_each_has_its_turn(
    wrong: tuple[str, ...], order: list[str], aliases: dict[str, str]
) -> None:
    world = served_world("1", candidate="3")
    world.tags["2"], world.wrong = {}, wrong
    world.aliases["champion"] = "2"
    watch = watched(world)
    for _ in range(4):
        watch.look(nothing)
    assert [done for done in world.done if done.startswith("serve")] == order
    assert [done for done in world.done if done.startswith("bake")] == ["bake 2", "bake 3"]
    assert (world.served, world.aliases) == (aliases["champion"], aliases)


@pytest.mark.parametrize("wrong", [(), ("1",)])
def test_a_champion_that_is_set_where_nothing_was_ever_served_is_checked_and_served(
    wrong: tuple[str, ...],
) -> None:
    world = World({"champion": "1"}, {"1": {}}, wrong=wrong)
    watch = watched(world)
    for _ in range(3):
        watch.look(nothing)
    assert world.done == ["bake 1", "serve 1"]
    assert (world.served, world.aliases) == (None if wrong else "1", {"champion": "1"})
    assert ("failure" in world.tags["1"]) == bool(wrong)


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


@pytest.mark.parametrize(
    "changed", [{"model_name": "wine"}, {"tracking_url": "http://127.0.0.1:9"}], ids=["a model", "a server"]
)
def test_following_ends_before_a_deployment_if_the_settings_name_another_model_or_server(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    config = load_config({}, Path("none"))
    world = served_world("1", candidate="2")
    settings = iter([config, replace(config, **changed)])  # type: ignore[arg-type]
    monkeypatch.setattr(commands, "Interruption", NotInterrupted)
    monkeypatch.setattr(commands, "load_config", lambda: next(settings))
    monkeypatch.setattr(commands, "choose_mode", lambda *_: FakeMode(world))
    monkeypatch.setattr(commands, "registered", lambda _: nullcontext(FakeRegistry(world)))
    with pytest.raises(SystemExit, match=r"^deploy: MODEL_NAME or .* run \./scripts/deploy --watch again$"):
        commands.watch(config, None)
    assert world.done == []


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


def failed_candidate() -> World:
    world = served_world("1", candidate="2")
    world.tags["3"], world.wrong = {}, ("2",)
    return world


@pytest.mark.parametrize("champion", ["3", "2", None])
def test_a_candidate_that_failed_is_not_tried_again_because_the_champion_moves(champion: str | None) -> None:
    world = failed_candidate()
    watch = watched(world)
    watch.look(nothing)
    world.wrong = ()  # it would pass now
    world.done.clear()
    if champion:
        world.aliases["champion"] = champion
    else:
        del world.aliases["champion"]
    for _ in range(2):
        watch.look(nothing)
    assert world.served == (champion or "1")
    served = [done for done in world.done if done.startswith("serve")]
    assert served == ([f"serve {champion}"] if champion else [])
    assert world.aliases.get("candidate") == (None if champion == "2" else "2")


def test_a_candidate_that_failed_is_not_tried_again_when_watching_begins_anew() -> None:
    world = failed_candidate()
    watched(world).look(nothing)
    world.wrong = ()
    world.done.clear()
    watch = watched(world)
    watch.look(nothing)
    assert (world.served, world.aliases["candidate"]) == ("1", "2")
    assert "bake 2" not in world.done
    del world.aliases["candidate"]
    watch.look(nothing)
    world.aliases["candidate"] = "2"  # somebody wants it to be tried again
    watch.look(nothing)
    assert world.served == "2"


def test_a_candidate_that_another_deployment_has_tried_meanwhile_is_not_tried_again() -> None:
    class Busy(FakeMode):
        @contextmanager
        def exclusive(self) -> Iterator[None]:
            if "failure" not in world.tags["2"]:
                world.tags["2"]["failure"] = "it answers otherwise"
                raise StackError("another deployment is running")
            yield

    world = served_world("1", candidate="2")
    watch = Watch(FakeRegistry(world), lambda: Busy(world))
    for _ in range(2):
        watch.look(nothing)
    assert (world.served, world.done) == ("1", [])

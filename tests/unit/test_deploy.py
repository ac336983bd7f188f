from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from stack.config import load_config
from stack.errors import StackError, TrackingError, UndecidedError, WithdrawnError
from stack.modes.environment import Environment
from stack.modes.mode import AtStores, Check, Scorer, Served, Service, Unneeded, nothing
from stack.release.canary import Canary
from stack.release.client import Door
from stack.release.deploy import deploy, rollback_target, serve_last
from stack.release.registry import Registry
from stack.release.replay import FailedInsideError, Record

PYTHON = "3.13"
LIVE = {"replay": "passed: all equal", "deployed_at": "2026-01-01T00:00:00+00:00"}


class Killed(BaseException):
    """Nothing may catch it, as nothing can catch SIGKILL."""


@dataclass
class World:
    """A registered model and what is served, and how far a deployment gets before it is killed."""

    aliases: dict[str, str]
    tags: dict[str, dict[str, str]]
    images: dict[str, str] = field(default_factory=dict)
    useless: list[str] = field(default_factory=lambda: ["an image without a name"])
    served: str | None = None
    last_served: str | None = None
    is_healthy: bool = True
    trial: str | None = None
    unfit: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    starts_first: bool = False
    fits_beside: bool = True
    is_current: bool = True
    done: list[str] = field(default_factory=list)
    tracking_dies: bool = False
    steps_left: int | None = None
    is_gone: bool = False
    model_served: str = "iris"
    worse: tuple[str, ...] = ()
    worse_in_the_end: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    created: dict[str, datetime] = field(default_factory=dict)

    def step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                if self.tracking_dies:
                    raise TrackingError("no answer")
                raise Killed

    def change(self, change: Callable[[], object]) -> None:
        """Make a change that one may be killed right before and right after."""
        self.step()
        change()
        self.step()


class FakeClient:
    """The calls of MlflowClient that a deployment makes."""

    tracking_uri = "http://registry"

    def __init__(self, world: World, *, is_registered: bool = True) -> None:
        self.world = world
        self.is_registered = is_registered

    @property
    def aliases(self) -> dict[str, str]:
        if self.world.is_gone:
            raise MlflowException("no answer")
        return self.world.aliases

    def get_registered_model(self, name: str) -> Any:  # noqa: ANN401
        if not self.is_registered:
            raise MlflowException(f"no {name}", error_code=RESOURCE_DOES_NOT_EXIST)
        return self

    def get_model_version(self, name: str, version: str) -> ModelVersion:
        if self.world.is_gone:
            raise MlflowException("no answer")
        if version not in self.world.tags:
            raise MlflowException(f"no {version}", error_code=RESOURCE_DOES_NOT_EXIST)
        tags = [ModelVersionTag(key, value) for key, value in self.world.tags[version].items()]
        created = self.world.created.get(version, datetime(2020, 1, 1, tzinfo=UTC))
        return ModelVersion(name, version, int(created.timestamp() * 1000), tags=tags)

    def search_model_versions(self, _filter: str) -> list[ModelVersion]:
        return [self.get_model_version("iris", version) for version in self.world.tags]

    def set_registered_model_alias(self, _name: str, alias: str, version: str) -> None:
        self.world.change(lambda: self.world.aliases.update({alias: version}))

    def delete_registered_model_alias(self, _name: str, alias: str) -> None:
        self.world.change(lambda: self.world.aliases.pop(alias))

    def set_model_version_tag(self, _name: str, version: str, key: str, value: str) -> None:
        self.world.change(lambda: self.world.tags[version].update({key: value}))

    def delete_model_version_tag(self, _name: str, version: str, key: str) -> None:
        self.world.change(lambda: self.world.tags[version].pop(key))


class FakeRegistry(Registry):
    def __init__(self, world: World, client: FakeClient | None = None) -> None:
        super().__init__(client or FakeClient(world), "iris")  # type: ignore[arg-type]
        self.world = world

    def replay(self, number: str) -> dict[str, Any] | None:
        self.version(number)
        return {"exchanges": [{"request": {"world": self.world, "version": number}, "answers": []}]}

    def fetch(self, number: str, directory: Path) -> Path:
        self.version(number)
        (directory / "MLmodel").write_text(f"flavors: {{python_function: {{python_version: {PYTHON}.1}}}}")
        return directory


class FakeMode:
    config = load_config({"SERVER_TIMEOUT": "7", "SERVER_QUEUE": "3"}, Path("none"))

    def __init__(self, world: World) -> None:
        self.world = world

    def last_log(self) -> str:
        return "    KeyError: 'price'"

    def check(self) -> None:
        pass

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def clean_up(self) -> None:
        self.world.trial = None

    def image_id(self, version: str) -> str:
        return self.world.images.get(version, "")

    python = PYTHON

    def scratch(self) -> AbstractContextManager[str]:
        return TemporaryDirectory()

    def prepare(self, *_args: object) -> str:
        raise AssertionError("the lock does for these models")

    def answer(self, *_args: object) -> str:
        raise AssertionError("a version with held-out rows is checked by these")

    def check_spark(self, *_args: object) -> None:
        raise AssertionError("a deployment scores no files")

    def scorer(self, *_args: object) -> Scorer:
        raise AssertionError("a deployment scores no files")

    def bake(self, version: str, _model: Path, environment: Environment | None) -> None:
        assert environment is None
        self.world.done.append(f"bake {version}")
        self.world.change(lambda: self.world.images.update({version: f"image {version}"}))

    def at_stores(self) -> AbstractContextManager[AtStores]:
        raise AssertionError("a deployment leaves the stores to the tracking server")

    def of_model(self, name: str) -> "FakeMode":  # noqa: ARG002
        raise AssertionError("a deployment is of one model")

    def baked_models(self) -> list[str]:
        raise AssertionError("a deployment is of one model")

    def unneeded(self, versions: Mapping[str, Collection[str]]) -> list[Unneeded]:  # noqa: ARG002
        raise AssertionError("a deployment discards")

    def remove(self, unneeded: Unneeded) -> str:  # noqa: ARG002
        raise AssertionError("a deployment discards")

    def check_split(self) -> None:
        raise AssertionError("whoever calls a deployment has checked that")

    @contextmanager
    def split(self, percent: int) -> Iterator[Callable[[], bool]]:
        assert self.world.trial
        self.world.done.append(f"split {percent}")
        yield lambda: True
        self.world.done.append("split no more")

    def served_url(self) -> str:
        return str(self.world.served)

    @property
    def starts_beside(self) -> bool:
        return self.world.starts_first

    def fits_beside(self) -> bool:
        return self.world.fits_beside

    @contextmanager
    def trial(self, version: str) -> Iterator[str]:
        self.world.done.append(f"try {version}")
        self.world.change(lambda: setattr(self.world, "trial", version))
        try:
            yield version
        except StackError:
            self.world.trial = None
            raise
        self.world.change(lambda: setattr(self.world, "trial", None))

    def serve(self, version: str, check: Check = nothing) -> None:
        self.world.done.append(f"serve {version}")
        if not (self.world.starts_first and self.world.fits_beside):
            self.world.change(lambda: setattr(self.world, "served", None))
        before = self.world.served
        if version in self.world.unfit:
            raise StackError(f"{version} did not become healthy")
        self.world.change(lambda: setattr(self.world, "served", version))
        self.world.is_healthy = self.world.is_current = True
        try:
            check(version)
        except StackError:
            self.world.served = before
            raise

    def stop_serving(self) -> None:
        self.world.change(lambda: setattr(self.world, "served", None))

    def is_current(self) -> bool:
        return self.world.is_current

    def served(self) -> Served | None:
        if self.world.served is None:
            return None
        return Served(
            self.world.model_served,
            self.world.served,
            self.image_id(self.world.served),
            self.world.is_healthy,
        )

    def remember(self, version: str) -> None:
        assert version == self.world.served
        self.world.change(lambda: setattr(self.world, "last_served", version))

    def last_served(self) -> str | None:
        return self.world.last_served

    def baked_versions(self) -> list[str]:
        return list(self.world.images)

    def discard(self, version: str) -> None:
        self.world.change(lambda: self.world.images.pop(version))

    def tidy(self) -> None:
        self.world.change(lambda: self.world.useless.clear())

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        on_wait()

    def services(self) -> list[Service]:
        return []


def served_world(champion: str, *others: str, **aliases: str) -> World:
    """Return a world in which versions have gone live one after another, and the champion is served."""
    versions = {champion, *others, *aliases.values()}
    lived = [champion, *others]
    tags = {
        version: {"image_id": f"image {version}", **LIVE} if version in lived else {} for version in versions
    }
    tags[champion]["deployed_at"] = "2026-02-02T00:00:00+00:00"
    images = {version: f"image {version}" for version in lived}
    return World({"champion": champion, **aliases}, tags, images, served=champion)


def run(world: World, version: str | None = None, **options: Any) -> str:  # noqa: ANN401
    return deploy(FakeRegistry(world), FakeMode(world), version, **options)


def fake_replay(url: str, record: Record, *, timeout: int, queue: int, door: Door) -> str:
    if not record.exchanges:
        return "2 wrong requests refused"
    world, version = record.exchanges[0].request["world"], record.exchanges[0].request["version"]
    assert (timeout, queue, door) == (7, 3, Door())
    assert url == version
    assert version in (world.trial, world.served)
    world.step()
    if version in world.failing:
        raise FailedInsideError("it answered with status 500")
    if version in world.wrong:
        raise StackError("it answers otherwise")
    return "all equal"


def canary_in(world: World, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """Return a canary for a world, where no time passes."""

    class Comparison:
        def __init__(self, new: tuple[str, str], old: tuple[str, str]) -> None:
            self.version = new[0]
            assert new == (world.trial, world.trial)
            assert old == (world.served, world.served)

        def follow(self, is_on: Callable[[], bool], seconds: float, check: Callable[[], None]) -> None:
            check()
            assert is_on()
            world.step()
            world.done.append(f"compare {self.version} for {seconds}")
            if self.version in world.worse:
                raise WithdrawnError(f"version {self.version} is withdrawn: 7 of 10 requests failed")

        def drain(self, seconds: float) -> None:
            assert world.trial == self.version
            world.done.append(f"drain for {seconds}")

        def judge(self) -> None:
            assert world.trial == self.version
            if self.version in world.worse_in_the_end:
                raise WithdrawnError(f"version {self.version} is withdrawn: it hangs")
            if self.version in world.unknown:
                raise UndecidedError("too few requests")

    monkeypatch.setattr("stack.release.canary.Comparison", Comparison)
    return Canary(10, 60)


@pytest.fixture(autouse=True)
def _replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.release.replay.replay", fake_replay)


def assert_settled(world: World, champion: str) -> None:
    """Check what must hold whenever a deployment has ended."""
    assert world.served == world.aliases["champion"] == champion
    assert world.is_healthy
    tags = world.tags[champion]
    assert tags["image_id"] == world.images[champion]
    assert tags["replay"].startswith("passed")
    assert tags["deployed_at"]
    assert "failure" not in tags
    assert world.trial is None
    assert world.last_served in (champion, None)


def test_the_first_candidate_is_replayed_where_it_is_served_and_becomes_champion() -> None:
    world = World({"candidate": "1"}, {"1": {}})
    assert run(world) == "1"
    assert world.done == ["bake 1", "serve 1"]
    assert world.aliases == {"champion": "1"}
    assert world.tags["1"]["replay"] == "passed: all equal"
    assert_settled(world, "1")


def test_the_champion_before_becomes_previous() -> None:
    world = served_world("2", "1", previous="1", candidate="3")
    run(world)
    assert world.aliases == {"champion": "3", "previous": "2"}
    assert_settled(world, "3")


def test_nothing_is_done_when_the_champion_is_served_already() -> None:
    world = served_world("2", "1", previous="1")
    before = dict(world.tags["2"])
    run(world)
    assert world.done == []
    assert world.tags["2"] == before


def test_what_was_served_last_is_served_before_there_is_a_tracking_server(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World({}, {}, last_served="2", trial="left behind", is_gone=True)
    serve_last(FakeMode(world))
    assert (world.served, world.trial, world.done) == ("2", None, ["serve 2"])
    assert "version 2 until a new version is ready" in capsys.readouterr().out


@pytest.mark.parametrize(("served", "last"), [("1", "2"), (None, None)])
def test_nothing_is_served_meanwhile_where_something_is_or_nothing_was(
    served: str | None, last: str | None
) -> None:
    world = World({}, {}, served=served, last_served=last)
    serve_last(FakeMode(world))
    assert (world.served, world.done) == (served, [])


def test_that_the_last_one_can_not_be_served_meanwhile_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    serve_last(FakeMode(World({}, {}, last_served="2", unfit=("2",))))
    assert "version 2 can't be served until then: 2 did not become healthy" in capsys.readouterr().err


def test_a_champion_that_is_not_served_is_served_again_without_a_bake() -> None:
    world = served_world("2", "1", previous="1")
    world.served = None
    run(world)
    assert world.done == ["serve 2"]
    assert world.aliases == {"champion": "2", "previous": "1"}
    assert_settled(world, "2")


def test_a_champion_that_is_not_healthy_is_started_anew() -> None:
    world = served_world("2")
    world.is_healthy = False
    run(world)
    assert world.done == ["serve 2"]
    assert_settled(world, "2")


def test_a_champion_whose_image_is_gone_is_baked_and_replayed_again() -> None:
    world = served_world("2")
    world.served, world.images = None, {}
    run(world)
    assert world.done == ["bake 2", "serve 2"]
    assert_settled(world, "2")


def test_an_image_that_is_not_the_one_that_was_checked_is_not_served() -> None:
    world = served_world("2", candidate="3")
    world.tags["3"] = {"image_id": "image of old", **LIVE}
    world.images["3"] = "another image"
    run(world)
    assert world.done == ["bake 3", "try 3", "serve 3"]


def test_the_champion_is_served_while_the_candidate_is_made_ready() -> None:
    world = served_world("1", candidate="2")
    world.served = None
    run(world)
    assert world.done == ["serve 1", "bake 2", "try 2", "serve 2"]
    assert_settled(world, "2")


def test_a_candidate_is_deployed_even_if_the_champion_can_not_be_served_meanwhile() -> None:
    world = served_world("1", candidate="2")
    world.served, world.unfit = None, ("1",)
    run(world)
    assert world.aliases == {"champion": "2", "previous": "1"}
    assert_settled(world, "2")


def test_a_wrong_answer_leaves_the_champion_serving_and_is_told_on_the_version() -> None:
    world = served_world("1", candidate="2")
    world.wrong = ("2",)
    with pytest.raises(StackError, match="version 2 of iris failed the replay: it answers otherwise"):
        run(world)
    assert world.done == ["bake 2", "try 2"]
    assert world.aliases == {"champion": "1", "candidate": "2"}
    assert world.tags["2"]["replay"] == "failed: it answers otherwise"
    assert "failed the replay" in world.tags["2"]["failure"]
    assert_settled(world, "1")


def test_a_version_that_fails_inside_is_told_with_the_end_of_its_log() -> None:
    world = served_world("1", candidate="2")
    world.failing = ("2",)
    told = "it answered with status 500. The end of its log:\n    KeyError: 'price'"
    with pytest.raises(StackError, match=f"version 2 of iris failed the replay: {told}"):
        run(world)
    assert world.tags["2"]["replay"] == f"failed: {told}"
    assert_settled(world, "1")


@pytest.mark.parametrize("starts_first", [False, True])
def test_a_version_that_does_not_start_gives_way_to_the_one_before(starts_first: bool) -> None:
    world = served_world("1", candidate="2")
    world.unfit, world.starts_first = ("2",), starts_first
    with pytest.raises(StackError, match="2 did not become healthy"):
        run(world)
    # Where the new one starts first, the one before has never been stopped.
    assert world.done == ["bake 2", "try 2", "serve 2", *([] if starts_first else ["serve 1"])]
    assert world.aliases == {"champion": "1", "candidate": "2"}
    assert world.tags["2"]["failure"] == "2 did not become healthy"
    assert_settled(world, "1")


@pytest.mark.parametrize("wrong", [(), ("2",)])
def test_without_memory_for_two_the_one_before_stops_first_and_that_is_said(
    wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    world = served_world("1", candidate="2")
    world.fits_beside, world.wrong = False, wrong
    if not wrong:
        run(world)
        assert world.done == ["bake 2", "serve 2"]
        assert_settled(world, "2")
    else:
        with pytest.raises(StackError, match="failed the replay"):
            run(world)
        assert world.done == ["bake 2", "serve 2", "serve 1"]
        assert_settled(world, "1")
    assert "there is no memory for two model servers, so version 1 stops first" in capsys.readouterr().out


def test_what_had_to_stop_first_is_served_again_when_the_tracking_server_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_answer(*_: object, **__: object) -> str:
        raise TrackingError("no answer")

    monkeypatch.setattr("stack.release.replay.replay", no_answer)
    world = served_world("1", candidate="2")
    world.fits_beside = False
    with pytest.raises(TrackingError):
        run(world)
    assert world.done == ["bake 2", "serve 2", "serve 1"]
    assert_settled(world, "1")


def test_nothing_that_is_served_already_has_to_stop_for_want_of_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = served_world("2")
    world.starts_first, world.fits_beside = True, False
    run(world)
    assert world.done == []
    assert "no memory" not in capsys.readouterr().out


def test_a_first_version_that_answers_otherwise_does_not_stay() -> None:
    world = World({"candidate": "1"}, {"1": {}}, wrong=("1",))
    with pytest.raises(StackError, match="version 1 of iris failed the replay: it answers otherwise"):
        run(world)
    assert world.served is None
    assert world.aliases == {"candidate": "1"}
    assert world.tags["1"]["replay"] == "failed: it answers otherwise"


def test_a_first_version_that_was_never_checked_does_not_stay_when_the_next_is_wrong() -> None:
    world = World({"candidate": "2"}, {"1": {}, "2": {}}, {"1": "image 1"}, served="1", wrong=("2",))
    with pytest.raises(StackError, match="failed the replay"):
        run(world)
    assert world.served is None


def test_a_champion_with_the_settings_of_yesterday_is_started_anew() -> None:
    world = served_world("2")
    world.is_current = False
    run(world)
    assert world.done == ["serve 2"]
    assert_settled(world, "2")


def test_a_version_that_failed_may_succeed_later_and_then_bears_no_failure() -> None:
    world = served_world("1", candidate="2")
    world.wrong = ("2",)
    with pytest.raises(StackError):
        run(world)
    world.wrong = ()
    run(world)
    assert_settled(world, "2")


def test_when_nothing_becomes_healthy_both_reasons_are_told() -> None:
    world = served_world("1", candidate="2")
    world.unfit = ("1", "2")
    with pytest.raises(StackError, match=r"2 did not .*\nand version 1, which .* before, .*: 1 did not"):
        run(world)
    assert world.aliases == {"champion": "1", "candidate": "2"}
    assert "fails to start too: 1 did not" in world.tags["2"]["failure"]


def test_an_alias_that_was_moved_by_hand_is_followed() -> None:
    world = served_world("3", "2", "1", previous="2")
    world.aliases["champion"] = "1"
    run(world)
    assert world.done == ["serve 1"]
    assert world.aliases == {"champion": "1", "previous": "3"}
    assert_settled(world, "1")


def test_what_another_registry_had_goes_on_if_the_first_version_of_this_one_is_wrong() -> None:
    """As after a change of the stores: the model server serves, and no version was ever live."""
    world = World({"candidate": "1"}, {"1": {}}, served="7", last_served="7", wrong=("1",))
    with pytest.raises(StackError, match="failed the replay"):
        run(world)
    assert world.served == "7"


def test_an_alias_that_was_moved_by_hand_to_a_wrong_version_is_put_back() -> None:
    world = served_world("3", "1", previous="1")
    world.tags["2"] = {}
    world.aliases["champion"] = "2"
    world.wrong = ("2",)
    with pytest.raises(StackError, match="failed the replay"):
        run(world)
    assert world.aliases == {"champion": "3", "previous": "1"}
    assert_settled(world, "3")


def test_an_alias_that_was_moved_by_hand_goes_before_a_waiting_candidate() -> None:
    world = served_world("3", "2", "1", candidate="4")
    world.aliases["champion"] = "1"
    run(world)
    assert world.aliases == {"champion": "1", "previous": "3", "candidate": "4"}
    assert_settled(world, "1")


def test_a_champion_that_was_set_by_hand_and_never_went_live_is_nothing_to_go_back_to() -> None:
    world = World({"champion": "1", "candidate": "2"}, {"1": {}, "2": {}}, wrong=("1",))
    run(world)
    assert world.aliases == {"champion": "2"}
    assert_settled(world, "2")


def test_an_alias_that_was_moved_by_hand_while_nothing_was_served_is_put_back_too() -> None:
    world = not_served(served_world("3", "1", previous="1"))
    world.tags["2"] = {}
    world.aliases["champion"] = "2"
    world.wrong = ("2",)
    with pytest.raises(StackError, match="failed the replay"):
        run(world)
    assert world.aliases == {"champion": "3", "previous": "1"}
    assert_settled(world, "3")


def test_the_version_before_is_served_again_even_if_the_tracking_server_is_gone_by_then() -> None:
    class Gone(FakeMode):
        def serve(self, version: str, check: Check = nothing) -> None:
            if version == "2":
                world.is_gone = True
            super().serve(version, check)

    world = served_world("1", candidate="2")
    world.unfit = ("2",)
    with pytest.raises(StackError, match=r"(?s)2 did not become healthy.*the tag `failure` could not be set"):
        deploy(FakeRegistry(world), Gone(world))
    assert world.served == "1"


def test_any_registered_version_can_be_promoted_and_a_waiting_candidate_stays_one() -> None:
    world = served_world("3", "2", candidate="4")
    world.tags["1"] = {"gate": "refused: too bad"}
    run(world, "1")
    assert world.aliases == {"champion": "1", "previous": "3", "candidate": "4"}
    assert_settled(world, "1")


def test_a_version_that_is_promoted_unchecked_is_tagged_so_and_stays_so() -> None:
    world = served_world("1", candidate="2")
    world.wrong = ("2",)
    run(world, "2", unchecked=True)
    assert world.tags["2"]["replay"] == "unchecked: 2 wrong requests refused"
    assert world.aliases["champion"] == world.served == "2"
    world.images["2"] = "image on another base"
    run(world)
    assert world.tags["2"]["image_id"] == world.images["2"] == "image 2"
    assert world.tags["2"]["replay"].startswith("unchecked")
    run(world, "1")
    run(world, rollback_target(FakeRegistry(world), FakeMode(world)))
    assert world.served == "2"
    assert world.done.count("bake 2") == 2


def test_a_version_that_was_copied_with_its_tags_has_not_been_live() -> None:
    world = served_world("1")
    world.tags["2"] = {**world.tags["1"], "deployed_at": "2030-01-01T00:00:00+00:00"}
    world.created["2"] = datetime(2030, 1, 2, tzinfo=UTC)
    world.served = None
    run(world)
    assert world.done == ["serve 1"]


def test_a_version_that_is_not_registered_can_not_be_promoted() -> None:
    world = served_world("1")
    with pytest.raises(StackError, match="no version 7 of iris is registered"):
        run(world, "7")
    assert world.done == []
    assert_settled(world, "1")


def test_a_rollback_serves_the_previous_version_without_a_bake_and_a_second_goes_forward() -> None:
    world = served_world("2", "1", previous="1")
    registry = FakeRegistry(world)
    run(world, rollback_target(registry, FakeMode(world)))
    assert world.done == ["serve 1"]
    assert world.aliases == {"champion": "1", "previous": "2"}
    run(world, rollback_target(registry, FakeMode(world)))
    assert world.aliases == {"champion": "2", "previous": "1"}
    assert_settled(world, "2")


@pytest.mark.parametrize("aliases", [{"champion": "1"}, {"champion": "1", "previous": "1"}])
def test_there_may_be_nothing_to_roll_back_to(aliases: dict[str, str]) -> None:
    world = World(aliases, {"1": {}})
    with pytest.raises(StackError, match=r"nothing to go back to.*\./scripts/promote VERSION"):
        rollback_target(FakeRegistry(world), FakeMode(world))


def test_an_interruption_before_the_switch_leaves_the_champion_serving() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    world = served_world("1", candidate="2")
    with pytest.raises(KeyboardInterrupt):
        run(world, check=interrupted)
    assert world.aliases == {"champion": "1", "candidate": "2"}
    assert_settled(world, "1")


def test_old_images_are_removed_except_champion_previous_candidate_and_two_others() -> None:
    world = served_world("6", "10", "9", "8", "7", "3", "1", previous="3")
    run(world)
    assert set(world.images) == {"6", "3", "10", "9"}
    assert world.useless == []


@pytest.mark.parametrize("aliases", [{}, {"previous": "1"}])
def test_with_nothing_to_deploy_it_says_how_to_train(aliases: dict[str, str]) -> None:
    world = World(aliases, {"1": {}})
    with pytest.raises(StackError, match=r"nothing to serve.*run: \./scripts/train"):
        run(world)
    assert world.done == []


def test_without_a_registered_model_it_says_how_to_train() -> None:
    world = World({}, {})
    registry = FakeRegistry(world, FakeClient(world, is_registered=False))
    with pytest.raises(StackError, match=r"no model is registered as iris; run: \./scripts/train"):
        deploy(registry, FakeMode(world))


SCENARIOS: dict[str, tuple[Callable[[], World], str | None, str]] = {
    "the first candidate": (lambda: World({"candidate": "1"}, {"1": {}}), None, "1"),
    "a candidate": (lambda: served_world("2", "1", previous="1", candidate="3"), None, "3"),
    "a candidate, nothing served": (lambda: not_served(served_world("2", "1", candidate="3")), None, "3"),
    "a promotion": (lambda: served_world("2", "1", previous="1", other="3"), "3", "3"),
    "a rollback": (lambda: served_world("2", "1", previous="1"), "1", "1"),
    "an alias moved by hand": (lambda: moved(served_world("3", "2", "1", previous="2"), "1"), None, "1"),
    "a bake and old images": (lambda: served_world("5", "4", "3", "2", "1", candidate="6"), None, "6"),
}


def not_served(world: World) -> World:
    world.served = None
    return world


def moved(world: World, champion: str) -> World:
    world.aliases["champion"] = champion
    return world


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("tracking_dies", [False, True], ids=["killed", "tracking server gone"])
@pytest.mark.parametrize(
    ("starts_first", "fits_beside"),
    [(False, True), (True, True), (True, False), (False, False)],
    ids=["stop first", "start first", "no memory", "stop first, no memory"],
)
def test_a_deployment_that_is_cut_off_anywhere_is_finished_by_the_next(
    name: str, tracking_dies: bool, starts_first: bool, fits_beside: bool
) -> None:
    make, version, champion = SCENARIOS[name]
    whole = make()
    run(whole, version)
    for steps in range(200):
        world = make()
        world.starts_first, world.fits_beside = starts_first, fits_beside
        world.tracking_dies, world.steps_left = tracking_dies, steps
        try:
            run(world, version)
        except (Killed, TrackingError):
            world.steps_left = None
            run(world, version)
        else:
            break
        assert_settled(world, champion)
        if name == "an alias moved by hand" and world.aliases["previous"] == "2":
            world.aliases["previous"] = (
                "3"  # where it had been moved from is forgotten; any former champion will do
            )
        assert world.aliases == whole.aliases
    assert 4 < steps < 199


# What a canary goes through; the split ends before what it has begun is waited for.
COMPARED = ["split 10", "compare {} for 60", "split no more", "drain for 7"]


def compared(version: str) -> list[str]:
    return [step.format(version) for step in COMPARED]


def world_of_canary(**others: Any) -> World:  # noqa: ANN401
    """Return a world behind a gateway, in which 2 is the candidate and 1 the champion."""
    world = served_world("1", candidate="2")
    vars(world).update(starts_first=True, **others)
    return world


def test_a_canary_is_compared_before_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of_canary()
    assert run(world, "2", canary=canary_in(world, monkeypatch)) == "2"
    assert world.done == ["bake 2", "try 2", *compared("2"), "serve 2"]
    assert_settled(world, "2")


def test_a_canary_that_has_passed_before_is_not_replayed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = served_world("2", "1")
    vars(world).update(failing=("1",), starts_first=True)
    run(world, "1", canary=canary_in(world, monkeypatch))
    assert world.done == ["try 1", *compared("1"), "serve 1"]
    assert_settled(world, "1")


def test_a_canary_that_is_worse_is_withdrawn_with_the_numbers_and_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_of_canary(worse=("2",))
    with pytest.raises(StackError, match="version 2 is withdrawn: 7 of 10 requests failed"):
        run(world, "2", canary=canary_in(world, monkeypatch))
    assert world.done[-1] == "drain for 10"
    assert world.tags["2"]["failure"] == "version 2 is withdrawn: 7 of 10 requests failed"
    assert world.tags["2"]["replay"] == "passed: all equal"
    assert_settled(world, "1")
    # It passes the replay, so as the candidate it would go live now.
    run(world)
    assert world.aliases == {"champion": "1"}
    assert_settled(world, "1")


def test_a_canary_that_hangs_is_withdrawn_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of_canary(worse_in_the_end=("2",))
    with pytest.raises(StackError, match="version 2 is withdrawn: it hangs"):
        run(world, "2", canary=canary_in(world, monkeypatch))
    assert world.aliases == {"champion": "1"}
    assert_settled(world, "1")


def test_a_canary_of_which_nothing_is_known_is_not_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of_canary(unknown=("2",))
    with pytest.raises(StackError, match="too few requests"):
        run(world, "2", canary=canary_in(world, monkeypatch))
    assert "failure" not in world.tags["2"]
    assert world.aliases == {"champion": "1", "candidate": "2"}
    assert_settled(world, "1")


def test_a_canary_that_is_wrong_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of_canary(wrong=("2",))
    with pytest.raises(StackError, match="version 2 of iris failed the replay"):
        run(world, "2", canary=canary_in(world, monkeypatch))
    assert world.done == ["bake 2", "try 2"]
    assert_settled(world, "1")


def test_a_canary_can_be_killed_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in range(200):
        world = world_of_canary(steps_left=steps)
        try:
            run(world, "2", canary=canary_in(world, monkeypatch))
        except Killed:
            world.steps_left = None
            run(world)
        else:
            break
        assert_settled(world, "2")
    assert 4 < steps < 199


def test_a_version_that_is_served_already_is_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    world = served_world("1")
    run(world, "1", canary=canary_in(world, monkeypatch))
    assert world.done == []


@pytest.mark.parametrize(
    ("where", "why"),
    [
        # Then the champion is served again.
        ({"served": None}, "nothing is served to compare with, so there can be no canary"),
        ({"fits_beside": False}, "no memory for two model servers, so there can be no canary"),
        ({"model_served": "wine"}, "what is served is a version of another model, wine"),
    ],
)
def test_where_there_can_be_no_canary_what_is_served_stays(
    monkeypatch: pytest.MonkeyPatch, where: dict[str, Any], why: str
) -> None:
    world = world_of_canary(**where)
    with pytest.raises(StackError, match=why):
        run(world, "2", canary=canary_in(world, monkeypatch))
    assert "try 2" not in world.done
    assert "failure" not in world.tags["2"]
    assert world.served == "1"


def test_a_rollback_that_is_killed_can_be_run_again() -> None:
    for steps in range(200):
        world = served_world("2", "1", previous="1")
        world.steps_left = steps
        try:
            run(world, rollback_target(FakeRegistry(world), FakeMode(world)))
        except Killed:
            world.steps_left = None
            if world.aliases["champion"] == "2":
                run(world, rollback_target(FakeRegistry(world), FakeMode(world)))
            else:
                run(world)  # it has gone back: a second rollback would go forward again
        else:
            break
        assert_settled(world, "1")
        assert world.aliases == {"champion": "1", "previous": "2"}
    assert 4 < steps < 199


@pytest.mark.parametrize("name", ["a promotion", "a rollback", "a candidate"])
def test_a_command_that_was_cut_off_leaves_what_deploy_makes_consistent(name: str) -> None:
    make, version, _ = SCENARIOS[name]
    for steps in range(200):
        world = make()
        world.steps_left = steps
        try:
            run(world, version)
        except Killed:
            world.steps_left = None
            run(world)
        else:
            break
        assert_settled(world, world.aliases["champion"])
    assert 4 < steps < 199

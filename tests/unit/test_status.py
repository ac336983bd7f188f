import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from stack.config import load_config
from stack.errors import StackError, TrackingError
from stack.modes.mode import Mode, Served, Service
from stack.release.registry import Registry
from stack.release.status import Status, as_json, as_text, disagreements, look, remedy

CONFIG = load_config({}, Path("/nonexistent/.env"))
SERVED = Served("iris", "2", "sha256:two", is_healthy=True)
RIGHT = {"image_id": "sha256:two", "replay": "passed: 30 answers equal", "metric": "accuracy 0.97"}
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=timezone(timedelta(hours=2)))
UP = [
    Service("tracking", True, "healthy", NOON),
    Service("trainer", False, "exited 0", NOON),
    Service("deploy", False, "not there", None),
    Service("serving", True, "healthy", NOON),
]
STATUS = Status(
    UP, "iris", SERVED, "run1", "accuracy 0.97", RIGHT["replay"], {"champion": "2", "previous": "1"}, []
)


class FakeRegistry(Registry):
    def __init__(self, aliases: dict[str, str] | Exception) -> None:
        self.model_name = "iris"
        self.found = aliases

    def aliases(self) -> dict[str, str]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def version(self, number: str) -> ModelVersion:
        tags = [ModelVersionTag(key, value) for key, value in RIGHT.items()]
        return ModelVersion("iris", number, 0, run_id="run1", tags=tags)


def fake_mode(services: list[Service], served: Served | None) -> Mode:
    return cast(Mode, SimpleNamespace(services=lambda: services, served=lambda: served))


@pytest.fixture
def _tracking_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.release.status.no_answer", lambda _: None)


def test_the_healthy_champion_that_was_found_right_is_as_it_should_be() -> None:
    assert disagreements("iris", SERVED, {"champion": "2", "candidate": "3"}, RIGHT) == []


def test_a_version_that_somebody_promoted_unchecked_is_as_it_should_be() -> None:
    tags = RIGHT | {"replay": "unchecked: 2 wrong requests refused"}
    assert disagreements("iris", SERVED, {"champion": "2"}, tags) == []


def test_a_stack_that_was_never_deployed_to_is_as_it_should_be() -> None:
    assert disagreements("iris", None, {"candidate": "1"}, {}) == []


@pytest.mark.parametrize(
    ("served", "champion", "tags", "told"),
    [
        (None, "2", {}, "nothing is served, but version 2 is champion"),
        (replace(SERVED, model_name="wine"), "2", {}, "a version of wine is served, expected one of iris"),
        (replace(SERVED, is_healthy=False), "2", RIGHT, "version 2 is served, but is not healthy"),
        (SERVED, "1", RIGHT, "version 2 is served, but the champion is 1"),
        (SERVED, None, RIGHT, "version 2 is served, but there is no champion"),
        (
            replace(SERVED, image_id="sha256:other"),
            "2",
            RIGHT,
            "image sha256:other is served, expected sha256:two, which passed the replay",
        ),
        (
            replace(SERVED, image_id=""),
            "2",
            {},
            "image (none) is served, expected (none), which passed the replay",
        ),
        (
            SERVED,
            "2",
            RIGHT | {"replay": "failed: no answer"},
            "version 2 is served, but its replay failed: no answer",
        ),
        (SERVED, "2", {"image_id": "sha256:two"}, "version 2 is served, but its replay was not done"),
    ],
)
def test_each_disagreement_is_told(
    served: Served | None, champion: str | None, tags: dict[str, str], told: str
) -> None:
    aliases = {"champion": champion} if champion else {}
    assert disagreements("iris", served, aliases, tags) == [told]


def test_all_disagreements_are_told_at_once() -> None:
    assert len(disagreements("iris", replace(SERVED, is_healthy=False), {"champion": "1"}, {})) == 3


@pytest.mark.usefixtures("_tracking_answers")
def test_a_look_brings_the_machine_and_the_registry_together() -> None:
    assert look(CONFIG, fake_mode(UP, SERVED), FakeRegistry(STATUS.aliases)) == STATUS


@pytest.mark.usefixtures("_tracking_answers")
def test_a_server_that_is_not_up_is_told_and_a_finished_trainer_is_not() -> None:
    down = [replace(service, is_up=False) for service in [*UP, Service("watch", True, "up", NOON)]]
    status = look(CONFIG, fake_mode(down, None), FakeRegistry({}))
    assert status.disagreements == ["tracking is not up", "serving is not up", "watch is not up"]


@pytest.mark.usefixtures("_tracking_answers")
def test_another_models_version_is_not_looked_up_in_this_one() -> None:
    status = look(CONFIG, fake_mode(UP, replace(SERVED, model_name="wine")), FakeRegistry({"champion": "2"}))
    assert (status.run_id, status.metric) == (None, None)
    assert status.disagreements == ["a version of wine is served, expected one of iris"]


@pytest.mark.usefixtures("_tracking_answers")
@pytest.mark.parametrize("error", [StackError("no model is registered"), TrackingError("no database")])
def test_what_the_registry_fails_at_is_told(error: Exception) -> None:
    status = look(CONFIG, fake_mode(UP, None), FakeRegistry(error))
    assert status.disagreements == [str(error)]


def test_a_tracking_server_that_does_not_answer_is_told_and_not_asked(free_ports: tuple[int, int]) -> None:
    config = replace(CONFIG, tracking_url=f"http://127.0.0.1:{free_ports[0]}")
    status = look(config, fake_mode(UP, SERVED), FakeRegistry(AssertionError("asked")))
    [told] = status.disagreements
    assert told.startswith(f"the tracking server does not answer: {config.tracking_url}/health")
    assert (status.served, status.aliases) == (SERVED, {})


def test_the_text_says_what_is_served_and_that_all_agree() -> None:
    lines = as_text(STATUS).splitlines()
    assert lines[0] == f"tracking  healthy      since {NOON.astimezone():%Y-%m-%d %H:%M:%S}"
    assert [line.split() for line in lines[2:]] == [
        ["deploy", "not", "there"],
        lines[0].replace("tracking", "serving").split(),
        [],
        ["served", "version", "2", "of", "iris"],
        ["run", "run1"],
        ["image", "sha256:two"],
        ["metric", "accuracy", "0.97"],
        ["replay", "passed:", "30", "answers", "equal"],
        ["aliases", "champion", "2,", "previous", "1"],
        ["all", "agree"],
    ]


def test_the_text_ends_with_what_does_not_agree() -> None:
    told = ["serving is not up", "nothing is served, but version 2 is champion"]
    text = as_text(replace(STATUS, served=None, aliases={}, disagreements=told))
    assert text.splitlines()[-5:] == [
        "served    nothing",
        "aliases   -",
        "these do not agree:",
        f"  {told[0]}",
        f"  {told[1]}",
    ]


def test_the_json_holds_everything_with_times_in_utc() -> None:
    told = json.loads(as_json(STATUS))
    assert told["services"][0] == {
        "name": "tracking",
        "is_up": True,
        "state": "healthy",
        "since": NOON.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    }
    assert told["services"][2]["since"] is None
    assert {name: value for name, value in told.items() if name != "services"} == {
        "model_name": "iris",
        "served": {"model_name": "iris", "version": "2", "image_id": "sha256:two", "is_healthy": True},
        "run_id": "run1",
        "metric": "accuracy 0.97",
        "replay": "passed: 30 answers equal",
        "aliases": {"champion": "2", "previous": "1"},
        "disagreements": [],
        "agree": True,
    }


def test_the_json_says_that_something_does_not_agree() -> None:
    told = json.loads(as_json(replace(STATUS, served=None, disagreements=["serving is not up"])))
    assert (told["served"], told["agree"], told["disagreements"]) == (None, False, ["serving is not up"])


@pytest.mark.parametrize(
    ("told", "foreign", "mends"),
    [
        (["tracking is not up", "the tracking server does not answer: no"], False, "run ./scripts/up"),
        (
            ["the tracking server does not answer: no"],
            True,
            "start that server, or correct MLFLOW_TRACKING_URI",
        ),
        (["serving is not up"], False, "run ./scripts/deploy or ./scripts/up"),
        (["the champion is 3"], True, "run ./scripts/deploy or ./scripts/up"),
    ],
)
def test_what_mends_it_is_told(told: list[str], foreign: bool, mends: str) -> None:
    config = replace(CONFIG, elsewhere="http://team.example.com") if foreign else CONFIG
    assert remedy(config, replace(STATUS, disagreements=told)) == mends

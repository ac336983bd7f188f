import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest

from stack.config import CHECKOUT, load_config
from stack.docker import (
    Docker,
    base_image,
    build_command,
    compose_command,
    compose_environment,
    cut_off_commands,
    image,
    let_in_commands,
    lock_command,
    start_command,
)
from stack.engine import Image
from stack.errors import StackError

CONFIG = load_config(
    {"COMPOSE_PROJECT_NAME": "mine", "MODEL_NAME": "wine", "SERVING_PORT": "7002"},
    Path("/nonexistent/.env"),
)


DATA_SINCE = datetime(2026, 2, 2, tzinfo=UTC)


def an_image(
    identity: str,
    *layers: str,
    platform: str = "linux/amd64",
    names: tuple[str, ...] = (),
    named_at: datetime = DATA_SINCE,
) -> Image:
    return Image(identity, platform, list(layers), list(names), named_at)


def test_an_image_says_whose_model_it_is_and_which_version() -> None:
    assert image(CONFIG, "3") == "mine/wine:3"
    assert base_image(CONFIG) == "mine-base"


def test_compose_is_asked_for_this_stack_wherever_one_is() -> None:
    assert compose_command(CONFIG, "ps", "--all") == [
        "docker",
        "compose",
        "--project-name=mine",
        f"--project-directory={CHECKOUT}",
        "ps",
        "--all",
    ]


@pytest.mark.parametrize("service", ["serving", "trial"])
def test_a_model_server_is_started_anew_and_alone(service: str) -> None:
    command = start_command(CONFIG, service)
    assert command[: len(compose_command(CONFIG)) + 1] == compose_command(CONFIG, "up")
    options = command[len(compose_command(CONFIG)) + 1 : -1]
    assert {"--detach", "--no-deps", "--force-recreate", f"--scale={service}=1"} <= set(options)
    assert command[-1] == service


def test_a_container_is_started_without_a_network_and_let_in_later() -> None:
    assert cut_off_commands(CONFIG, "it") == [
        ["docker", "network", "disconnect", "mine_default", "it"],
        ["docker", "network", "connect", "none", "it"],
        ["docker", "start", "it"],
    ]
    assert let_in_commands(CONFIG, "it") == [
        ["docker", "network", "disconnect", "none", "it"],
        ["docker", "network", "connect", "--alias=serving", "mine_default", "it"],
    ]


def a_container(
    *networks: str,
    status: str = "running",
    version: str = "3",
    **others: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Say what the engine knows of a container of `serving`."""
    endpoint = {"Aliases": ["mine-serving-1", "serving"], "IPAMConfig": None, "MacAddress": ""}
    running = status in ("running", "restarting")
    return {
        "Id": "it",
        "Name": "/mine-serving-1",
        "Image": "sha256:it",
        "Config": {"Image": f"mine/wine:{version}"},
        "HostConfig": {"NetworkMode": "mine_default"},
        "State": {"Status": status, "Running": running, "Restarting": status == "restarting"},
        "RestartCount": 0,
        "NetworkSettings": {"Networks": {name: dict(endpoint) for name in networks}},
        **others,
    }


def with_endpoint(**endpoint: Any) -> dict[str, Any]:  # noqa: ANN401
    made = a_container("mine_default", status="created")
    made["NetworkSettings"]["Networks"]["mine_default"].update(endpoint)
    return made


class Engine:
    """Knows some containers of `serving`; notes the commands that it gets, of which some fail.

    ``made`` is the container that a command with --no-start makes.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *serving: dict[str, Any],
        failing: str = "-",
        made: dict[str, Any] | None = None,
    ) -> None:
        self.commands: list[str] = []
        known = list(serving)

        def run(command: list[str], _: object = None) -> subprocess.CompletedProcess[str]:
            self.commands.append(" ".join(command))
            if made and "--no-start" in command:
                known.append(made)
            return subprocess.CompletedProcess(command, int(failing in command), "", "")

        monkeypatch.setattr("stack.docker.run", run)
        monkeypatch.setattr("stack.docker.find_image", lambda _name: an_image("sha256:it"))
        monkeypatch.setattr(Docker, "_containers", lambda _, name: known if name == "serving" else [])
        monkeypatch.setattr(Docker, "_wait_healthy", lambda _, service: f"http://{service}")
        monkeypatch.setattr("stack.docker.publishes_late", lambda: True)

    def got(self, *starts: str) -> list[str]:
        return [command for command in self.commands if command.startswith(starts)]


@pytest.mark.parametrize(
    ("serving", "is_served"),
    [
        (a_container("mine_default"), True),
        (a_container("none"), False),
        (a_container(), False),
        (a_container("mine_default", status="exited"), False),
        (a_container("proxy", HostConfig={"NetworkMode": "proxy"}), True),
    ],
    ids=["let in", "cut off", "on its way", "ended", "in another network"],
)
def test_what_can_not_be_asked_is_not_served(
    monkeypatch: pytest.MonkeyPatch, serving: dict[str, Any], is_served: bool
) -> None:
    Engine(monkeypatch, serving)
    assert (Docker(CONFIG).served() is not None) == is_served


@pytest.mark.parametrize(
    ("made", "failing", "commands"),
    [
        (with_endpoint(), "-", [" ".join(command) for command in cut_off_commands(CONFIG, "it")]),
        (with_endpoint(), "start", ["docker rm --force it"]),
        (a_container("mine_default", "proxy", status="created"), "-", ["docker rm --force it"]),
        (with_endpoint(Aliases=["serving", "model"]), "-", ["docker rm --force it"]),
        (with_endpoint(IPAMConfig={"IPv4Address": "10.0.0.9"}), "-", ["docker rm --force it"]),
    ],
    ids=["the stack's network", "not to be started", "another network", "a name", "an address"],
)
def test_only_a_container_of_the_stacks_own_network_alone_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, made: dict[str, Any], failing: str, commands: list[str]
) -> None:
    engine = Engine(monkeypatch, made=made, failing=failing)
    Docker(CONFIG)._start_cut_off("3")
    assert "--no-start" in engine.commands[0]
    assert engine.commands[-len(commands) :] == commands


@pytest.mark.parametrize(
    ("serving", "failing", "is_anew"),
    [
        ([a_container("none")], "-", False),
        ([], "-", True),
        ([a_container("none", version="2")], "-", True),
        ([a_container("mine_default")], "-", True),
        ([a_container("none", Image="sha256:other")], "-", True),
        ([a_container("none", status="restarting")], "-", True),
        ([a_container("none", RestartCount=1)], "-", True),
        ([a_container("none")], "connect", True),
    ],
    ids=[
        "loaded ahead",
        "nothing there",
        "another version",
        "served already",
        "another image",
        "it ends",
        "it has ended before",
        "not to be let in",
    ],
)
def test_what_has_loaded_ahead_is_let_in_and_else_started_anew(
    monkeypatch: pytest.MonkeyPatch, serving: list[dict[str, Any]], failing: str, is_anew: bool
) -> None:
    engine = Engine(monkeypatch, *serving, failing=failing)
    Docker(CONFIG).serve("3")
    assert bool(engine.got("docker compose")) == is_anew
    assert engine.got("docker tag") == ["docker tag mine/wine:3 mine/wine:live"]


def test_what_answers_otherwise_without_a_network_is_started_anew_and_checked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(monkeypatch, a_container("none"))
    checked = []

    def check(url: str) -> None:
        checked.append(url)
        if len(checked) == 1:
            raise StackError("it answers otherwise")

    Docker(CONFIG).serve("3", check)
    assert checked == ["http://serving", "http://serving"]
    assert len(engine.got("docker compose")) == 1


def test_what_is_found_wrong_where_it_is_served_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, a_container("mine_default"))

    def check(_: str) -> None:
        raise StackError("it answers otherwise")

    with pytest.raises(StackError, match="answers otherwise"):
        Docker(CONFIG).serve("3", check)
    assert engine.got("docker rm", "docker tag") == ["docker rm --force it"]


@pytest.mark.parametrize(
    ("serving", "removed"),
    [
        ([a_container("none")], ["docker rm --force it"]),
        ([a_container("mine_default")], []),
        ([a_container("mine_default", Id="served"), a_container("none")], ["docker rm --force it"]),
        ([], []),
    ],
    ids=["cut off", "served", "both", "nothing there"],
)
def test_what_was_never_served_is_removed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, serving: list[dict[str, Any]], removed: list[str]
) -> None:
    engine = Engine(monkeypatch, *serving)
    Docker(CONFIG).clean_up()
    assert engine.got("docker rm") == removed


@pytest.mark.parametrize(
    ("serving", "publishes_late", "is_ahead"),
    [([], True, True), ([a_container("mine_default", version="2")], True, False), ([], False, False)],
    ids=["nothing is served", "another version is served", "in a virtual machine"],
)
def test_a_version_loads_ahead_only_where_nothing_is_served_and_its_port_can_be_published_later(
    monkeypatch: pytest.MonkeyPatch, serving: list[dict[str, Any]], publishes_late: bool, is_ahead: bool
) -> None:
    engine = Engine(monkeypatch, *serving)
    monkeypatch.setattr("stack.docker.publishes_late", lambda: publishes_late)
    with Docker(CONFIG).trial("3") as url:
        assert url == "http://trial"
    made = [command for command in engine.got("docker compose") if "--no-start" in command]
    assert len(made) == is_ahead


@pytest.mark.parametrize(
    ("trainer_starts", "waits"),
    [(["0001-01-01T00:00:00Z", "2026-02-02T10:00:01Z"], 1), (["2026-02-02T09:59:58Z"], 0)],
    ids=["later than deploy", "before deploy"],
)
def test_a_training_that_compose_has_not_started_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, trainer_starts: list[str], waits: int
) -> None:
    def containers(_: Docker, name: str) -> list[dict[str, Any]]:
        starts = trainer_starts if name == "trainer" else ["2026-02-02T10:00:00Z"]
        started = starts.pop(0) if len(starts) > 1 else starts[0]
        return [{"State": {"StartedAt": started, "Running": False}}]

    monkeypatch.setattr(Docker, "_containers", containers)
    waited: list[int] = []
    Docker(CONFIG).wait_for_training(lambda: waited.append(1))
    assert len(waited) == waits


def test_a_bake_is_for_the_platform_of_its_base_and_has_no_network() -> None:
    command = build_command("mine/wine:3", "linux/arm64", "context")
    assert command[:2] == ["docker", "build"]
    assert {"--platform=linux/arm64", "--network=none", "--tag=mine/wine:3"} <= set(command)
    assert command[-2:] == ["--file=context/Dockerfile", "context"]


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[None]:
    """Register a model as wine, version 1, in a registry of its own."""
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = mlflow.create_experiment("bake", (tmp_path / "artifacts").as_uri())
    code = tmp_path / "model.py"
    code.write_text(
        "import mlflow\n\nclass Same(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return model_input\n\n"
        "mlflow.models.set_model(Same())\n"
    )
    with mlflow.start_run(experiment_id=experiment):
        mlflow.pyfunc.log_model(
            name="artifacts",
            python_model=str(code),
            pip_requirements=["mlflow"],
            registered_model_name="wine",
        )
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_build_docker_builds_on_our_base_for_the_platform_of_it(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    asked, dockerfiles = [], []

    def fake(command: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        dockerfiles.append((Path(command[-1]) / "Dockerfile").read_text())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("stack.docker.run", fake)
    base = an_image("sha256:base", platform=platform)
    monkeypatch.setattr("stack.docker.find_image", {"mine-base": base, "mine/wine:1": None}.__getitem__)
    Docker(CONFIG).bake("1")
    assert [command[:3] for command in asked] == [["docker", "build", f"--platform={platform}"]]
    assert "FROM mine-base\n" in dockerfiles[0]


@pytest.mark.usefixtures("registered")
def test_a_bake_that_fails_shows_what_docker_said_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Requirement already satisfied: mlflow\nERROR: No matching distribution found for leftpad"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("stack.docker.run", lambda _command: failed)
    monkeypatch.setattr("stack.docker.find_image", lambda _name: an_image("sha256:base"))
    with pytest.raises(StackError) as raised:
        Docker(CONFIG).bake("1")
    assert "baking mine/wine:1 failed" in str(raised.value)
    assert "No matching distribution found for leftpad" in str(raised.value)
    assert "./scripts/upgrade PACKAGE" in str(raised.value)
    assert "already satisfied" not in str(raised.value)


def test_a_bake_without_a_base_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.docker.find_image", lambda _name: None)
    with pytest.raises(StackError, match="mine-base to bake on does not exist; run: docker compose build"):
        Docker(CONFIG).bake("1")


def test_the_lock_is_an_image_that_is_there_and_ends_with_its_input() -> None:
    command = lock_command(CONFIG)
    assert command[:2] == ["docker", "run"]
    assert {"--rm", "--interactive", "--pull=never", "--entrypoint=cat"} <= set(command)
    assert command[-2:] == ["--name=mine-deploying", "mine-base"]


def test_compose_is_told_the_version_and_the_settings() -> None:
    assert compose_environment(CONFIG, "3", "sha256:1") == {
        "IMAGE_ID": "sha256:1",
        "MODEL_NAME": "wine",
        "MODEL_VERSION": "3",
        "TRACKING_PORT": "5000",
        "SERVING_PORT": "7002",
    }


@pytest.mark.parametrize(
    ("base", "layers", "found"),
    [
        (["1", "2"], ["1", "2", "model"], "sha256:it"),
        (["1", "new"], ["1", "2", "model"], ""),
        ([], ["1", "2", "model"], "sha256:it"),
    ],
    ids=["the base of today", "an older base", "no base"],
)
def test_an_image_on_an_older_base_counts_as_not_baked(
    monkeypatch: pytest.MonkeyPatch, base: list[str], layers: list[str], found: str
) -> None:
    known = {
        "mine-base": an_image("sha256:base", *base) if base else None,
        "mine/wine:3": an_image("sha256:it", *layers),
    }
    monkeypatch.setattr("stack.docker.find_image", known.__getitem__)
    assert Docker(CONFIG).image_id("3") == found


LIVE = an_image("sha256:it", "1", "model", names=("mine/wine:live", "mine/wine:3"))


@pytest.mark.parametrize(
    ("live", "version_3", "data_since", "found"),
    [
        (LIVE, LIVE, DATA_SINCE, "3"),
        (None, LIVE, DATA_SINCE, None),
        (LIVE, LIVE, DATA_SINCE + timedelta(seconds=1), None),
        (LIVE, LIVE, None, None),
        (replace(LIVE, names=["mine/wine:live"]), an_image("sha256:new", "1", "other"), DATA_SINCE, None),
        (replace(LIVE, layers=["0", "model"]), replace(LIVE, layers=["0", "model"]), DATA_SINCE, None),
    ],
    ids=["as it was", "none", "data deleted since", "no data", "baked anew", "an older base"],
)
def test_what_was_served_last_is_served_again_only_if_nothing_has_changed(
    monkeypatch: pytest.MonkeyPatch,
    live: Image | None,
    version_3: Image,
    data_since: datetime | None,
    found: str | None,
) -> None:
    known = {"mine/wine:live": live, "mine/wine:3": version_3, "mine-base": an_image("sha256:base", "1")}
    monkeypatch.setattr("stack.docker.find_image", known.__getitem__)
    monkeypatch.setattr("stack.docker.volume_made_at", {"mine_mlflow": data_since}.__getitem__)
    assert Docker(CONFIG).last_served() == found


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("made", "removed"), [("sha256:it", []), ("sha256:new", ["sha256:it"])])
def test_a_bake_again_removes_the_image_that_it_replaces_and_not_the_same_one(
    monkeypatch: pytest.MonkeyPatch, made: str, removed: list[str]
) -> None:
    asked = []

    def fake(command: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    later = an_image(made, "1", "model", named_at=DATA_SINCE + timedelta(seconds=1))
    found = {"mine-base": [an_image("sha256:base", "1")], "mine/wine:1": [LIVE, later]}
    monkeypatch.setattr("stack.docker.run", fake)
    monkeypatch.setattr("stack.docker.find_image", lambda name: found[name].pop(0))
    Docker(CONFIG).bake("1")
    assert [command[-1] for command in asked if command[:3] == ["docker", "image", "rm"]] == removed

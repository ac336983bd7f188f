import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mlflow
import pytest

from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.gateway import Gateway
from stack.modes.compose import come_up_command, compose_command, ends_at_once
from stack.modes.docker import (
    Docker,
    build_command,
    compose_environment,
    image,
    let_all_read,
    lock_command,
    start_command,
    trial_command,
)
from stack.modes.docker_environment import base_image, digest
from stack.modes.engine import Image
from stack.modes.report import told_by_tracking

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
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Image:
    return Image(identity, platform, list(layers), dict(labels), list(names), named_at)


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


def test_what_the_tracking_server_tells_is_found_in_its_log() -> None:
    assert told_by_tracking("INFO: x\ntracking server: a b\nnot tracking server: c\n") == "    a b"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"Restarting": False}, False),  # it runs, or has been stopped
        ({"RestartCount": 1}, False),
        ({"StartedAt": "2026-11-25T10:00:00.5Z"}, False),  # it had run for long
        ({"StartedAt": "2026-11-25T09:59:58.5Z", "FinishedAt": "2026-11-25T09:59:59.5Z"}, False),  # before
    ],
)
def test_a_server_that_ends_at_once_again_and_again_is_seen(changes: dict[str, Any], found: bool) -> None:
    state = {
        "Restarting": True,
        "StartedAt": "2026-11-25T10:01:00.123456789Z",
        "FinishedAt": "2026-11-25T10:01:02.123456789Z",
        **changes,
    }
    container = {"RestartCount": changes.get("RestartCount", 2), "State": state}
    assert ends_at_once(container, datetime(2026, 11, 25, 10, tzinfo=UTC)) is found


def test_a_model_server_is_started_anew_and_alone() -> None:
    command = start_command(CONFIG, "--force-recreate")
    assert command[: len(compose_command(CONFIG)) + 1] == compose_command(CONFIG, "up")
    options = command[len(compose_command(CONFIG)) + 1 : -1]
    assert {"--detach", "--no-deps", "--force-recreate", "--scale=serving=1"} <= set(options)
    assert command[-1] == "serving"


def test_a_trial_is_the_service_itself_on_another_port_and_keeps_its_log() -> None:
    command = trial_command(CONFIG)
    assert command[: len(compose_command(CONFIG)) + 1] == compose_command(CONFIG, "run")
    options = command[len(compose_command(CONFIG)) + 1 : -1]
    assert {"--detach", "--no-deps", "--publish=127.0.0.1::8080", "--name=mine-trial"} <= set(options)
    assert not {"--rm", "--service-ports", "--use-aliases", "--env"} & set(options)
    assert command[-1] == "serving"


def test_to_come_up_again_serving_is_not_named_and_so_left_alone() -> None:
    command = come_up_command(CONFIG)
    assert command[: len(compose_command(CONFIG))] == compose_command(CONFIG)
    assert command[len(compose_command(CONFIG)) :] == ["up", "--detach", "tracking", "trainer", "deploy"]
    assert come_up_command(replace(CONFIG, is_watched=True)) == [*command, "watch"]


LABELS = {"com.docker.compose.version": "2.26.1"}


def a_container(status: str = "running", **others: Any) -> dict[str, Any]:  # noqa: ANN401
    """Say what the engine knows of a container of `serving`."""
    return {
        "Id": "it",
        "Created": "2026-02-02T10:00:00.000000000Z",
        "Image": "sha256:it",
        "Config": {"Image": "mine/wine:3", "Labels": LABELS, "Env": ["SERVER_WORKERS=3", "SERVER_QUEUE="]},
        "HostConfig": {"PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7002"}]}},
        "State": {"Status": status, "Running": status in ("running", "restarting")},
        "NetworkSettings": {"Networks": {"mine_serving-closed": {}}},
        **others,
    }


class Engine:
    """Knows some containers of `serving`; notes the commands that it gets, and has answers to some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *serving: dict[str, Any], **answers: str) -> None:
        self.commands: list[str] = []

        def run(command: list[str], _: object = None) -> subprocess.CompletedProcess[str]:
            self.commands.append(" ".join(command))
            said = next((answer for word, answer in answers.items() if word in " ".join(command)), "")
            return subprocess.CompletedProcess(command, 0, said, "")

        monkeypatch.setattr("stack.modes.engine.run", run)
        for module in ("docker", "docker_environment"):
            monkeypatch.setattr(f"stack.modes.{module}.run", run)
            monkeypatch.setattr(f"stack.modes.{module}.find_image", lambda _name: an_image("sha256:it"))
        monkeypatch.setattr(Docker, "_containers", lambda _, name: serving if name == "serving" else ())
        monkeypatch.setattr(Docker, "_wait_healthy", lambda _, service, *__: f"http://{service}")

    def got(self, *starts: str) -> list[str]:
        return [command for command in self.commands if command.startswith(starts)]


@pytest.mark.parametrize(
    ("serving", "version"),
    [
        ([a_container()], "3"),
        ([], None),
        ([a_container("exited")], None),
        ([a_container(), a_container()], None),
    ],
    ids=["running", "nothing there", "ended", "a replacement that was cut short"],
)
def test_what_is_served_is_what_runs(
    monkeypatch: pytest.MonkeyPatch, serving: list[dict[str, Any]], version: str | None
) -> None:
    Engine(monkeypatch, *serving)
    served = Docker(CONFIG).served()
    assert (served and served.version) == version


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_service_that_ends_again_and_again_is_not_up_and_watch_is_shown_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, is_watched: bool
) -> None:
    times = {"StartedAt": "2026-11-25T10:01:00Z", "FinishedAt": "2026-11-25T10:01:02Z"}
    states: dict[str, dict[str, Any]] = {
        "tracking": {
            "Status": "running",
            "Running": True,
            "Restarting": False,
            "Health": {"Status": "healthy"},
        },
        "deploy": {"Status": "exited", "Running": False, "Restarting": False, "ExitCode": 0},
        "watch": {"Status": "restarting", "Running": True, "Restarting": True, "ExitCode": 1},
        "serving": {"Status": "created"},
    }

    def found(_config: object, name: str) -> list[dict[str, Any]]:
        return [{"State": states[name] | times}] if name in states else []

    monkeypatch.setattr("stack.modes.docker.service_containers", found)
    shown = Docker(replace(CONFIG, is_watched=is_watched)).services()
    assert {service.name: (service.is_up, service.state) for service in shown} == {
        "tracking": (True, "healthy"),
        "trainer": (False, "not there"),
        "deploy": (False, "exited 0"),
        **({"watch": (False, "exited 1")} if is_watched else {}),
        "serving": (False, "not started"),
    }


@pytest.mark.parametrize(
    ("settings", "is_current"),
    [
        ({"SERVER_WORKERS": "3"}, True),
        ({"SERVER_WORKERS": "3", "SERVING_PORT": "7003"}, False),
        ({"SERVER_WORKERS": "4"}, False),
        ({}, False),
        ({"SERVER_WORKERS": "3", "SERVER_QUEUE": "7"}, False),
        ({"SERVER_WORKERS": "3", "SERVING_NETWORK": "open"}, False),
    ],
)
def test_a_container_of_another_compose_is_current_if_it_has_the_settings(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], is_current: bool
) -> None:
    Engine(monkeypatch, a_container(), version="2.40.3\n")
    own = {"COMPOSE_PROJECT_NAME": "mine", "SERVING_PORT": "7002"}
    config = load_config({**own, **settings}, Path("/nonexistent/.env"))
    assert Docker(config).is_current() == is_current


@pytest.mark.parametrize(("token", "is_current"), [("new", False), ("old", True)])
def test_a_container_of_another_compose_is_current_if_it_has_the_models_variables(
    monkeypatch: pytest.MonkeyPatch, token: str, is_current: bool
) -> None:
    container = a_container()
    container["Config"]["Env"] = ["TOKEN=old"]
    Engine(monkeypatch, container, version="2.40.3\n")
    assert Docker(replace(CONFIG, model_environment={"TOKEN": token})).is_current() == is_current


@pytest.mark.parametrize(
    ("answers", "is_current"),
    [
        ({"version": "2.26.1-4\n", "--dry-run": "DRY-RUN MODE - Container mine-serving-1  Running\n"}, True),
        ({"version": "v2.26.1\n", "--dry-run": "DRY-RUN MODE - Container mine-serving-1  Recreate\n"}, False),
    ],
    ids=["the same", "other settings"],
)
def test_a_container_is_current_if_compose_would_make_the_same_again(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], is_current: bool
) -> None:
    Engine(monkeypatch, a_container(), **answers)
    assert Docker(CONFIG).is_current() == is_current


@pytest.mark.parametrize(
    ("told", "needed"),
    [
        ("anon 104857600\nfile 1\n", 104857600),
        ("cache 1\nrss 2\ntotal_rss 104857600\n", 104857600),
        ("", 0),
    ],
    ids=["cgroup 2", "cgroup 1", "not told"],
)
def test_a_second_server_needs_what_the_first_one_holds(
    monkeypatch: pytest.MonkeyPatch, told: str, needed: int
) -> None:
    Engine(monkeypatch, a_container(), **{"memory.stat": told})
    monkeypatch.setattr("stack.modes.docker.is_free", lambda number: number == needed)
    assert Docker(CONFIG).fits_beside()


def test_what_is_served_is_noted_to_be_found_without_a_tracking_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(monkeypatch)
    Docker(CONFIG).serve("3")
    assert len(engine.got("docker compose")) == 1
    assert engine.got("docker tag") == []
    Docker(CONFIG).remember("3")
    assert engine.got("docker tag") == ["docker tag mine/wine:3 mine/wine:live"]


def test_what_is_found_wrong_where_it_is_served_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, a_container())

    def check(_: str) -> None:
        raise StackError("it answers otherwise")

    with pytest.raises(StackError, match="answers otherwise"):
        Docker(CONFIG).serve("3", check)
    assert engine.got("docker rm", "docker tag") == ["docker rm --force it"]


GUARDED = replace(CONFIG, gateway=Gateway(Path("/nonexistent"), Path("/nonexistent")))


class Beside:
    """An engine behind a gateway: `up` makes one more container of `serving`, and `rm` removes some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *healthy: str, sick: tuple[str, ...] = ()) -> None:
        self.serving, self.healthy, self.done = [*healthy, *sick], {*healthy, "new"}, list[str]()

        def run(command: list[str], _: object = None) -> subprocess.CompletedProcess[str]:
            if "up" in command:
                self.serving.append("new")
                self.done.append(next(word for word in command if word.startswith("--scale")))
                assert "--no-recreate" in command
            elif command[:2] in (["docker", "stop"], ["docker", "rm"]):
                gone = command[2:] if command[1] == "stop" else command[3:]
                self.done += [f"{command[1]} {name}" for name in gone]
                if command[1] == "rm":
                    self.serving = [name for name in self.serving if name not in gone]
            return subprocess.CompletedProcess(command, 0, "", "")

        def found(_: Docker, name: str) -> list[dict[str, Any]]:
            if name != "serving":
                return []
            return [
                a_container(
                    Id=each,
                    Created=f"{'2' if each == 'new' else '1'}{each}",
                    NetworkSettings={"Networks": {"net": {"IPAddress": each}}},
                )
                for each in self.serving
            ]

        monkeypatch.setattr("stack.modes.docker.run", run)
        monkeypatch.setattr("stack.modes.docker.find_image", lambda _name: None)
        monkeypatch.setattr(Docker, "_containers", found)
        monkeypatch.setattr("stack.modes.docker.not_healthy", self._not_healthy)

    def _not_healthy(self, url: str) -> str | None:
        return None if url.removeprefix("http://").removesuffix(":8080") in self.healthy else "sick"


def test_behind_a_gateway_the_old_server_stops_when_the_new_one_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, asked = Beside(monkeypatch, "old"), list[str]()

    def check(url: str) -> None:
        asked.append(url)
        assert engine.done == ["--scale=serving=2"]

    Docker(GUARDED).serve("3", check)
    assert asked == ["http://new:8080"]
    assert engine.done == ["--scale=serving=2", "stop old", "rm old"]
    assert engine.serving == ["new"]


def test_behind_a_gateway_the_old_server_goes_on_if_the_new_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Beside(monkeypatch, "old")

    def check(_: str) -> None:
        raise StackError("it answers otherwise")

    with pytest.raises(StackError, match="answers otherwise"):
        Docker(GUARDED).serve("3", check)
    assert engine.done == ["--scale=serving=2", "rm new"]
    assert engine.serving == ["old"]


def test_behind_a_gateway_a_server_that_does_not_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Beside(monkeypatch, sick=("old",))
    Docker(GUARDED).serve("3")
    assert engine.done == ["rm old", "--scale=serving=1"]
    assert engine.serving == ["new"]


@pytest.mark.parametrize(
    ("healthy", "sick", "kept"),
    [
        (("old", "new"), (), "old"),
        (("new",), ("old",), "new"),
        (("old",), ("new",), "old"),
        (("old",), (), "old"),
    ],
)
def test_of_two_servers_that_a_killed_deployment_left_the_right_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, healthy: tuple[str, ...], sick: tuple[str, ...], kept: str
) -> None:
    engine = Beside(monkeypatch, *healthy, sick=sick)
    engine.healthy = set(healthy)
    Docker(GUARDED).clean_up()
    assert engine.serving == [kept]
    served = Docker(GUARDED).served()
    assert served is not None
    assert served.is_healthy


@pytest.mark.parametrize(
    ("health", "answers", "why"),
    [("healthy", False, "docker compose run --rm deploy"), ("unhealthy", False, ""), ("healthy", True, "")],
)
def test_a_machine_that_does_not_reach_containers_is_told_how_to_deploy(
    monkeypatch: pytest.MonkeyPatch, health: str, answers: bool, why: str
) -> None:
    networks = {"Networks": {"net": {"IPAddress": "10.9.8.7"}}}
    serving = a_container(State={"Running": True, "Health": {"Status": health}}, NetworkSettings=networks)
    monkeypatch.setattr("stack.modes.docker.check_files", lambda _: None)
    monkeypatch.setattr(Docker, "_containers", lambda *_: [serving])

    def connect(address: tuple[str, int], **_: object) -> socket.socket:
        assert address == ("10.9.8.7", 8080)
        if not answers:
            raise TimeoutError
        return socket.socket()

    monkeypatch.setattr("stack.modes.docker.socket.create_connection", connect)
    with pytest.raises(StackError, match=why) if why else nullcontext():
        Docker(GUARDED).check()


def test_behind_a_gateway_nothing_else_is_published() -> None:
    assert not [option for option in trial_command(GUARDED) if "publish" in option]
    assert "gateway" in come_up_command(GUARDED)


def test_what_is_tried_out_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch)
    monkeypatch.setattr(Docker, "_containers", lambda *_: [a_container()])
    with Docker(CONFIG).trial("3") as url:
        assert url == "http://mine-trial"
        assert engine.got("docker rm") == []
    assert engine.got("docker rm") == ["docker rm --force it"]


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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model."""
    code = tmp_path_factory.mktemp("bake") / "model.py"
    code.write_text(
        "import mlflow\n\nclass Same(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return model_input\n\n"
        "mlflow.models.set_model(Same())\n"
    )
    saved = code.with_name("saved")
    mlflow.pyfunc.save_model(saved, python_model=str(code), pip_requirements=["mlflow"])
    return saved


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_build_docker_builds_on_our_base_for_the_platform_of_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, model: Path
) -> None:
    asked, dockerfiles = [], []

    def fake(command: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        dockerfiles.append((Path(command[-1]) / "Dockerfile").read_text())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("stack.modes.docker.run", fake)
    base = an_image("sha256:base", platform=platform)
    monkeypatch.setattr("stack.modes.docker.find_image", {"mine-base": base, "mine/wine:1": None}.__getitem__)
    Docker(CONFIG).bake("1", model, None)
    assert [command[:3] for command in asked] == [["docker", "build", f"--platform={platform}"]]
    steps = [line.split()[0] for line in dockerfiles[0].splitlines() if line and not line.startswith("#")]
    # Nothing is installed, and so nothing is run.
    assert steps == ["FROM", "WORKDIR", "COPY", "ENV", "ENTRYPOINT"]
    assert "FROM mine-base\n" in dockerfiles[0]


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022])
def test_the_images_user_can_read_what_is_baked_whatever_the_umask(
    monkeypatch: pytest.MonkeyPatch, mask: int, model: Path
) -> None:
    unreadable: list[Path] = []
    seen: list[str] = []

    def fake(command: list[str]) -> subprocess.CompletedProcess[str]:
        for path in (Path(command[-1]), *Path(command[-1]).rglob("*")):
            seen.append(path.name)
            if path.stat().st_mode & 0o005 != (0o005 if path.is_dir() else 0o004):
                unreadable.append(path)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("stack.modes.docker.run", fake)
    base = an_image("sha256:base")
    monkeypatch.setattr("stack.modes.docker.find_image", {"mine-base": base, "mine/wine:1": None}.__getitem__)
    usual = os.umask(mask)
    try:
        Docker(CONFIG).bake("1", model, None)
    finally:
        os.umask(usual)
    assert {"Dockerfile", "MLmodel", "model.py"} <= set(seen)
    assert unreadable == []


def test_what_can_be_run_stays_so_and_a_broken_link_is_left_alone(tmp_path: Path) -> None:
    for name, mode in (("script", 0o700), ("data", 0o600)):
        (tmp_path / name).touch(mode)
    (tmp_path / "link").symlink_to("nowhere")
    let_all_read(tmp_path)
    modes = {path.name: path.lstat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"script": 0o755, "data": 0o644, "link": 0o777}


def test_a_bake_that_fails_shows_why_what_to_do_and_all_that_docker_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    said = "#5 [2/2] COPY model_dir\nERROR: write /opt/ml/model: no space left on device"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("stack.modes.docker.run", lambda _command: failed)
    monkeypatch.setattr("stack.modes.docker.find_image", lambda _name: an_image("sha256:base"))
    with pytest.raises(StackError) as raised:
        Docker(CONFIG).bake("1", model, None)
    assert str(raised.value) == (
        "baking mine/wine:1 failed: ERROR: write /opt/ml/model: no space left on device (Docker's output was"
        " printed before this); make room on that disk"
    )
    assert said in capsys.readouterr().out


def test_a_bake_without_a_base_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setattr("stack.modes.docker.find_image", lambda _name: None)
    with pytest.raises(
        StackError, match="the base image mine-base does not exist; run: docker compose build"
    ):
        Docker(CONFIG).bake("1", model, None)


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
        "SERVING_NETWORK": "closed",
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
    monkeypatch.setattr("stack.modes.docker.find_image", known.__getitem__)
    assert Docker(CONFIG).image_id("3") == found


def labels(key: str, *base: str) -> dict[str, str]:
    """Say what is written on the image of an environment, and on those that are baked onto it."""
    return {"pyfunc-stack.environment": key, "pyfunc-stack.base": digest(an_image("", *(base or ("new",))))}


@pytest.mark.parametrize(("base", "found"), [("new", "sha256:it"), ("newer", "")])
def test_an_image_in_an_environment_made_beside_an_older_base_counts_as_not_baked(
    monkeypatch: pytest.MonkeyPatch, base: str, found: str
) -> None:
    known = {
        "mine-base": an_image("sha256:base", base),
        "mine/wine:3": an_image("sha256:it", "of another Python", "model", labels=labels("key", "new")),
    }
    monkeypatch.setattr("stack.modes.docker.find_image", known.__getitem__)
    assert Docker(CONFIG).image_id("3") == found


def test_only_what_nothing_needs_is_removed_of_this_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(
        monkeypatch,
        **{
            "{{.Tag}} mine/wine": "1\n2\n3\nlive\n",
            "ancestor=mine/wine:2": "in use",
            "reference=mine/*": "mine/wine:3\n",
            "reference=mine-environment:*": "mine-environment:used\nmine-environment:unused\n",
        },
    )
    known = {
        "mine-base": an_image("sha256:base", "new"),
        "mine/wine:3": an_image("sha256:it", "new", "model", labels=labels("used")),
        "mine-environment:used": an_image("sha256:used", labels=labels("used")),
        "mine-environment:unused": an_image("sha256:unused", labels=labels("unused")),
    }
    old = an_image("sha256:old", "old", "model")
    for module in ("docker", "docker_environment"):
        monkeypatch.setattr(f"stack.modes.{module}.find_image", lambda name: known.get(name, old))
    Docker(CONFIG).tidy()
    assert engine.got("docker image rm", "docker image prune") == [
        "docker image rm mine/wine:1",
        "docker image rm mine-environment:unused",
        "docker image rm mine-score-spark:unused",
        "docker image prune --force --filter=label=com.docker.compose.project=mine",
    ]


def test_images_that_nobody_needs_are_told_with_what_each_adds_to_those_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(
        monkeypatch,
        **{
            "reference=mine/* ": "mine/wine:3\nmine/wine:4\nmine/wine:live\nmine/beer:1\n",
            "reference=mine-* ": "mine-base:latest\n",
            "reference=mine-environment:*": "mine-environment:used\nmine-environment:unused\n",
            "dangling=true": "sha256:unnamed\n",
            "ps --all": "one",
            "container inspect": '[{"Image": "sha256:4"}]',
        },
    )
    environment = an_image("sha256:unused", "base", "packages", labels=labels("unused"))
    known = {
        "mine-base:latest": replace(an_image("sha256:base", "base"), size=1000),
        "mine/wine:3": replace(
            an_image("sha256:3", "base", "packages", "model", labels=labels("unused")), size=1250
        ),
        "mine/wine:4": an_image("sha256:4", "base", "model"),
        "mine/wine:live": an_image("sha256:4", "base", "model"),
        "mine/beer:1": replace(an_image("sha256:b", "base", "b", labels=labels("used")), size=1007),
        "mine-environment:used": an_image("sha256:used", labels=labels("used")),
        "mine-environment:unused": replace(environment, size=1200),
        "sha256:unnamed": replace(an_image("sha256:unnamed", "older", "model"), size=900),
    }
    for module in ("docker", "docker_environment"):
        monkeypatch.setattr(f"stack.modes.{module}.find_image", known.get)
    assert Docker(CONFIG).baked_models() == ["beer", "wine"]
    found = Docker(CONFIG).unneeded({"wine": ["3", "4"]})
    assert [(it.name, it.size) for it in found] == [  # a container has version 4
        ("mine/wine:3", 50),
        ("mine-environment:unused", 200),
        ("sha256:unnamed", 900),
    ]
    Docker(CONFIG).remove(found[0])
    assert engine.got("docker image rm") == ["docker image rm mine/wine:3"]


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
    monkeypatch.setattr("stack.modes.docker.find_image", known.__getitem__)
    monkeypatch.setattr("stack.modes.docker.volume_made_at", {"mine_mlflow": data_since}.__getitem__)
    assert Docker(CONFIG).last_served() == found


@pytest.mark.parametrize(("made", "removed"), [("sha256:it", []), ("sha256:new", ["sha256:it"])])
def test_a_bake_again_removes_the_image_that_it_replaces_and_not_the_same_one(
    monkeypatch: pytest.MonkeyPatch, model: Path, made: str, removed: list[str]
) -> None:
    asked = []

    def fake(command: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    later = an_image(made, "1", "model", named_at=DATA_SINCE + timedelta(seconds=1))
    found = {"mine-base": [an_image("sha256:base", "1")], "mine/wine:1": [LIVE, later]}
    for module in ("docker", "engine"):
        monkeypatch.setattr(f"stack.modes.{module}.run", fake)
        monkeypatch.setattr(f"stack.modes.{module}.find_image", lambda name: found[name].pop(0))
    Docker(CONFIG).bake("1", model, None)
    assert [command[-1] for command in asked if command[:3] == ["docker", "image", "rm"]] == removed

"""What only the Docker mode promises."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.conftest import two_free_ports
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import CLASSES, Stack, can_not_run, new_stack, removed
from tests.unit.test_model_env import READ

pytestmark = pytest.mark.usefixtures("docker")


@pytest.fixture(scope="session")
def stack(docker_stack: Stack) -> Stack:
    return docker_stack


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def services(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return what `docker compose ps` knows of each service."""
    listed = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines()]
    return {service["Service"]: service for service in listed}


def container(stack: Stack, service: str) -> dict[str, Any]:
    """Return what the engine knows of a service's container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", services(stack)[service]["ID"]))
    return found[0]


def left_behind(stack: Stack, kind: str) -> list[str]:
    project = f"label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
    every = ["--all"] if kind == "container" else []
    return docker(kind, "ls", *every, "--quiet", "--filter", project).split()


def test_after_up_the_servers_are_healthy_and_the_one_shots_have_succeeded(stack: Stack) -> None:
    found = services(stack)
    assert {name: service["State"] for name, service in found.items()} == {
        "tracking": "running",
        "trainer": "exited",
        "deploy": "exited",
        "serving": "running",
    }
    assert [found[name]["Health"] for name in ("tracking", "serving")] == ["healthy", "healthy"]
    assert [found[name]["ExitCode"] for name in ("trainer", "deploy")] == [0, 0]


def test_every_port_is_bound_on_loopback(stack: Stack) -> None:
    bound = [
        binding["HostIp"]
        for name in services(stack)
        for bindings in (container(stack, name)["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    ]
    assert bound == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize("service", ["tracking", "trainer", "serving"])
def test_services_run_as_an_ordinary_user_without_privileges(stack: Stack, service: str) -> None:
    found = container(stack, service)
    assert found["Config"]["User"] == "10001:10001"
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]


def test_serving_can_not_write_to_its_image_and_has_no_capability(stack: Stack) -> None:
    write = stack.run("docker", "compose", "exec", "serving", "touch", "/home/stack/x", check=False)
    assert "Read-only file system" in write.stderr
    status = stack.compose("exec", "serving", "cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_a_training_can_not_write_into_its_own_directory_and_finds_no_files_of_a_killed_one(
    stack: Stack,
) -> None:
    image = f"{stack.settings['COMPOSE_PROJECT_NAME']}-trainer"
    trainer = docker("create", image).strip()
    try:
        left = tarfile.TarInfo("training-killed")
        left.uid = 10001
        with io.BytesIO() as archive:
            with tarfile.open(fileobj=archive, mode="w") as files:
                files.addfile(left)
            copy = ["docker", "cp", "-", f"{trainer}:/tmp"]
            subprocess.run(copy, input=archive.getvalue(), check=True)
        assert left.name in docker("diff", trainer)
        started = subprocess.run(["docker", "start", "--attach", trainer], capture_output=True, text=True)
        assert "the tracking URI must be a server's" in started.stderr
        assert left.name not in docker("diff", trainer)
    finally:
        docker("rm", "--force", trainer)
    write = stack.run("docker", "run", "--rm", image, "touch", "/stack/trainer/plot.png", check=False)
    assert "Permission denied" in write.stderr


def test_no_service_that_goes_on_running_sees_the_docker_socket(stack: Stack) -> None:
    mounts = {
        name: [mount["Source"] for mount in container(stack, name)["Mounts"]] for name in services(stack)
    }
    assert [name for name in mounts if "/var/run/docker.sock" in mounts[name]] == ["deploy"]
    assert services(stack)["deploy"]["State"] == "exited"


def test_the_image_is_tagged_with_the_version_and_serves_by_itself(stack: Stack) -> None:
    image = container(stack, "serving")["Config"]["Image"]
    assert image == f"{stack.settings['COMPOSE_PROJECT_NAME']}/iris:{stack.aliases()['champion']}"
    assert "mlflow.models" in json.loads(docker("inspect", image))[0]["Config"]["Entrypoint"][2]
    port, _ = two_free_ports()
    name = docker("run", "--detach", "--rm", "--publish", f"127.0.0.1:{port}:8080", image).strip()
    try:
        alone = replace(stack, ports=(0, port))
        wait_until(lambda: None if answers(alone) else "no answer yet", timeout=60)
    finally:
        docker("rm", "--force", name)


def answers(stack: Stack) -> bool:
    try:
        return bool(stack.predictions() == CLASSES)
    except (requests.RequestException, AssertionError):
        return False


def test_serving_goes_on_and_restarts_without_the_tracking_server(stack: Stack) -> None:
    stack.compose("rm", "--stop", "--force", "tracking")
    try:
        assert stack.predictions() == CLASSES
        stack.compose("restart", "serving")
        wait_until(lambda: not_healthy(stack.serving_url), timeout=60)
        assert stack.predictions() == CLASSES
    finally:
        stack.script_under_requests(
            "up", "--docker", "--detach"
        )  # which mends one and leaves the other alone


def test_a_stop_of_serving_is_quick_and_orderly(stack: Stack) -> None:
    since = time.monotonic()
    stack.compose("stop", "serving")
    assert time.monotonic() - since < 9  # after 10 s, Docker kills
    assert container(stack, "serving")["State"]["ExitCode"] == 0
    stack.compose("restart", "serving")
    wait_until(lambda: not_healthy(stack.serving_url), timeout=60)
    assert stack.predictions() == CLASSES


def test_the_model_server_follows_the_cpus_of_its_container(stack: Stack) -> None:
    image = f"{stack.settings['COMPOSE_PROJECT_NAME']}/iris:{stack.aliases()['champion']}"
    code = "from model_server.settings import available_cpus; print(available_cpus())"
    started = ("run", "--rm", "--env=PYTHONPATH=/opt/pyfunc-stack", "--entrypoint=python")
    assert docker(*started, image, "-c", code).strip() == str(os.cpu_count())
    assert docker(*started, "--cpus=0.5", image, "-c", code).strip() == "1"


def test_a_second_checkout_with_the_same_name_is_refused_and_changes_nothing(
    stack: Stack, installed_clone: Path
) -> None:
    second = replace(stack, checkout=installed_clone)
    before = {name: container(stack, name)["Id"] for name in services(stack)}
    for command in ("up --docker --detach", "down --volumes", "deploy", "promote 1", "rollback", "train"):
        refused = second.script(*command.split(), check=False)
        assert refused.returncode == 1, command
        assert f"is that of {stack.checkout}; run ./scripts/down there" in refused.stderr, command
    assert f"fix   the stack {stack.settings['COMPOSE_PROJECT_NAME']} in Docker is that of" in (
        second.script("doctor", "--docker", check=False).stdout
    )
    assert {name: container(stack, name)["Id"] for name in services(stack)} == before
    assert stack.predictions() == CLASSES


def test_an_engine_that_refuses_the_user_is_told_and_not_passed_over(stack: Stack, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        can_not_run("asking the engine as another user takes root, and setpriv")
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent"
    (tmp_path / "docker").write_text(f'#!/bin/sh\nexec {nobody} {shutil.which("docker")} "$@"\n')
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{stack.shell['PATH']}"
    refused = replace(stack, shell=stack.shell | {"PATH": path})
    for command in ("up --detach", "down", "deploy", "status"):
        said = refused.script(*command.split(), check=False)
        assert said.returncode == 1, command
        assert "this user may not use the Docker engine (permission denied while" in said.stderr, command
    assert stack.predictions() == CLASSES


def test_a_build_that_fails_is_told_by_its_own_line_and_one_advice(
    other: Stack, installed_clone: Path
) -> None:
    other.settings["PACKAGE_INDEX"] = "http://packages.example.invalid/simple"
    failed = replace(other, checkout=installed_clone).script("up", "--docker", "--detach", check=False)
    assert failed.returncode == 1
    assert "Looking in indexes" in failed.stdout  # all that Docker printed
    told = failed.stderr.splitlines()[-1]
    assert told.startswith("up: Compose did not start the stack: WARNING: The repository located at packages")
    assert "printed before this); give the index an https address in .env (docs/company-wall.md)" in told


@pytest.mark.thorough
def test_a_socket_that_deploy_can_not_use_is_told_with_its_setting(stack: Stack, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    wrong = replace(stack, settings={**stack.settings, "DOCKER_SOCKET": str(tmp_path / "dead")})
    failed = wrong.script("up", "--docker", "--detach", check=False)
    assert failed.returncode == 1
    assert (
        "the socket that this container got can't be used: no Docker engine answers (Cannot" in failed.stderr
    )
    assert "; set DOCKER_SOCKET in .env to the engine's socket" in failed.stderr
    assert stack.predictions() == CLASSES
    stack.up()


def test_compose_reads_the_models_own_variables_as_the_stack_does_natively(tmp_path: Path) -> None:
    services = {f"s{n}": {"image": "none", "env_file": [f"{n}.env"]} for n in range(len(READ))}
    (tmp_path / "docker-compose.yml").write_text(json.dumps({"services": services}))
    for number, text in enumerate(READ):
        (tmp_path / f"{number}.env").write_bytes(text.encode())
    found = json.loads(docker("compose", f"--project-directory={tmp_path}", "config", "--format=json"))
    values = [found["services"][name]["environment"]["PLAIN"] for name in services]
    assert [value.replace("$$", "$") for value in values] == list(READ.values())


@pytest.fixture
def other(home: Path) -> Iterator[Stack]:
    """Describe a second stack with a model name of its own; it stands beside the shared one."""
    stack = new_stack("docker", home)
    stack.settings["MODEL_NAME"] = "other.model-2"
    with removed(stack):
        yield stack


@pytest.mark.thorough
def test_down_leaves_nothing_but_the_data_and_the_next_up_finds_it(
    other: Stack, stack: Stack, tmp_path: Path
) -> None:
    # In such a path, Docker alone works: Python makes no virtual environment there.
    other = replace(other, checkout=copy_checkout(tmp_path / "a:b c,d" / "it's $1"))
    (other.checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    watched = replace(other, settings={**other.settings, "COMPOSE_PROFILES": "watch"})
    watched.compose("up", "--detach", "--wait")
    assert other.predictions() == CLASSES
    assert other.aliases() == {"champion": "1"}
    run_id = other.client.get_model_version("other.model-2", "1").run_id or ""
    watched.compose("down")
    assert left_behind(other, "container") == left_behind(other, "network") == []

    other.compose("up", "--detach", "--wait")
    assert other.predictions() == CLASSES
    assert "serving version 1 until a new version is ready" in other.deployment_log()
    assert other.aliases() == {"champion": "1"}
    assert other.client.get_run(run_id).data.metrics["accuracy"] > 0.9
    assert stack.predictions() == CLASSES  # the stack beside it was not touched

    # As a plain `docker compose down` leaves it where COMPOSE_PROFILES has been taken out.
    watched.compose("up", "--detach", "watch")
    name = f"{other.settings['COMPOSE_PROJECT_NAME']}-watch-1"
    wait_until(
        lambda: None if "is served\n" in docker("logs", name) else "watch deploys", timeout=60, interval=0.2
    )
    other.compose("down")
    assert len(left_behind(other, "container")) == 1
    other.down()
    assert left_behind(other, "container") == left_behind(other, "network") == []

    # As a deployment leaves it that is killed in a trial.
    name = f"{other.settings['COMPOSE_PROJECT_NAME']}-trial"
    version = replace(other, settings={**other.settings, "MODEL_VERSION": "1"})
    version.compose("run", "--detach", "--no-deps", f"--name={name}", "serving")
    other.down("--volumes")
    assert [left_behind(other, kind) for kind in ("container", "network", "volume")] == [[], [], []]


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["./scripts/up --docker", "docker compose up --no-color"])
def test_an_attached_up_shows_all_logs_and_ctrl_c_stops_all(other: Stack, command: str) -> None:
    attached = other.start(*command.split())
    try:
        wait_until(lambda: not_healthy(other.serving_url), timeout=180, alive=lambda: attached.poll() is None)
        assert other.predictions() == CLASSES
        wait_until(
            lambda: None if services(other)["deploy"]["State"] == "exited" else "deploy runs",
            timeout=60,
            interval=0.2,
        )
        attached.send_signal(signal.SIGINT)
        output, _ = attached.communicate(timeout=60)
    finally:
        attached.kill()
    lines = output.replace("\033[2K", "").splitlines()
    shown = {line.split("|")[0].strip() for line in lines if "|" in line}
    assert {"tracking-1", "trainer-1", "deploy-1", "serving-1"} <= shown
    assert (
        "until a new version" not in output
    )  # the data were deleted, so the image that is left counts for nothing
    assert {service["State"] for service in services(other).values()} == {"exited"}


@pytest.mark.thorough
def test_without_the_socket_deploy_works_from_the_host(other: Stack) -> None:
    other.compose("up", "--detach", "--wait", "tracking")
    other.script("train")
    other.script("deploy")
    assert other.predictions() == CLASSES
    assert other.aliases() == {"champion": "1"}
    assert set(services(other)) == {"tracking", "serving"}


def test_old_images_are_removed_but_never_one_in_use(stack: Stack) -> None:
    name = f"{stack.settings['COMPOSE_PROJECT_NAME']}/iris"
    first = docker(
        "run", "--detach", "--entrypoint=sleep", f"{name}:{stack.aliases()['champion']}", "600"
    ).strip()
    try:
        for version in ("901", "902", "903", "904"):
            docker("commit", first, f"{name}:{version}")
        # Without a name: this project's, which nothing uses, and which a container uses; and another one's.
        nameless, used = (
            docker("commit", "--author", who, first).strip() for who in ("nobody", "a container")
        )
        others = docker("commit", "--change=LABEL com.docker.compose.project=another", first).strip()
        users = [
            docker("run", "--detach", "--entrypoint=sleep", image, "600").strip()
            for image in (f"{name}:901", used)
        ]
        try:
            stack.script("deploy")
            tags = set(docker("image", "ls", "--format={{.Tag}}", name).split())
            left = set(docker("image", "ls", "--quiet", "--no-trunc", "--filter=dangling=true").split())
        finally:
            docker("rm", "--force", *users)
            docker("image", "rm", others)
    finally:
        docker("rm", "--force", first)
    assert {stack.aliases()["champion"], "901", "903", "904"} <= tags
    assert "902" not in tags
    assert left & {nameless, used, others} == {used, others}
    stack.script("deploy")
    assert "901" not in docker("image", "ls", "--format={{.Tag}}", name).split()
    project = f"label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
    assert docker("image", "ls", "--quiet", "--filter=dangling=true", f"--filter={project}") == ""

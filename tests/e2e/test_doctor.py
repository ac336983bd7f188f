"""./scripts/doctor on real machines, stacks and mishaps."""

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from stack.modes.preflight import MARKER
from tests.e2e.stacks import Stack, can_not_run, new_stack
from tests.e2e.stacks import docker as docker_command

STATES = {"ok", "fix", "-"}


def examine(stack: Stack, *arguments: str) -> dict[str, list[str]]:
    """Run the doctor; return its lines by their state, after checking what holds for each run."""
    since = time.monotonic()
    done = stack.script("doctor", *arguments, check=False)
    assert time.monotonic() - since < 30
    assert done.stderr == ""
    found: dict[str, list[str]] = {state: [] for state in STATES}
    for line in done.stdout.splitlines():
        state, text = line.split(maxsplit=1)
        found[state].append(text)
    assert done.returncode == (1 if found["fix"] else 0), done.stdout
    return found


@pytest.fixture
def machine(home: Path) -> Stack:
    """Describe a stack that is not started, in a shell whose own settings are right."""
    stack = replace(new_stack("native", home), shell=dict(os.environ))
    stack.shell.pop("MLFLOW_TRACKING_URI", None)
    stack.shell.update(NO_PROXY="localhost,127.0.0.1", no_proxy="localhost,127.0.0.1")
    return stack


def test_a_healthy_machine_has_nothing_to_fix_without_docker(machine: Stack) -> None:
    found = examine(machine, "--native")
    assert found["fix"] == []
    assert [line for line in found["ok"] if "is free" in line] == [
        f"port {machine.ports[0]} is free (TRACKING_PORT)",
        f"port {machine.ports[1]} is free (SERVING_PORT)",
    ]
    assert not Path(machine.settings["STACK_HOME"]).exists()


@pytest.mark.usefixtures("docker")
def test_a_healthy_machine_has_nothing_to_fix_with_docker(machine: Stack) -> None:
    found = examine(machine, "--docker")
    assert found["fix"] == []
    assert any(line.startswith("Docker engine") for line in found["ok"])
    assert any(line.startswith("Compose") for line in found["ok"])


def test_a_machine_without_docker_has_nothing_to_fix(machine: Stack, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "basename", "cat", "cksum", "dirname", "env", "git", "sed"):
        if path := shutil.which(name):
            (programs / name).symlink_to(path)
    machine.shell["PATH"] = str(programs)
    found = examine(machine)
    assert found["fix"] == []
    assert "Docker is not installed: without it, ./scripts/up --native works" in found["-"]
    assert any("Docker is not installed" in line for line in examine(machine, "--docker")["fix"])


def test_a_taken_port_is_told_with_the_process_that_has_it(machine: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", machine.ports[0]))
        taken.listen()
        [told] = examine(machine, "--native")["fix"]
    assert told.startswith(f"port {machine.ports[0]} is taken by process {os.getpid()} (")
    assert told.endswith("): stop it, or set TRACKING_PORT in .env")


def test_an_engine_that_does_not_answer_is_told(machine: Stack) -> None:
    if shutil.which("docker") is None:
        can_not_run("no docker command is installed")
    machine.shell["DOCKER_HOST"] = "unix:///nonexistent"
    [told] = examine(machine)["fix"]
    assert told.startswith("no Docker engine answers")
    assert told.endswith("or use ./scripts/up --native")


@pytest.mark.usefixtures("docker")
def test_a_socket_that_is_not_the_engines_is_told(machine: Stack, tmp_path: Path) -> None:
    machine.shell["DOCKER_SOCKET"] = str(tmp_path / "docker.sock")
    [told] = examine(machine, "--docker")["fix"]
    assert "the engine's socket is " in told
    assert "in .env" in told


def test_a_database_of_a_newer_mlflow_is_told_and_left_as_it_is(machine: Stack) -> None:
    home = Path(machine.settings["STACK_HOME"])
    home.mkdir()
    (home / MARKER).touch()
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
        connection.commit()
    before = (home / "mlflow.db").read_bytes()
    [told] = examine(machine, "--native")["fix"]
    assert "was made by an MLflow newer than this checkout's" in told
    assert (home / "mlflow.db").read_bytes() == before


def test_a_reader_that_has_seen_enough_gets_no_traceback(machine: Stack) -> None:
    done = machine.run("bash", "-o", "pipefail", "-c", "./scripts/doctor --native | true", check=False)
    assert done.stderr == ""


@pytest.fixture
def publishing(machine: Stack, docker_stack: Stack) -> Iterator[str]:
    """Run a container of somebody else's on the port of the model server."""
    image = f"{docker_stack.settings['COMPOSE_PROJECT_NAME']}-base"
    name = f"{machine.settings['COMPOSE_PROJECT_NAME']}-other"
    options = ("--detach", "--rm", f"--name={name}", f"--publish=127.0.0.1:{machine.ports[1]}:1")
    docker_command("run", *options, "--entrypoint=sleep", image, "60")
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=True)


def test_a_port_of_another_container_is_told_with_its_name(machine: Stack, publishing: str) -> None:
    [told] = examine(machine)["fix"]
    assert f"port {machine.ports[1]} is taken by container {publishing}: stop it" in told


def test_the_ports_of_a_stack_that_runs_are_its_own_and_its_data_are_right(stack: Stack) -> None:
    found = examine(stack, f"--{stack.mode}")
    assert found["fix"] == []
    assert len([line for line in found["ok"] if "is used by this stack" in line]) == 2
    assert [line for line in found["ok"] if line.startswith("the tracking server")]
    assert [line for line in found["ok"] if line.startswith(("the database", "the stores"))]
    hosts = [line for line in found["ok"] if line.endswith("answers requests to tracking:5000")]
    assert len(hosts) == (stack.mode == "docker")

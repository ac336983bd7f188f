"""What only the mode without Docker promises."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.e2e.stacks import CLASSES, Stack, can_not_run, native_processes, new_stack, removed, running


@pytest.fixture
def own(home: Path) -> Iterator[Stack]:
    """Describe a stack that the test may break."""
    stack = new_stack("native", home)
    with removed(stack):
        yield stack


def processes_of(stack: Stack) -> list[str]:
    """Return the command lines of the processes that were started for this stack."""
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in native_processes(stack)]


def nothing_left(stack: Stack) -> str | None:
    return "; ".join(processes_of(stack)) or None


@contextmanager
def attached(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """Run an attached `up` until it serves; the test ends it."""
    process = stack.start("./scripts/up", "--native", stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert any("the stack is up" in line for line in process.stdout), stack.logs()
        yield process
    finally:
        process.kill()


def test_ctrl_c_stops_all(own: Stack) -> None:
    with attached(own) as up:
        assert own.predictions() == CLASSES
        up.send_signal(signal.SIGINT)
        output, errors = up.communicate(timeout=60)
    assert (errors, output.splitlines()[-1]) == ("", "==> stopped")
    assert nothing_left(own) is None


def test_ctrl_c_while_starting_stops_what_was_started(own: Stack) -> None:
    up = subprocess.Popen(["./scripts/up", "--native"], cwd=CHECKOUT, env=own.environment, text=True)
    tracking = Path(own.settings["STACK_HOME"]) / "run" / "tracking.lock"
    wait_until(lambda: None if tracking.exists() else "not begun", timeout=60)
    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=60) == 130
    assert nothing_left(own) is None


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "said"), [("tracking", "Uvicorn running on"), ("serving", "serving iris, ")]
)
def test_a_server_that_dies_takes_the_stack_down_and_is_named(own: Stack, name: str, said: str) -> None:
    with attached(own) as up:
        pid = (Path(own.settings["STACK_HOME"]) / "run" / f"{name}.lock").read_text().split()[0]
        subprocess.run(["kill", "-KILL", pid], check=True)
        _, errors = up.communicate(timeout=60)
    assert up.returncode == 1
    assert errors.startswith(f"up: {name} has ended by itself, so the stack is stopped. The end of its log")
    assert said in errors
    assert nothing_left(own) is None


def refused(stack: Stack) -> str:
    since = time.monotonic()
    failed = stack.script("up", "--native", "--detach", check=False)
    assert failed.returncode == 1
    assert time.monotonic() - since < 30  # told before anything was started, not after a time-out
    assert failed.stderr.count("\n") == 1
    assert nothing_left(stack) is None
    return failed.stderr


@pytest.mark.parametrize(("which", "setting"), [(0, "TRACKING_PORT"), (1, "SERVING_PORT")])
def test_a_port_in_use_is_found_before_anything_is_started(own: Stack, which: int, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own.ports[which]))
        taken.listen()
        message = refused(own)
    assert f"port {own.ports[which]} (Address already in use); stop what uses it, or set {setting}" in message


def test_a_state_directory_that_can_not_be_written_is_found_before_anything_is_started(home: Path) -> None:
    stack = new_stack("native", home / "state")
    home.write_text("a file, so there can be no directory below it")
    assert "can't write to the state directory" in refused(stack)


def test_a_full_disk_is_found_before_anything_is_started(own: Stack) -> None:
    home = Path(own.settings["STACK_HOME"])
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(home)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        can_not_run("making a small disk to fill takes root and mount")
    try:
        assert "is full: expected 200 MB free, found" in refused(own)
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_a_setting_that_can_not_be_used_is_named(home: Path) -> None:
    stack = new_stack("native", home)
    stack.settings["MODEL_NAME"] = "My Model"
    assert "MODEL_NAME can't name an image" in refused(stack)


def test_a_state_directory_with_other_files_is_neither_used_nor_deleted(home: Path) -> None:
    stack = new_stack("native", home)
    (home / "models").mkdir(parents=True)
    (home / "models" / "mine.bin").touch()
    assert "holds other files; set STACK_HOME to an empty directory" in refused(stack)
    stack.down("--volumes")
    assert (home / "models" / "mine.bin").exists()


@pytest.mark.thorough
def test_a_deployment_whose_files_are_gone_leaves_the_champion_serving(own: Stack) -> None:
    own.up()
    own.script("train", "--force")
    artifacts = Path(own.settings["STACK_HOME"]) / "artifacts"
    artifacts.rename(artifacts.with_name("gone"))
    failed = own.script("deploy", check=False)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert own.predictions() == CLASSES
    artifacts.with_name("gone").rename(artifacts)
    # Ctrl-C does not tear a deployment out of its switch: it ends with the aliases that fit what is served.
    deploy = subprocess.Popen(["./scripts/deploy"], cwd=CHECKOUT, env=own.environment, stdout=subprocess.PIPE)
    assert deploy.stdout is not None
    assert any(b"starting to serve" in line for line in deploy.stdout)
    deploy.send_signal(signal.SIGINT)
    assert deploy.wait(timeout=60) == 0
    assert own.aliases() == {"champion": "2", "previous": "1"}
    assert own.predictions() == CLASSES


def test_what_a_killed_up_left_behind_is_cleared_by_down_and_by_the_next_up(own: Stack) -> None:
    own.up()
    home = Path(own.settings["STACK_HOME"])
    serving = (home / "run" / "serving.lock").read_text()
    for killed in (("up",), ("up", "tracking")):
        for name in killed:
            subprocess.run(["kill", "-KILL", (home / "run" / f"{name}.lock").read_text()], check=True)
        own.script_under_requests("up", "--native", "--detach")  # a healthy model server is not touched
        assert (home / "run" / "serving.lock").read_text() == serving
    subprocess.run(["kill", "-KILL", (home / "run" / "up.lock").read_text()], check=True)
    assert own.predictions() == CLASSES  # the servers do not die with it
    own.down()
    assert nothing_left(own) is None


@pytest.mark.thorough
def test_down_keeps_the_data_and_with_volumes_deletes_it_and_nothing_else(own: Stack) -> None:
    own.up()
    run_id = own.client.get_model_version("iris", "1").run_id or ""
    own.down()
    assert nothing_left(own) is None
    own.up()
    assert "serving version 1 until a new version is ready" in own.deployment_log()
    assert own.aliases() == {"champion": "1"}
    assert own.client.get_run(run_id).data.metrics["accuracy"] > 0.9
    before = processes_of(own)
    again = own.script("up", "--native", "--detach")
    assert "the stack is already running (process " in again.stdout
    assert f"http://localhost:{own.ports[1]}/invocations" in again.stdout
    assert processes_of(own) == before
    mine = Path(own.settings["STACK_HOME"]) / "notes.txt"
    mine.write_text("not the stack's")
    own.down("--volumes")
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]
    own.down("--volumes")  # nothing running, nothing there: no error


def test_a_trainer_that_fails_is_named_and_down_stops_what_is_up(home: Path, installed_clone: Path) -> None:
    (installed_clone / "trainer" / "custom_code.py").write_text("raise RuntimeError('a mistake of mine')\n")
    stack = new_stack("native", home, installed_clone)
    failed = stack.script("up", "--native", "--detach", check=False)
    assert failed.returncode == 1
    assert "up: trainer ended with status 1. The end of its log" in failed.stderr
    assert "RuntimeError: a mistake of mine" in failed.stderr
    assert "no model is registered as iris" in failed.stderr
    assert not_healthy(stack.tracking_url) is None
    stack.down("--volumes")
    assert nothing_left(stack) is None


def test_what_somebody_deletes_in_the_ui_leaves_the_champion_serving(own: Stack) -> None:
    own.up()
    own.client.delete_run(own.version("1").run_id or "")
    assert "its run was deleted, so it is trained anew" in own.script_under_requests(
        "up", "--native", "--detach"
    )
    own.assert_settled("2")
    own.script_under_requests("rollback")
    own.assert_settled("1")
    experiment = own.client.get_experiment_by_name("iris")
    assert experiment is not None
    own.client.delete_experiment(experiment.experiment_id)
    failed = own.script("up", "--native", "--detach", check=False)
    assert failed.returncode == 1
    assert f"mlflow experiments restore --experiment-id {experiment.experiment_id}" in failed.stderr
    own.assert_settled("1")


def pythons() -> list[str]:
    """Find one interpreter of each supported version: on the PATH, or where pyenv keeps them."""
    found = []
    for minor in (11, 12, 13):
        kept = Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")
        paths = [shutil.which(f"python3.{minor}"), *map(str, kept)]
        found.append(next((path for path in paths if path and is_usable(path)), f"python3.{minor}"))
    return found


def python_version(python: str) -> str:
    command = [python, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def is_usable(python: str) -> bool:
    return subprocess.run([python, "-m", "venv", "-h"], capture_output=True).returncode == 0


@pytest.mark.thorough
@pytest.mark.parametrize("python", pythons(), ids=["3.11", "3.12", "3.13"])
def test_a_fresh_clone_comes_up_with_one_command(home: Path, clone: Path, python: str) -> None:
    if not shutil.which(python) or not is_usable(python):
        pytest.skip(f"{python} is not installed")
    stack = new_stack("native", home, clone)
    stack.settings["PYTHON"] = python
    # The ports come from the file this time, as a user would write them.
    settings = {name: stack.settings.pop(name) for name in ("TRACKING_PORT", "SERVING_PORT")}
    (clone / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    with running(stack):
        assert stack.predictions() == CLASSES
        assert stack.aliases() == {"champion": "1"}
    if python_version(python) != python_version(sys.executable):  # that one runs the tests already
        tested = stack.script(
            "test", "tests/e2e/test_stack.py", "-k", "native and not diabetes and not servers"
        )
        assert f"Python {python_version(python)}" in tested.stdout
        assert re.search(r"=+ 1\d passed, \d+ deselected in ", tested.stdout)


def test_without_a_usable_python_the_versions_are_named(home: Path, clone: Path) -> None:
    stack = new_stack("native", home, clone)
    stack.settings["PYTHON"] = "/bin/false"
    message = refused(stack)
    assert "no Python to use: expected 3.11, 3.12 or 3.13" in message
    assert not (clone / ".venv").exists()

"""What takes room and nobody needs is shown, then removed, and what is served goes on; in both modes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from stack.config import load_config
from stack.modes.docker import Docker
from stack.modes.mode import Mode
from stack.modes.native import Native
from stack.wait import wait_until
from tests.e2e.stacks import Stack, docker, native_processes, new_stack, running


@pytest.fixture(scope="module", params=["native", "docker"])
def gc_stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose version 2 is served, and version 1 was; its tests go on from one another."""
    if request.param == "docker":
        request.getfixturevalue("docker")
    with running(new_stack(request.param, tmp_path_factory.mktemp("gc") / "home")) as stack:
        stack.script("train", "--force")
        stack.script("deploy")
        stack.assert_settled("2")
        yield stack


def mode_of(stack: Stack) -> Mode:
    config = load_config(stack.environment, Path("/nonexistent/.env"))
    return Docker(config) if stack.mode == "docker" else Native(config)


def gc(stack: Stack, *arguments: str) -> str:
    told = stack.script("gc", f"--{stack.mode}", *arguments)
    assert told.stderr == ""
    return told.stdout


def needs(client: MlflowClient, version: str) -> tuple[str, str]:
    """Return the run and the logged model of a version."""
    found = client.get_model_version("iris", version)
    assert found.run_id
    assert found.source
    return found.run_id, found.source.removeprefix("models:/")


def exists(client: MlflowClient, run: str) -> bool:
    try:
        client.get_run(run)
    except MlflowException:
        return False
    return True


def test_what_nobody_needs_is_shown_and_removed_and_what_is_served_goes_on(
    gc_stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack, client = gc_stack, gc_stack.client
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.tracking_url)
    assert gc(stack) == "there is nothing to remove\n"
    needed, model = needs(client, "2")
    run, old = needs(client, "1")
    client.delete_model_version("iris", "1")
    for each in (needed, run):
        client.delete_run(each)
    client.delete_logged_model(old)
    mode = mode_of(stack)
    shown = gc(stack)
    assert run not in shown
    assert "what was baked, and environments, that nothing needs: 1 (" in shown
    assert "nothing was removed; to remove it, add --remove\n" in shown
    shown = gc(stack, "--older-than", "0")
    assert "runs, deleted at any time: 1 (" in shown
    assert f"    {run}  " in shown
    assert f"    {old}  " in shown
    assert f"run {needed} stays: version 2 of iris needs it\n" in shown
    assert exists(client, run)
    assert sorted(mode.baked_versions()) == ["1", "2"]

    told = stack.script_under_requests("gc", f"--{stack.mode}", "--older-than", "0", "--remove")
    assert told.startswith(shown[: shown.index("in all")])
    assert "removed: 3 things, " in told
    assert not exists(client, run)
    assert exists(client, needed)
    assert mode.baked_versions() == ["2"]
    assert Path(download_artifacts("models:/iris/2", dst_path=str(tmp_path)), "MLmodel").exists()
    assert client.get_logged_model(model).model_id == model
    stack.assert_settled("2")
    assert gc(stack, "--older-than", "0") == (
        f"run {needed} stays: version 2 of iris needs it\nthere is nothing to remove\n"
    )
    client.restore_run(needed)


def test_it_waits_for_no_deployment_and_removes_nothing_meanwhile(gc_stack: Stack) -> None:
    stack, client = gc_stack, gc_stack.client
    run = client.create_run("0").info.run_id
    client.delete_run(run)
    with mode_of(stack).exclusive():
        assert run in gc(stack, "--older-than", "0")
        refused = stack.script("gc", f"--{stack.mode}", "--older-than", "0", "--remove", check=False)
    assert refused.returncode == 1
    assert "another deployment is running" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert exists(client, run)


def test_a_store_that_is_away_is_named(gc_stack: Stack) -> None:
    if gc_stack.mode == "docker":
        pytest.skip("the container that runs has its settings")
    gc_stack.settings["BACKEND_STORE_URI"] = "postgresql://u:hidden@127.0.0.1:9/mlflow"
    try:
        failed = gc_stack.script("gc", "--native", check=False)
    finally:
        del gc_stack.settings["BACKEND_STORE_URI"]
    assert failed.returncode == 1
    assert "the database server 127.0.0.1:9 does not answer" in failed.stderr
    assert "hidden" not in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_when_it_is_killed_no_more_is_removed_than_what_is_at_hand(gc_stack: Stack) -> None:
    if gc_stack.mode == "docker":
        pytest.skip("nobody outside of its container can hold the database")
    runs = [gc_stack.client.create_run("0").info.run_id for _ in range(5)]
    for run in runs:
        gc_stack.client.delete_run(run)
    before = native_processes(gc_stack)

    def removing() -> str | None:
        programs = set(native_processes(gc_stack)) - set(before)
        return None if any(is_removing(pid) for pid in programs) else "not begun"

    database = Path(gc_stack.settings["STACK_HOME"], "mlflow.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # so it waits before the first
        process = gc_stack.start("./scripts/gc", "--native", "--older-than", "0", "--remove")
        wait_until(removing, timeout=120, alive=lambda: process.poll() is None)
        process.kill()
        process.communicate()
        connection.execute("ROLLBACK")
    wait_until(lambda: None if set(native_processes(gc_stack)) <= set(before) else "at work", timeout=60)
    assert len([run for run in runs if exists(gc_stack.client, run)]) >= 4
    told = gc(gc_stack, "--older-than", "0", "--remove")  # the locks went with it
    assert "removed: " in told
    assert not any(exists(gc_stack.client, run) for run in runs)


def is_removing(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False
    return b"garbage.py" in command and b"--remove" in command


def test_it_works_while_the_stack_is_down_and_leaves_nothing_running(gc_stack: Stack) -> None:
    stack = gc_stack
    run = stack.client.create_run("0").info.run_id
    stack.client.log_text(run, "some text", "a.txt")
    stack.client.delete_run(run)
    stack.down()
    told = gc(stack, "--older-than", "0", "--remove")
    assert f"    {run}  " in told
    assert "baked" not in told
    if stack.mode == "docker":
        project = f"--filter=label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
        assert docker("ps", "--all", "--quiet", project) == ""
    stack.up()
    assert not exists(stack.client, run)
    stack.assert_settled("2")

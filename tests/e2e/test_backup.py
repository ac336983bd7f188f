"""Backup and restore: what was saved on one pair of stores is the same on another."""

import json
import os
import random
import signal
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import CHECKOUT
from stack.wait import wait_until
from tests.e2e.engine_lock import EngineLock
from tests.e2e.stacks import Stack, native_processes, new_stack, on_servers, removed, running
from tests.e2e.stacks import docker as run_docker
from tests.everything import add_odd_data, differences, everything
from tests.real_stores import running_postgres, running_s3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack without Docker, on SQLite and a directory, with odd data and 40 MB."""
    with running(new_stack("native", tmp_path_factory.mktemp("source") / "home")) as stack:
        add_odd_data(stack.tracking_url)
        large = tmp_path_factory.mktemp("large") / "large.bin"
        large.write_bytes(os.urandom(40_000_000))
        run = stack.client.create_run("0").info.run_id
        stack.client.log_artifact(run, str(large))
        stack.client.set_terminated(run)
        yield stack


@contextmanager
def target(mode: str, directory: Path, *, servers: bool) -> Iterator[Stack]:
    """Yield a stack that is not up and has no data, and remove it at the end."""
    with ExitStack() as running_servers:
        stack = new_stack(mode, directory / "home")
        if servers and mode == "native":
            database = running_servers.enter_context(running_postgres())
            stack = on_servers(stack, database, running_servers.enter_context(running_s3(directory / "s3")))
        elif servers:
            stack = on_servers(stack)
        with removed(stack):
            yield stack


def without_what_a_deployment_notes(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what `up` changes at the champion after a restore: its tags, and when it was changed."""
    noted = ("tags", "last_updated_timestamp")
    versions = {
        name: {
            key: value for key, value in version.items() if key not in noted or not name.startswith("iris/")
        }
        for name, version in found["versions"].items()
    }
    models = {
        name: {
            key: value for key, value in model.items() if key in ("name", "description", "tags", "aliases")
        }
        for name, model in found["registered models"].items()
    }
    return {**found, "versions": versions, "registered models": models}


def backed_up(stack: Stack, file: Path) -> str:
    return stack.script("backup", f"--{stack.mode}", str(file)).stdout


def restored(stack: Stack, file: Path, *options: str) -> str:
    return stack.script("restore", f"--{stack.mode}", str(file), *options).stdout


def kill_restores(stack: Stack, file: Path) -> None:
    """Restore, and kill that at different moments; then restore whole."""
    for _ in range(4):
        process = stack.start("./scripts/restore", f"--{stack.mode}", str(file))
        time.sleep(random.uniform(0.3, 4))  # noqa: S311
        for pid in native_processes(stack):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
    done = stack.script("restore", f"--{stack.mode}", str(file), check=False)
    # One that was killed may have been done just then.
    assert done.returncode == 0 or "the stack has data, and nothing was changed" in done.stderr


def test_what_is_restored_on_other_stores_is_the_same_and_back_again(source: Stack, tmp_path: Path) -> None:
    expected = without_what_a_deployment_notes(everything(source.tracking_url))
    file = tmp_path / "source.tar"
    assert f"{file} (4" in backed_up(source, file)
    champion = source.aliases()["champion"]
    for name in ("servers", "files"):
        with target("native", tmp_path / name, servers=name == "servers") as stack:
            kill_restores(stack, file)
            stack.up()
            stack.assert_settled(champion)
            assert stack.versions() == source.versions()  # it has not trained anew
            assert (
                differences(without_what_a_deployment_notes(everything(stack.tracking_url)), expected) == []
            )
            file = tmp_path / f"{name}.tar"
            backed_up(stack, file)


@pytest.mark.parametrize("servers", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_what_is_restored_with_docker_is_the_same(
    source: Stack, docker: EngineLock, tmp_path: Path, servers: bool
) -> None:
    del docker
    expected = without_what_a_deployment_notes(everything(source.tracking_url))
    file, again = tmp_path / "source.tar", tmp_path / "again.tar"
    backed_up(source, file)
    with target("docker", tmp_path, servers=servers) as stack:
        restored(stack, file)
        stack.up()
        stack.assert_settled(source.aliases()["champion"])
        assert differences(without_what_a_deployment_notes(everything(stack.tracking_url)), expected) == []
        stack.script("down")
        backed_up(stack, again)  # by a container that is there only meanwhile
        project = f"--filter=label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
        assert run_docker("ps", "--quiet", project) == ""
        assert hashes(again) == hashes(file) | {"mlflow.db": hashes(again)["mlflow.db"]}


def hashes(file: Path) -> dict[str, str]:
    """Return the hashes of the database and the artifacts in an archive."""
    with tarfile.open(file) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest
        files = json.load(manifest)["files"]
    return {
        name: found["sha256"] for name, found in files.items() if name.startswith(("mlflow", "artifacts/"))
    }


def test_data_that_are_there_are_replaced_only_on_request_and_after_a_backup(
    source: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "source.tar"
    backed_up(source, file)
    before = everything(source.tracking_url)
    run = source.client.create_run("0").info.run_id
    source.client.set_tag(run, "new", "since the backup")
    with_run = everything(source.tracking_url)
    refused = source.script("restore", "--native", str(file), check=False)
    assert refused.returncode == 1
    assert "the stack has data, and nothing was changed; with --replace" in refused.stderr
    assert differences(everything(source.tracking_url), with_run) == []
    told = restored(source, file, "--replace")
    saved = Path(told.partition(" s: ")[2].partition(" (")[0])
    try:
        # The server goes on meanwhile, and so does the model server.
        assert differences(everything(source.tracking_url), before) == []
        assert source.model.is_right(source.predictions())
        source.assert_settled(source.aliases()["champion"])
        # A run that was at work ends as KILLED, all else is as it was.
        restored(source, saved, "--replace")
        again = everything(source.tracking_url)
        assert again["runs"].keys() == with_run["runs"].keys()
        assert "KILLED" in again["runs"][run]["info"]
        assert {k: v for k, v in again["runs"].items() if k != run} == before["runs"]
    finally:
        for archive in (CHECKOUT / "backups").glob(f"{source.settings['COMPOSE_PROJECT_NAME']}-*"):
            archive.unlink()


def test_a_backup_in_the_middle_of_trainings_and_deployments_is_consistent(
    source: Stack, tmp_path: Path
) -> None:
    at_work = source.start("bash", "-c", "for i in 1 2; do ./scripts/train --force && ./scripts/deploy; done")
    archives: list[Path] = []
    while at_work.poll() is None:
        archives.append(tmp_path / f"{len(archives)}.tar")
        backed_up(source, archives[-1])
        time.sleep(random.uniform(0, 1.5))  # noqa: S311
    assert at_work.communicate()[0]
    assert at_work.returncode == 0
    assert len(archives) > 3
    for archive in archives:
        check_consistent(archive, tmp_path)
    with target("native", tmp_path / "restored", servers=False) as stack:
        restored(stack, archives[len(archives) // 2])
        stack.up()
        stack.assert_settled(stack.aliases()["champion"])


def check_consistent(archive: Path, directory: Path) -> None:
    """Check that all that the database of an archive names is in the archive, too."""
    with tarfile.open(archive) as tar:
        tar.extract("mlflow.db", directory, filter="data")
        names = set(tar.getnames())

    def named(statement: str) -> list[str]:
        with closing(sqlite3.connect(directory / "mlflow.db")) as connection:
            return [
                uri.replace("mlflow-artifacts:/", "artifacts/") for (uri,) in connection.execute(statement)
            ]

    models = named("SELECT artifact_location FROM logged_models WHERE status = 2")
    assert models
    assert [uri for uri in models if f"{uri}/MLmodel" not in names] == []
    of_versions = named(
        "SELECT artifact_uri FROM model_versions AS v JOIN runs ON run_id = run_uuid WHERE v.name = 'iris'"
    )
    assert of_versions
    assert [uri for uri in of_versions if f"{uri}/replay.json" not in names] == []


def test_a_store_that_is_away_is_named_and_nothing_is_left(source: Stack, tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    backed_up(source, file)
    with target("native", tmp_path, servers=True) as stack:
        away = replace(
            stack,
            settings={**stack.settings, "BACKEND_STORE_URI": "postgresql://u:hidden@127.0.0.1:9/mlflow"},
        )
        for command in (("restore", "--native", str(file)), ("backup", "--native", str(tmp_path / "b.tar"))):
            failed = away.script(*command, check=False)
            assert failed.returncode == 1
            assert "the database server 127.0.0.1:9 does not answer" in failed.stderr
            assert failed.stderr.count("\n") == 1
            assert "hidden" not in failed.stderr
        assert list(tmp_path.glob("b.tar*")) == []


def test_a_backup_that_is_killed_leaves_no_process_and_no_archive(source: Stack, tmp_path: Path) -> None:
    before = native_processes(source)
    process = source.start("./scripts/backup", "--native", str(tmp_path / "a.tar"))
    wait_until(lambda: None if (tmp_path / "a.tar.partial").exists() else "not begun", timeout=60)
    process.kill()
    process.communicate()
    wait_until(lambda: None if set(native_processes(source)) <= set(before) else "at work", timeout=60)
    assert not (tmp_path / "a.tar").exists()
    backed_up(source, tmp_path / "a.tar")

"""Backup and restore: what was saved on one pair of stores is the same on another, whatever went on meanwhile."""

import json
import os
import random
import signal
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stack.wait import wait_until
from tests.e2e.stacks import Stack, new_stack, on_servers, removed, running
from tests.everything import add_odd_data, everything
from tests.real_stores import running_postgres, running_s3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack without Docker, on SQLite and a directory, with odd data and 40 MB."""
    with running(new_stack("native", tmp_path_factory.mktemp("source") / "home")) as stack:
        add_odd_data(stack.tracking_url)
        large = tmp_path_factory.mktemp("large") / "large.bin"
        large.write_bytes(os.urandom(40_000_000))
        stack.client.log_artifact(stack.client.create_run("0").info.run_id, str(large))
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
        name: {key: value for key, value in version.items() if key not in noted or not name.startswith("iris/")}
        for name, version in found["versions"].items()
    }
    models = {
        name: {key: value for key, value in model.items() if key in ("name", "description", "tags", "aliases")}
        for name, model in found["registered models"].items()
    }
    return {**found, "versions": versions, "registered models": models}


def backed_up(stack: Stack, file: Path) -> str:
    return stack.script("backup", f"--{stack.mode}", str(file)).stdout


def restored(stack: Stack, file: Path, *options: str) -> str:
    return stack.script("restore", f"--{stack.mode}", str(file), *options).stdout


def kill_restores(stack: Stack, file: Path) -> None:
    """Start to restore three times, and kill that at different moments."""
    for _ in range(3):
        process = stack.start("./scripts/restore", f"--{stack.mode}", str(file))
        time.sleep(random.uniform(0.3, 4))  # noqa: S311
        for pid in [process.pid]:
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        if stack.script("restore", f"--{stack.mode}", str(file), check=False).returncode == 0:
            return


def test_what_is_restored_on_another_pair_of_stores_is_the_same_and_back(
    source: Stack, tmp_path: Path
) -> None:
    before = everything(source.tracking_url)
    told = backed_up(source, tmp_path / "first.tar")
    assert "backed up in" in told
    champion = source.aliases()["champion"]
    file = tmp_path / "first.tar"
    for number, servers in enumerate((True, False)):
        with target("native", tmp_path / str(number), servers=servers) as stack:
            told = restored(stack, file)
            assert "to serve the champion: ./scripts/up" in told
            stack.up()
            stack.assert_settled(champion)
            assert stack.versions() == source.versions()  # it has not trained anew
            after = everything(stack.tracking_url)
            assert without_what_a_deployment_notes(after) == without_what_a_deployment_notes(
                ended(before)
            )
            file = tmp_path / f"{number}.tar"
            backed_up(stack, file)


def ended(found: dict[str, Any]) -> dict[str, Any]:
    return found

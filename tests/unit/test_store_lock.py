"""One program at a time takes something out of the stores, and none while others copy them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import store_lock
from database import StoreError

from stack.config import CHECKOUT


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STORE_DIRECTORY", str(tmp_path))
    return tmp_path


def test_some_may_read_at_once() -> None:
    with store_lock.reading(), store_lock.reading():
        pass


def test_who_changes_the_stores_is_alone() -> None:
    for first, second in (
        (store_lock.changing, store_lock.reading),
        (store_lock.reading, store_lock.changing),
        (store_lock.changing, store_lock.changing),
    ):
        with first(), pytest.raises(StoreError, match=r"another .* is running; wait until it ends"), second():
            pass
    with store_lock.changing():
        pass


def test_the_lock_goes_with_the_process_that_is_killed() -> None:
    program = "import store_lock\nwith store_lock.changing():\n    print('held', flush=True)\n    input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT / "tracking",
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError), store_lock.reading():
            pass
        holder.kill()
        holder.wait()
        with store_lock.changing():
            pass


def test_a_directory_that_is_not_there_is_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_DIRECTORY", str(directory / "none"))
    with pytest.raises(StoreError, match=r"can't write .*/none/\.stores\.lock .*No such file"):
        store_lock.changing().__enter__()

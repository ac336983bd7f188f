import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.modes.processes import Process
from stack.wait import wait_until

FOREVER = [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('up', flush=True); time.sleep(600)",
]
# A parent that leaves a child behind which has none of its files open, as `mlflow server` does.
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    " print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True);"
    " time.sleep(600)",
]


def wait_for_log(process: Process) -> str:
    wait_until(lambda: None if process.log.read_text() else "empty", timeout=10)
    return process.log.read_text()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_is_known_by_name_for_as_long_as_it_lives(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    assert not process.is_running()
    child = process.start(FOREVER, os.environ, tmp_path)
    same = Process(tmp_path, "part")
    assert same.is_running()
    assert same.pid() == child.pid
    same.stop()
    assert not process.is_running()
    assert not is_alive(child.pid)


def test_a_second_of_the_same_name_is_refused(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    process.start(FOREVER, os.environ, tmp_path)
    try:
        with pytest.raises(StackError, match="part is already running"):
            process.start(FOREVER, os.environ, tmp_path)
    finally:
        process.stop()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    child = process.start(STUBBORN, os.environ, tmp_path)
    wait_for_log(process)
    process.stop(grace=0.2)
    assert not is_alive(child.pid)


def test_stopping_ends_the_children_too(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    process.start(PARENT, os.environ, tmp_path)
    grandchild = int(wait_for_log(process))
    assert is_alive(grandchild)
    process.stop()
    assert not is_alive(grandchild)


def test_what_a_killed_process_left_behind_is_found_and_ended(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    child = process.start(PARENT, os.environ, tmp_path)
    grandchild = int(wait_for_log(process))
    child.kill()
    child.wait()
    assert not process.is_running()
    assert process.members() == [grandchild]
    process.stop()
    assert not is_alive(grandchild)


def test_a_lock_file_without_a_process_id_leads_to_no_signal(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    with process.claim():
        process.lock.write_text("")
        assert process.pid() is None
        with pytest.raises(StackError, match="does not stop"):
            process.stop(grace=0.1)  # a signal to process 0 would end this test run


def test_an_old_process_id_is_nobodys(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    process.lock.parent.mkdir()
    process.lock.write_text(str(os.getpid()))
    assert not process.is_running()
    process.stop()  # would end this test run if it trusted the number


def test_a_claim_is_given_up_with_the_file(tmp_path: Path) -> None:
    process = Process(tmp_path, "up")
    with process.claim():
        assert process.is_running()
        assert process.pid() == os.getpid()
        with pytest.raises(StackError, match="up is already running"):
            process.claim()
    assert not process.is_running()


def test_a_command_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    with pytest.raises(FileNotFoundError):
        process.start(["/nonexistent"], os.environ, tmp_path)
    assert not process.is_running()


def test_the_end_of_the_log_is_shown(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    assert process.log_tail() == "    (it has no log)"
    process.log.parent.mkdir()
    process.log.write_text("one\ntwo\nthree\n")
    assert process.log_tail(2) == "    two\n    three"


def test_a_note_is_kept_beside_the_process_id_until_the_next_start(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    child = process.start(FOREVER, os.environ, tmp_path, note="iris 3")
    same = Process(tmp_path, "part")
    found = (same.pid(), same.note())
    process.stop()
    assert found == (child.pid, "iris 3")
    with process.claim():
        assert (same.pid(), same.note()) == (os.getpid(), "")


def test_asking_after_a_process_does_not_change_since_when_it_runs(tmp_path: Path) -> None:
    process = Process(tmp_path, "part")
    with process.claim():
        assert abs(datetime.now(UTC) - process.started_at()) < timedelta(seconds=10)
        os.utime(process.lock, (0, 0))
        assert process.is_running()
        with pytest.raises(StackError, match="part is already running"):
            process.claim()
        assert process.started_at() == datetime(1970, 1, 1, tzinfo=UTC)

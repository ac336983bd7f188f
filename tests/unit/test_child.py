"""A function in a child process, and what becomes of it when somebody is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.child import in_a_child
from stack.modes.processes import processes_with
from stack.wait import wait_until

LIMIT = 60
MARK = "CHILD_OF_TEST"


@pytest.mark.parametrize("error", [StackError("no such version"), KeyboardInterrupt()])
def test_what_a_child_raises_is_raised_here(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        in_a_child(fail, "it")
    assert str(raised.value) == str(error)


def test_a_child_returns_what_it_found_and_its_death_is_told() -> None:
    assert in_a_child(lambda: {"found": 1}, "it") == {"found": 1}
    with pytest.raises(StackError, match="fetching the model ended with status 1; run this again"):
        in_a_child(lambda: sys.exit(1), "fetching the model")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("hears", [True, False])
def test_a_child_ends_with_its_parent_whatever_it_is_at(
    tmp_path: Path, number: signal.Signals, hears: bool
) -> None:
    code = f"""
import signal, time
from stack.interruption import interrupted_once
from stack.modes import child
child._ENDED_WITHIN = {LIMIT if hears else 0.1}
def work():
    if not {hears}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        print("at work", flush=True)
        time.sleep(600)
    finally:
        open({str(tmp_path / "cleaned")!r}, "w").close()
interrupted_once()
child.in_a_child(work, "it")
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, MARK: str(tmp_path)},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    assert parent.stdout.readline() == "at work\n"
    parent.send_signal(number)
    parent.wait(LIMIT)
    wait_until(lambda: "alive" if processes_with(MARK, str(tmp_path)) else None, timeout=LIMIT)
    assert (tmp_path / "cleaned").exists() == hears
    parent.communicate()

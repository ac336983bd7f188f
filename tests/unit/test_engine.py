import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import stack.modes.engine
from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.modes.docker import lock_command, lock_name
from stack.modes.engine import Lock, moment
from stack.wait import wait_until
from tests.conftest import put_docker

CONFIG = load_config({"COMPOSE_PROJECT_NAME": "mine"}, Path("/nonexistent/.env"))
# An engine with room for one container, whose state is in a file; `run` has --rm and --entrypoint=cat.
DOCKER = """#!/bin/sh
cd "$(dirname "$0")"
case "$1 $2" in
run*)
    if [ -e broken ]; then cat broken >&2; exit 125; fi
    echo tried >>runs
    if ! (set -C; echo running >state) 2>/dev/null; then
        echo 'docker: Error response from daemon: Conflict. The container name is already in use by ...' >&2
        exit 125
    fi
    cat
    rm state ;;
"rm --force") rm state ;;
"container inspect") cat state ;;
*) exit 1 ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `docker` first on PATH; return the directory of its files."""
    put_docker(tmp_path, monkeypatch, DOCKER)

    def less_patient(*arguments: Any, **options: Any) -> None:  # noqa: ANN401
        wait_until(*arguments, **options | {"timeout": 0.2, "interval": 0.05})

    monkeypatch.setattr(stack.modes.engine, "wait_until", less_patient)
    return tmp_path


@contextmanager
def held() -> Iterator[None]:
    lock = Lock(lock_name(CONFIG), lock_command(CONFIG))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def test_the_lock_is_a_container_for_as_long_as_it_is_held(engine: Path) -> None:
    for _ in range(2):
        with held():
            assert (engine / "state").read_text() == "running\n"
        assert not (engine / "state").exists()


def test_the_lock_of_another_is_refused_and_left_alone(engine: Path) -> None:
    with held():
        with (
            pytest.raises(StackError, match=r"another deployment is running .*mine-deploying\); wait"),
            held(),
        ):
            pass
        assert (engine / "state").read_text() == "running\n"
        assert (engine / "runs").read_text() == "tried\n"  # by the holder: the other has only looked


@pytest.mark.parametrize("state", ["created", "exited"])
def test_a_container_that_does_not_run_holds_nothing(engine: Path, state: str) -> None:
    (engine / "state").write_text(f"{state}\n")
    with held():
        assert (engine / "state").read_text() == "running\n"


def test_what_keeps_the_container_from_starting_is_told(engine: Path) -> None:
    (engine / "broken").write_text("docker: no such image: mine-base\n")
    with (
        pytest.raises(StackError, match=r"^can't start a container: docker: no such image: mine-base$"),
        held(),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-01-02T10:00:00.123456789Z", 123456),
        ("2026-01-02T10:00:00.12Z", 120000),
        ("2026-01-02T10:00:00Z", 0),
        ("2026-01-02T12:00:00.123456789+02:00", 123456),
    ],
)
def test_the_engines_times_are_read(text: str, microsecond: int) -> None:
    assert moment(text) == datetime(2026, 1, 2, 10, 0, 0, microsecond, UTC)


SHOWN = """
import sys
from stack.modes.engine import run_shown

code = "import sys; print(sys.stdout.isatty(), sys.stderr.isatty()); sys.exit(7)"
print(run_shown([sys.executable, "-c", code]), file=sys.stderr)
"""


def show(output: int) -> str:
    """Run SHOWN with its output there; return what it says of the command that it has shown."""
    shown = [sys.executable, "-c", SHOWN]
    return subprocess.run(shown, stdout=output, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT).stderr


@pytest.mark.parametrize(
    ("opened", "is_terminal"), [(pty.openpty, True), (os.pipe, False)], ids=["tty", "pipe"]
)
def test_a_command_that_is_shown_gets_a_terminal_if_there_is_one(
    opened: Callable[[], tuple[int, int]], is_terminal: bool
) -> None:
    ours, its = opened()
    said = show(its)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(its)
    assert shown.strip() == f"{is_terminal} {is_terminal}"
    assert said.startswith(f"(7, '{is_terminal} {is_terminal}")


def test_a_command_that_is_shown_finishes_though_nobody_reads_what_it_prints() -> None:
    ours, its = os.pipe()
    os.close(ours)
    said = show(its)
    os.close(its)
    assert said.startswith("(7, 'False False")

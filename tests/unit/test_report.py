"""How the end of a part is told, the same in both modes."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.modes import compose
from stack.modes.parts import Parts
from stack.modes.report import ended_text
from tests.conftest import put_docker

CONFIG = load_config({}, Path("/nonexistent/.env"))
KILLED = (
    "was killed by SIGKILL (status {}), usually because the memory ran out:"
    " give it more memory, or less to do"
)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (1, "ended with status 1"),
        (3, "ended with status 3"),
        (255, "ended with status 255"),
        (-9, KILLED.format(-9)),
        (137, KILLED.format(137)),
        (-11, "was killed by SIGSEGV (status -11)"),
        (139, "was killed by SIGSEGV (status 139)"),
    ],
)
def test_an_end_is_told_by_its_status_and_only_a_kill_as_want_of_memory(status: int, told: str) -> None:
    assert ended_text(status) == told


def test_without_docker_a_killed_trainer_is_told_as_that(tmp_path: Path) -> None:
    parts = Parts(replace(CONFIG, home=tmp_path))
    code = f"import os; print('half done', flush=True); os.kill(os.getpid(), {signal.SIGKILL:d})"
    parts.process("tracking").start(
        [sys.executable, "-c", "import time; time.sleep(60)"], os.environ, tmp_path
    )
    trainer = parts.process("trainer")
    child = trainer.start([sys.executable, "-c", code], os.environ, tmp_path)
    child.wait()
    with pytest.raises(StackError) as told:
        parts._finish("trainer", child)
    assert str(told.value) == (
        f"trainer {KILLED.format(-9)}. The end of its log, {trainer.log}:\n    half done"
    )
    parts.stop()


def test_with_docker_a_killed_trainer_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = "wait) [ $2 = trainer ] && echo 137 || echo 0 ;; logs) echo half done ;;"
    put_docker(tmp_path, monkeypatch, f"#!/bin/sh\ncase $1 in {answers} esac\n")

    def containers(_: object, service: str) -> list[dict[str, Any]]:
        return [{"Id": service, "State": {"StartedAt": "now"}}]

    monkeypatch.setattr(compose, "service_containers", containers)
    with pytest.raises(StackError) as told:
        compose._wait_for_one_shots(CONFIG, lambda: None)
    assert str(told.value) == f"trainer {KILLED.format(137)}. The end of its log:\n    half done"

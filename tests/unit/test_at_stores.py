"""The container in which programs work on the stores of a stack that is not up."""

import subprocess
from dataclasses import replace
from typing import Any

import pytest

from stack.config import load_config
from stack.errors import LockedError
from stack.modes import at_stores
from stack.stores import Stores

CONFIG = replace(load_config(), project="mine", stores=Stores(services=("postgres", "s3")))


class Engine:
    """Knows the states of some services; notes what is started and stopped, and whether the lock is held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **states: str) -> None:
        self.states, self.told = states, list[str]()
        self.is_held_by_another = False
        monkeypatch.setattr(at_stores, "service_containers", self._containers)
        monkeypatch.setattr(at_stores, "find_image", lambda _: "there")
        monkeypatch.setattr(at_stores, "compose_command", lambda _, *arguments: list(arguments))
        monkeypatch.setattr(at_stores, "run", self._run)
        monkeypatch.setattr(at_stores, "Lock", lambda name, _command, whose: self._lock(name, whose))

    def _containers(self, _: object, service: str) -> list[dict[str, Any]]:
        status = self.states.get(service)
        state = {"Status": status, "Running": status == "running", "Restarting": False}
        return [{"Id": service, "State": state}] if status else []

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        self.told.append(" ".join(command))
        return subprocess.CompletedProcess(command, 0, "", "")

    def _lock(self, name: str, whose: str) -> "Engine":
        assert name == "mine-stores"
        self.whose = whose
        return self

    def acquire(self) -> None:
        if self.is_held_by_another:
            raise LockedError(f"{self.whose} is running")
        self.told.append("held")

    def release(self) -> None:
        self.told.append("released")


def test_the_servers_that_were_started_for_it_are_stopped_before_another_may_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(monkeypatch, postgres="running", s3="exited")
    with at_stores.in_docker(CONFIG) as started:
        assert "mine-stores" in started("backup.py").command
    assert engine.told == ["held", "stop s3", "released"]


@pytest.mark.parametrize("state", ["created", "running"])
def test_the_servers_of_a_stack_that_came_up_meanwhile_go_on(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    engine = Engine(monkeypatch)
    with at_stores.in_docker(CONFIG):
        engine.states["tracking"] = state
    assert engine.told == ["held", "released"]


def test_what_another_has_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch)
    engine.is_held_by_another = True
    with (
        pytest.raises(LockedError, match=r"another \./scripts/backup, restore or gc is running"),
        at_stores.in_docker(CONFIG),
    ):
        pass
    assert engine.told == []


def test_the_container_of_a_stack_that_is_up_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, tracking="running")
    with at_stores.in_docker(CONFIG) as started:
        assert "tracking" in started("backup.py").command
    assert engine.told == []

"""Two checkouts with one name, or with one state directory: the second is refused, and changes nothing."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stack import run
from stack.__main__ import parser
from stack.config import CHECKOUT, Config, load_config
from stack.doctor.state import check_home, check_project
from stack.errors import StackError
from stack.modes import compose, supervisor
from stack.modes.choice import choose_mode
from stack.modes.owner import OwnerError, check_owner, is_another
from stack.modes.preflight import MARKER, check_home_owner, prepare_home
from tests.conftest import put_docker

DOWN = parser().parse_args(["down", "--volumes"])


class Machine(NamedTuple):
    """A machine with one container of the project `mine`, which a checkout has made."""

    config: Config
    directory: Path

    def made_by(self, checkout: str | None) -> None:
        labels = {} if checkout is None else {"com.docker.compose.project.working_dir": checkout}
        (self.directory / "inspected").write_text(json.dumps([{"Id": "it", "Config": {"Labels": labels}}]))

    def changes(self) -> list[str]:
        """Return what Docker was asked to do, besides to tell something."""
        asked = (self.directory / "asked").read_text().splitlines()
        return [
            line
            for line in asked
            if not line.startswith(("version", "ps", "container", "network", "volume"))
            and " config " not in line
        ]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    put_docker(
        tmp_path,
        monkeypatch,
        '#!/bin/sh\ncd "$(dirname "$0")"\necho "$*" >>asked\ncase "$1 $2" in\n'
        'ps* | "container ls") echo it ;; "container inspect") cat inspected ;;\n'
        'compose*) case "$*" in *" config "*)\n'
        'echo "{\\"services\\": {\\"postgres\\": {}, \\"s3\\": {}}}" ;; esac ;; esac\n',
    )
    config = replace(
        load_config({"COMPOSE_PROJECT_NAME": "mine"}, tmp_path / "no.env"), home=tmp_path / "state"
    )
    monkeypatch.setattr("stack.config.load_config", lambda **_: config)
    monkeypatch.setattr(run, "load_config", lambda: config)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Machine(config, tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Make another checkout, as far as it matters."""
    directory = tmp_path / "other"
    directory.mkdir()
    (directory / "docker-compose.yml").touch()
    return directory


def test_another_checkout_owns_a_stack_for_as_long_as_it_exists(tmp_path: Path, other: Path) -> None:
    assert is_another(str(other))
    (other / "docker-compose.yml").unlink()
    assert not is_another(str(other))
    assert not is_another(str(tmp_path / "moved"))
    assert not is_another("/stack")  # where `deploy` sees a checkout in its container


def test_a_checkout_under_another_name_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(CHECKOUT)
    assert not is_another(str(CHECKOUT))
    assert not is_another(str(tmp_path / "link"))


def test_a_checkout_that_this_user_may_not_see_is_another_users(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stat(_: Path, **__: object) -> os.stat_result:
        raise PermissionError

    monkeypatch.setattr(Path, "stat", stat)
    assert is_another(str(other))


@pytest.mark.parametrize("checkout", [str(CHECKOUT), "/nonexistent/moved", "/stack", None])
def test_a_stack_that_is_this_checkouts_or_nobodys_is_used(machine: Machine, checkout: str | None) -> None:
    machine.made_by(checkout)
    check_owner(machine.config)
    assert choose_mode(machine.config).config == machine.config
    assert check_project(machine.config).state == "ok"
    compose.down(machine.config, volumes=True)
    [left, down] = machine.changes()
    # The first two are those of `watch` and of the gateway.
    assert left == "rm --force it it mine-trial mine-answering"
    assert down.endswith("down --volumes")


def test_another_checkouts_stack_is_refused_by_all_that_would_change_it(
    machine: Machine, other: Path
) -> None:
    machine.made_by(str(other))
    said = (
        f"the stack mine in Docker is that of {other}; run ./scripts/down there, or set COMPOSE_PROJECT_NAME,"
        " TRACKING_PORT and SERVING_PORT in .env, to have another one here"
    )
    for use in (
        lambda: compose.up(machine.config, detach=True),
        lambda: compose.down(machine.config, volumes=True),
        lambda: choose_mode(machine.config),
        lambda: choose_mode(machine.config, "docker"),
        run.train,
    ):
        with pytest.raises(OwnerError) as raised:
            use()
        assert str(raised.value) == said
    with pytest.raises(StackError, match="that of"):
        DOWN.run(DOWN)
    assert check_project(machine.config).state == "fix"
    assert machine.changes() == []


def test_a_stack_without_docker_is_stopped_beside_another_checkouts_in_docker(
    machine: Machine, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.made_by(str(other))
    monkeypatch.setattr(supervisor, "down", lambda *_, **__: True)
    DOWN.run(DOWN)
    assert machine.changes() == []


def test_a_deployment_in_its_container_can_not_see_whose_the_stack_is(machine: Machine, other: Path) -> None:
    machine.made_by(str(other))
    inside = replace(machine.config, container_url="http://{}:8080")
    assert choose_mode(inside, "docker").config == inside


def test_a_state_directory_is_the_checkouts_that_has_used_it_first(machine: Machine, other: Path) -> None:
    prepare_home(machine.config)
    marker = machine.config.home / MARKER
    assert marker.read_text().strip() == str(CHECKOUT)
    check_home_owner(machine.config.home)
    marker.write_text(f"{other}\n")
    for use in (
        lambda: prepare_home(machine.config),
        lambda: supervisor.down(machine.config, volumes=True),
        lambda: choose_mode(machine.config, "native"),
    ):
        with pytest.raises(
            OwnerError, match=f"is that of {other}; set STACK_HOME in .env to another, or, to"
        ):
            use()
    assert check_home(machine.config.home).state == "fix"
    assert marker.read_text() == f"{other}\n"


@pytest.mark.parametrize("noted", ["", "/nonexistent/moved"])
def test_a_state_directory_that_nobody_uses_is_taken_over(machine: Machine, noted: str) -> None:
    machine.config.home.mkdir()
    (machine.config.home / MARKER).write_text(noted)
    prepare_home(machine.config)
    assert (machine.config.home / MARKER).read_text().strip() == str(CHECKOUT)


def test_a_copy_of_a_checkout_has_its_own_state_directory(
    machine: Machine, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.config.home.mkdir()
    (machine.config.home / MARKER).write_text(str(other))
    monkeypatch.setattr("stack.modes.preflight.CHECKOUT", machine.config.home.parent)
    check_home_owner(machine.config.home)

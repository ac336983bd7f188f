"""What Compose can't do of its files, and by which paths it names theirs, in a container and on the host."""

import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.modes import overrides
from stack.modes.engine_error import EngineError
from stack.modes.overrides import check_files, seen_from_host

ON_HOST = load_config({}, Path("/nonexistent/.env"))
IN_CONTAINER = replace(ON_HOST, container_url="http://{}:8080")
BIND = {"type": "bind", "target": "/data"}


class Compose:
    """A Compose of some version, which reads some files; and the container of `deploy` that it runs in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.version = "2.26.1-4"
        self.serving: dict[str, Any] = {}
        self.others: dict[str, Any] = {}
        self.error = ""
        self.on_host = str(CHECKOUT)
        monkeypatch.setattr(overrides, "run", self._run)
        monkeypatch.setattr(overrides, "containers", self._containers)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        if "version" in command:
            return subprocess.CompletedProcess(command, 0, f"{self.version}\n", "")
        files = {"services": {"serving": self.serving}, **self.others}
        return subprocess.CompletedProcess(command, int(bool(self.error)), json.dumps(files), self.error)

    def _containers(self, own: str) -> list[dict[str, Any]]:
        assert own == f"id={socket.gethostname()}"
        labels = {
            "com.docker.compose.project.working_dir": self.on_host,
            "com.docker.compose.version": "2.40.3",
        }
        return [{"Config": {"Labels": labels}}]


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch) -> Compose:
    return Compose(monkeypatch)


@pytest.mark.parametrize("key", ["gpus", "post_start", "pre_stop"])
def test_a_key_that_compose_would_ignore_is_refused_with_both_versions(compose: Compose, key: str) -> None:
    compose.serving = {key: []}
    with pytest.raises(StackError) as raised:
        check_files(IN_CONTAINER)
    assert str(raised.value) == (
        "Compose 2.26.1-4, in this container, ignores what the Compose files set on serving:"
        f" {key}; remove it, or run ./scripts/deploy on the host, whose Compose is 2.40.3"
    )
    with pytest.raises(StackError) as raised:
        check_files(ON_HOST)
    assert str(raised.value) == (
        f"Compose 2.26.1-4 ignores what the Compose files set on serving: {key};"
        " remove it, or install a newer Compose"
    )


@pytest.mark.parametrize("version", ["2.30.0", "v2.40.3", "5.0.1"])
def test_a_compose_that_heeds_the_key_may_do_so(compose: Compose, version: str) -> None:
    compose.version = version
    compose.serving = {"gpus": [{"count": -1}]}
    check_files(ON_HOST)


def test_what_compose_refuses_is_told_in_its_last_line(compose: Compose) -> None:
    compose.error = (
        'level=warning msg="old"\nservices.serving Additional property use_api_socket is not allowed\n'
    )
    with pytest.raises(StackError) as raised:
        check_files(IN_CONTAINER)
    assert str(raised.value) == (
        "Compose 2.26.1-4, in this container, can't use the Compose files: services.serving"
        " Additional property use_api_socket is not allowed; correct them, or run ./scripts/deploy on the"
        " host, whose Compose is 2.40.3"
    )


def test_a_mount_by_the_path_on_the_host_is_fine(compose: Compose) -> None:
    compose.on_host = "/home/me/clone"
    compose.serving = {"volumes": [{**BIND, "source": "/home/me/clone/data"}]}
    check_files(IN_CONTAINER)


@pytest.mark.parametrize("key", ["volumes", "secrets", "configs"])
def test_a_relative_file_is_refused_where_the_hosts_path_can_not_be_used(compose: Compose, key: str) -> None:
    file = str(CHECKOUT / "data" / "rows")
    compose.serving = {key: [{**BIND, "source": file if key == "volumes" else "it"}]}
    compose.others = {} if key == "volumes" else {key: {"it": {"file": file}}}
    check_files(ON_HOST)
    check_files(IN_CONTAINER)  # the path is the same there
    compose.on_host = r"C:\Users\me\clone"
    with pytest.raises(
        StackError, match=r"can't mount .*data/rows on serving, .*; give the host's whole path, or"
    ):
        check_files(IN_CONTAINER)


def test_a_path_in_the_home_directory_is_refused_because_it_is_another_users_in_the_container(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    compose.on_host = str(tmp_path / "clone")
    seen = seen_from_host(IN_CONTAINER)
    compose.serving = {"volumes": [{**BIND, "source": str(tmp_path / "clone" / "rows")}]}
    check_files(seen)
    compose.serving = {"volumes": [{**BIND, "source": str(tmp_path / "rows")}]}
    check_files(ON_HOST)
    with pytest.raises(StackError, match=r"can't mount .*/rows on serving, because the path is another"):
        check_files(seen)


def test_an_engine_that_does_not_run_this_container_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "containers", lambda *_: [])
    says = f"runs no container {socket.gethostname()}: it is another engine, or .*remove `hostname`"
    with pytest.raises(EngineError, match=says):
        seen_from_host(IN_CONTAINER)


def test_in_the_container_compose_names_files_as_on_the_host(compose: Compose, tmp_path: Path) -> None:
    compose.on_host = str(tmp_path / "home" / "me" / "clone")
    for _ in ("first", "started again"):
        seen = seen_from_host(IN_CONTAINER)
        assert seen.directory == Path(compose.on_host)
        assert seen.directory.resolve() == CHECKOUT


def test_a_path_that_is_something_else_in_the_container_is_left_alone(
    compose: Compose, tmp_path: Path
) -> None:
    compose.on_host = str(tmp_path)
    assert seen_from_host(IN_CONTAINER).directory == CHECKOUT
    assert not tmp_path.is_symlink()


@pytest.mark.parametrize("on_host", [r"C:\Users\me\clone", ""])
def test_without_a_path_of_that_kind_the_containers_own_is_used(compose: Compose, on_host: str) -> None:
    compose.on_host = on_host
    assert seen_from_host(IN_CONTAINER).directory == CHECKOUT


def test_on_the_host_nothing_is_changed(compose: Compose, tmp_path: Path) -> None:
    compose.on_host = str(tmp_path / "clone")
    assert seen_from_host(ON_HOST) == ON_HOST
    assert list(tmp_path.iterdir()) == []

import os
import socket
from pathlib import Path

import pytest


def two_free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def put_docker(directory: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Write a program `docker` into the directory, and put it first on PATH."""
    program = directory / "docker"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def free_ports() -> tuple[int, int]:
    return two_free_ports()


def group_of(item: pytest.Item) -> str:
    """Name the group of a test: its mode, and the stack that it shares with others or else its module.

    The tests of a group run in one process, in their order.
    """
    if item.path.parent.name == "unit":
        return item.path.stem
    params = item.callspec.params if hasattr(item, "callspec") else {}
    fixtures = getattr(item, "fixturenames", ())
    if "stack" in params:
        return f"{params['stack']} stack"
    for mode in ("docker", "native"):
        if f"{mode}_stack" in fixtures:
            return f"{mode} stack"
    needs_engine = any("docker" in word for word in (*fixtures, *map(str, params.values())))
    return f"{'docker' if needs_engine else 'native'} {item.path.stem}"


# Its tests go on from one another. Some restart the engine, and nothing else may use that meanwhile.
_FIRST = "docker test_failures"


def _turn(group: str) -> int:
    """Return when a group's turn is: those without Docker while the first one has the engine for itself."""
    if group == _FIRST:
        return 0
    return 1 if group.startswith("native") else 2 if group.startswith("docker") else 3


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group(group_of(item)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    in_groups = config.getoption("loadgroup", False)  # as xdist tells its processes

    def place(item: pytest.Item) -> tuple[int, bool, int]:
        group = group_of(item)
        is_short = item.path.parent.name != "flavors"  # what takes longest does not begin last
        line = (item.location[1] or 0) if group == _FIRST else -1
        return (_turn(group), is_short, line) if in_groups else (0, True, line)

    items.sort(key=place)

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

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stack.config import Config, load_config
from stack.errors import StackError
from stack.preflight import check_machine


@pytest.fixture
def config(tmp_path: Path, free_ports: tuple[int, int]) -> Config:
    return replace(
        load_config({}), home=tmp_path / "state", tracking_port=free_ports[0], serving_port=free_ports[1]
    )


def test_a_machine_that_will_do_is_not_complained_about(config: Config) -> None:
    check_machine(config)


def test_a_port_in_use_is_named_with_its_setting(config: Config) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", config.serving_port))
        taken.listen()
        with pytest.raises(
            StackError, match=rf"{config.serving_port} \(Address already in use\).*SERVING_PORT"
        ):
            check_machine(config)


def test_a_state_directory_that_can_not_be_written_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StackError, match=r"can't write to the state directory .*/state .*STACK_HOME"):
        check_machine(config)


def test_a_full_disk_is_told_in_megabytes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=5 * 1024**2))
    with pytest.raises(StackError, match="expected 200 MB free, found 5 MB"):
        check_machine(config)

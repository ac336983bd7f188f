import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from stack.config import Config, load_config
from stack.errors import StackError
from stack.modes.preflight import check_machine, delete_data, prepare_home


@pytest.fixture
def config(tmp_path: Path, free_ports: tuple[int, int]) -> Config:
    return replace(
        load_config({}), home=tmp_path / "state", tracking_port=free_ports[0], serving_port=free_ports[1]
    )


def test_a_machine_that_will_do_is_not_complained_about(config: Config) -> None:
    prepare_home(config)
    prepare_home(config)  # its own directory is welcome the next time
    check_machine(config, is_serving=False)


@pytest.mark.parametrize("sign", ["?", "%"])
def test_a_path_that_no_address_of_a_database_can_hold_is_refused(config: Config, sign: str) -> None:
    home = config.home / f"a{sign}41"
    with pytest.raises(StackError, match=f"has a \\{sign}, which .*; set STACK_HOME to another"):
        prepare_home(replace(config, home=home))
    assert not home.exists()


def test_a_directory_with_other_files_is_neither_used_nor_deleted(config: Config) -> None:
    (config.home / "models").mkdir(parents=True)
    with pytest.raises(StackError, match=r"holds other files; set STACK_HOME to an empty directory"):
        prepare_home(config)
    delete_data(config)
    assert (config.home / "models").exists()


def test_deleting_the_data_leaves_what_is_not_the_stacks(config: Config, tmp_path: Path) -> None:
    prepare_home(config)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (config.home / "artifacts").symlink_to(elsewhere)
    for name in ("mlflow.db-journal", "mlflow.db.new", "mlflow.db.old-2026-11-25-0123456789ab"):
        (config.home / name).touch()
    (config.home / "notes.txt").touch()
    delete_data(config)
    assert [path.name for path in config.home.iterdir()] == ["notes.txt"]
    assert (elsewhere / "file").exists()
    (config.home / "notes.txt").unlink()
    prepare_home(config)
    delete_data(config)
    assert not config.home.exists()


def test_a_port_in_use_is_named_with_its_setting(config: Config) -> None:
    prepare_home(config)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", config.serving_port))
        taken.listen()
        with pytest.raises(
            StackError, match=rf"{config.serving_port} \(Address already in use\).*SERVING_PORT"
        ):
            check_machine(config, is_serving=False)
        check_machine(config, is_serving=True)


def test_a_state_directory_that_can_not_be_written_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StackError, match=r"can't write to the state directory .*/state .*STACK_HOME"):
        prepare_home(config)


def test_a_full_disk_is_told_in_megabytes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    prepare_home(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=5 * 1024**2))
    with pytest.raises(StackError, match="expected 200 MB free, found 5 MB"):
        check_machine(config, is_serving=False)

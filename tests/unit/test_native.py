import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.modes.environment import Environment
from stack.modes.model_servers import Note
from stack.modes.native import Native
from stack.modes.native_environment import directory_of
from stack.modes.parts import Parts
from stack.modes.processes import part_environment

FOREVER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def native(tmp_path: Path, free_ports: tuple[int, int]) -> Iterator[Native]:
    config = replace(load_config({}, Path("/nonexistent/.env")), home=tmp_path, serving_port=free_ports[1])
    yield Native(config)
    Parts(config).stop()


@pytest.fixture
def parts(native: Native) -> Parts:
    return Parts(native.config)


def start(native: Native, name: str, note: str = "") -> None:
    native.process(name).start(FOREVER, os.environ, native.config.home, note)


def serve(native: Native, version: str, model: str = "iris", image_id: str = "sha256:it") -> None:
    """Start what is noted to be a model server, and note that it was found right."""
    note = Note(model, version, image_id, native.servers.settings(), "5002", "http://127.0.0.1:9")
    start(native, "serving", str(note))
    (native.config.home / "run" / "served").write_text(str(note))


def bake(native: Native, version: str, **files: str) -> Path:
    """Put files where those of a baked version lie; ``__`` in a name stands for a slash."""
    directory = native.model_directory(version)
    for name, text in files.items():
        file = directory / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def test_a_part_gets_its_own_settings_and_not_those_of_the_users_shell(tmp_path: Path) -> None:
    file = tmp_path / "server.env"
    file.write_text("# why\nMLFLOW_WORKERS=1\n")
    shell = {"PATH": "/bin", "MLFLOW_PORT": "1", "UVICORN_PORT": "2", "SERVER_PORT": "9", "LANG": "C"}
    assert part_environment(shell, file, MLFLOW_HOST="127.0.0.1") == {
        "PATH": "/bin",
        "LANG": "C",
        "MLFLOW_WORKERS": "1",
        "MLFLOW_HOST": "127.0.0.1",
    }


def test_the_same_files_have_the_same_id_wherever_they_are(native: Native) -> None:
    for number in ("1", "2"):
        bake(native, number, MLmodel="a", code__custom="b")
    assert native.image_id("1") == native.image_id("2")
    assert native.image_id("1").startswith("sha256:")


@pytest.mark.parametrize(
    "others",
    [
        {"MLmodel": "A", "code__custom": "b"},
        {"MLmodel": "a", "code__other": "b"},
        {"MLmodel": "a", "custom": "b"},
        {"MLmodel": "b", "code__custom": "a"},
        {"MLmodel": "a"},
        {"MLmodel": "a", "code__custom": "b", "more": ""},
    ],
)
def test_other_files_have_another_id(native: Native, others: dict[str, str]) -> None:
    bake(native, "1", MLmodel="a", code__custom="b")
    bake(native, "2", **others)
    assert native.image_id("1") != native.image_id("2")


def test_what_python_writes_when_it_loads_the_model_does_not_change_its_id(native: Native) -> None:
    directory = bake(native, "1", MLmodel="a", code__custom="b")
    before = native.image_id("1")
    (directory / "code" / "__pycache__").mkdir()
    (directory / "code" / "__pycache__" / "custom.pyc").touch()
    assert native.image_id("1") == before


def test_another_model_server_gives_another_id(
    native: Native, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake(native, "1", MLmodel="a")
    before = native.image_id("1")
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "app.py").write_text("another")
    monkeypatch.setattr("stack.modes.native.MODEL_SERVER", tmp_path / "server")
    assert native.image_id("1") != before


def test_a_version_keeps_its_environment_which_goes_with_the_last_that_has_it(native: Native) -> None:
    environment = Environment("3.12", ("cowsay==6.1",))
    python = directory_of(native.config.home, environment.key) / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (python.parent.parent / "packages.txt").touch()
    ids = []
    for version, own in (("1", None), ("2", environment), ("3", environment)):
        with native.scratch() as directory:
            fetched = Path(directory, "model")
            fetched.mkdir()
            (fetched / "MLmodel").write_text("a")
            native.bake(version, fetched, own)
        ids.append(native.image_id(version))
    assert ids[0] != ids[1] == ids[2] != ""
    native.discard("3")
    assert sorted(native.baked_versions()) == ["1", "2"]
    native.tidy()
    assert native.image_id("2") == ids[1]
    native.discard("2")
    native.tidy()
    assert not python.exists()
    assert native.image_id("1") == ids[0]


def test_a_version_that_has_lost_its_environment_is_baked_anew(native: Native) -> None:
    bake(native, "1", MLmodel="a")
    native._key_file("1").write_text("gone")
    assert native.image_id("1") == ""
    with pytest.raises(StackError, match="its environment gone is gone; deploy it again"):
        native.serve("1")


def test_a_version_of_another_lock_or_python_has_another_id(
    native: Native, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake(native, "1", MLmodel="a")
    before = native.image_id("1")
    monkeypatch.setattr("stack.modes.native_environment.own_python", lambda: "3.99")
    assert native.image_id("1") != before
    monkeypatch.undo()
    monkeypatch.setattr("stack.modes.environment._lock", lambda: "another")
    assert native.image_id("1") != before


def test_what_is_not_baked_has_no_id(native: Native) -> None:
    assert native.image_id("1") == ""


def test_what_is_served_is_what_the_process_was_started_with(native: Native) -> None:
    assert native.served() is None
    serve(native, "2")
    served = native.served()
    assert served is not None
    assert (served.model_name, served.version, served.image_id) == ("iris", "2", "sha256:it")
    assert not served.is_healthy  # nothing listens on its port


def test_what_was_served_last_is_known_when_nothing_runs_any_more(native: Native) -> None:
    assert native.last_served() is None
    bake(native, "2", MLmodel="a")
    serve(native, "2", image_id=native.image_id("2"))
    Parts(native.config).stop()
    assert native.last_served() == "2"
    bake(native, "2", MLmodel="changed since")
    assert native.last_served() is None


@pytest.mark.parametrize(
    ("model", "version", "image_id"),
    [("wine", "2", "that of 2"), ("iris", "3", "that of 2"), ("iris", "2", "sha256:other")],
)
def test_what_was_served_last_must_be_a_baked_version_of_this_model(
    native: Native, model: str, version: str, image_id: str
) -> None:
    bake(native, "2", MLmodel="a")
    serve(native, version, model, native.image_id("2") if image_id == "that of 2" else image_id)
    assert native.last_served() is None


def test_versions_that_nobody_needs_are_removed_with_the_environments_that_no_other_has(
    native: Native,
) -> None:
    home, other = native.config.home, native.of_model("other")
    for of, version, key in ((native, "1", "one"), (native, "2", "two"), (other, "1", "two")):
        bake(of, version, MLmodel="12345")
        (home / "models" / of.config.model_name / f"{version}.environment").write_text(key)
        (home / "environments" / key / "bin").mkdir(parents=True, exist_ok=True)
    (home / "environments" / "two" / "packages.txt").write_text("1234567")
    assert native.baked_models() == ["iris", "other"]
    assert native.unneeded({}) == []
    assert [it.name for it in native.unneeded({"iris": ["2"]})] == [str(home / "models" / "iris" / "2")]
    found = native.unneeded({"iris": ["2"], "other": ["1"]})
    assert [(it.name.removeprefix(f"{home}/"), it.size) for it in found] == [
        ("models/iris/2", 5),
        ("models/other/1", 5),
        ("environments/two", 7),
    ]
    assert [native.remove(it) for it in found] == ["", "", ""]
    assert sorted(path.name for path in (home / "models").rglob("*")) == [
        *("1", "1.environment", "MLmodel", "iris", "other")
    ]
    assert [path.name for path in (home / "environments").glob("*")] == ["one"]
    assert "No such file" in native.remove(found[0])


def test_discarding_keeps_what_is_served(native: Native) -> None:
    for number in ("1", "2", "10", "11.partial"):
        bake(native, number, MLmodel=number)
    assert sorted(native.baked_versions()) == ["1", "10", "2"]
    serve(native, "2")
    for number in ("2", "10"):
        native.discard(number)
    assert sorted(native.baked_versions()) == ["1", "2"]


def test_discarding_is_not_kept_by_another_models_version_of_that_number(native: Native) -> None:
    bake(native, "2", MLmodel="a")
    serve(native, "2", model="wine")
    native.discard("2")
    assert native.baked_versions() == []


def test_what_a_killed_deployment_left_behind_is_cleaned_up(native: Native) -> None:
    bake(native, "1", MLmodel="a")
    partial = bake(native, "2.partial", MLmodel="a")
    for name in ("trial", "serving", "serving-2"):
        start(native, name)
    native.clean_up()
    running = [name for name in ("trial", "serving", "serving-2") if native.process(name).is_running()]
    assert running == ["serving"]  # of two that are not healthy, the one that has been there before
    assert not partial.exists()
    assert native.baked_versions() == ["1"]


def test_only_one_deployment_is_at_work(native: Native) -> None:
    second = Native(native.config).exclusive()
    with pytest.raises(StackError, match="no stack without Docker is running here"):
        native.check()
    start(native, "tracking")
    native.check()
    with (
        native.exclusive(),
        pytest.raises(StackError, match=r"another deployment is running \(process \d+\); wait"),
        second,
    ):
        pass
    with native.exclusive():
        pass


def test_what_is_served_is_current_until_a_setting_changes(native: Native) -> None:
    serve(native, "2")
    assert native.is_current()
    changed = replace(native.config, server={"SERVER_WORKERS": "7"})
    assert not Native(changed).is_current()
    assert not Native(replace(native.config, serving_port=1)).is_current()
    assert not Native(replace(native.config, model_environment={"TOKEN": "new"})).is_current()


def test_a_model_server_that_is_not_healthy_is_left_over_like_all_else(native: Native, parts: Parts) -> None:
    start(native, "tracking")
    start(native, "serving")
    assert not parts.stop_left_over()
    assert not native.is_up


def test_where_nothing_was_watched_nothing_has_ended(native: Native, parts: Parts) -> None:
    assert parts.watch(set()) == set()
    start(native, "tracking")
    assert parts.watch(set()) == {"tracking"}


@pytest.mark.parametrize("name", ["tracking", "serving"])
def test_a_server_that_ended_by_itself_is_told_with_its_log(native: Native, parts: Parts, name: str) -> None:
    start(native, "tracking")
    start(native, "serving")
    watched = parts.watch(set())
    assert parts.watch(watched) == {"tracking", "serving"}
    native.process(name).stop()
    with pytest.raises(StackError, match=rf"^{name} has ended by itself.*{name}\.log:\n +\(its log is empty"):
        parts.watch(watched)


def test_a_model_server_that_a_deployment_replaces_has_not_ended(native: Native, parts: Parts) -> None:
    start(native, "tracking")
    start(native, "serving")
    watched = parts.watch(set())
    with native.exclusive():
        native.process("serving").stop()
        watched = parts.watch(watched)
        assert watched == {"tracking"}
        start(native, "serving")
        watched = parts.watch(watched)
        assert watched == {"tracking"}  # it is tried out, and may be stopped again
    assert parts.watch(watched) == {"tracking", "serving"}


def test_a_tracking_server_that_ends_during_a_deployment_has_ended(native: Native, parts: Parts) -> None:
    start(native, "tracking")
    watched = parts.watch(set())
    with native.exclusive():
        native.process("tracking").stop()
        with pytest.raises(StackError, match="tracking has ended by itself"):
            parts.watch(watched)


def test_the_services_are_told_with_since_when_they_run(native: Native) -> None:
    start(native, "tracking")
    tracking, *others = native.services()
    assert (tracking.name, tracking.is_up, tracking.since) == (
        "tracking",
        True,
        native.process("tracking").started_at(),
    )
    assert [(other.name, other.is_up, other.since) for other in others] == [
        ("trainer", False, None),
        ("deploy", False, None),
        ("serving", False, None),
    ]

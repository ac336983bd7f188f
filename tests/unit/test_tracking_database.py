"""The tracking server's database: made, migrated or refused before the server starts."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import database
import mlflow_internals
import pytest
import sqlalchemy
from alembic import command
from mlflow import MlflowClient
from mlflow.store.db.utils import _get_alembic_config

from stack.doctor.state import known_revisions
from stack.errors import StackError
from stack.modes.preflight import MARKER
from tests.unit.tracking_servers import own_config, running, started

KNOWN = known_revisions()
(HEAD,) = set(KNOWN) - {before for before in KNOWN.values() if before}


def before_head(steps: int) -> str:
    """Return the revision that many migrations before the newest."""
    revision = HEAD
    for _ in range(steps):
        revision = KNOWN[revision] or ""
    return revision


# To the first lead one migration, in which only columns differ, and three, with tables and data.
OLDER = (before_head(1), before_head(3))
_FILE_EVENTS = {"open", "os.remove", "os.rename", "shutil.copyfile", "sqlite3.connect"}


@pytest.fixture(scope="module", params=OLDER)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Make a database of an older MLflow, with a run and a model in it; return it and its revision."""
    file, revision = tmp_path_factory.mktemp("old") / "mlflow.db", str(request.param)
    uri = f"sqlite:///{file}"
    mlflow_internals.upgrade_database(uri)
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("work", artifact_location="a"))
    client.log_metric(run.info.run_id, "accuracy", 0.75)
    client.create_registered_model("iris")
    command.downgrade(_get_alembic_config(uri), revision)
    return file, revision


@pytest.fixture
def home(old: tuple[Path, str], tmp_path: Path) -> Path:
    """Return a directory that holds only the older database."""
    shutil.copy(old[0], tmp_path / "mlflow.db")
    return tmp_path


def state(file: Path) -> tuple[str, str, list[float], list[str]]:
    """Return what SQLite says of the file, its revision, and what was logged into it."""
    with closing(sqlite3.connect(file)) as connection:
        return (
            connection.execute("PRAGMA integrity_check").fetchone()[0],
            connection.execute("SELECT version_num FROM alembic_version").fetchone()[0],
            [value for (value,) in connection.execute("SELECT value FROM metrics")],
            [name for (name,) in connection.execute("SELECT name FROM registered_models")],
        )


def whole(revision: str) -> tuple[str, str, list[float], list[str]]:
    return "ok", revision, [0.75], ["iris"]


def prepare(home: Path) -> None:
    database.prepare(home / "mlflow.db", mlflow_internals.upgrade_database)


def kept_file(home: Path, revision: str) -> Path:
    return home / f"mlflow.db.old-{datetime.now(UTC):%Y-%m-%d}-{revision}"


def test_an_older_database_is_migrated_and_kept_and_that_is_said(
    home: Path, old: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file, kept = home / "mlflow.db", kept_file(home, old[1])
    file.chmod(0o600)
    prepare(home)
    assert state(file) == whole(HEAD)
    assert state(kept) == whole(old[1])
    assert set(home.iterdir()) == {file, kept}
    assert file.stat().st_mode == kept.stat().st_mode == 0o100600
    first, last = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("tracking server: ")
    )
    assert f"an older MLflow made the database {file}" in first
    assert f"the old one is kept as {kept}" in last
    prepare(home)
    assert capsys.readouterr().out == ""


def test_a_migration_that_is_killed_at_any_step_leaves_the_old_or_the_new_one(
    home: Path, old: tuple[Path, str]
) -> None:
    def run(directory: Path, die_at: int) -> int:
        """Prepare the database in a process that kills itself at a step; return how many steps it made."""
        steps = multiprocessing.get_context("fork").Value("i", 0)

        def step(*_: object) -> None:
            steps.value += 1
            if steps.value == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def child() -> None:
            sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", step)
            sys.addaudithook(
                lambda event, given: (
                    step()
                    if event in _FILE_EVENTS and any(str(directory) in str(one) for one in given)
                    else None
                )
            )
            prepare(directory)
            step()

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(120)
        assert process.exitcode == (-signal.SIGKILL if die_at else 0)
        return int(steps.value)

    def copy(name: str) -> Path:
        directory = home / name
        directory.mkdir()
        shutil.copy(old[0], directory / "mlflow.db")
        return directory

    steps = run(copy("counted"), 0)
    assert steps > 15
    found = set()
    for die_at in sorted({*range(1, steps + 1, max(1, steps // 12)), steps - 1, steps}):
        directory = copy(f"killed at {die_at}")
        run(directory, die_at)
        left = state(directory / "mlflow.db")
        assert left in (whole(old[1]), whole(HEAD)), die_at
        found.add(left[1])
        run(directory, 0)
        assert state(directory / "mlflow.db") == whole(HEAD)
        kept = kept_file(directory, old[1])
        assert set(directory.iterdir()) == {directory / "mlflow.db", kept}
        assert state(kept) == whole(old[1])
    assert found == {old[1], HEAD}


def test_a_database_that_is_not_there_is_made_in_one_step(tmp_path: Path) -> None:
    file, made = tmp_path / "mlflow.db", []

    def upgrade(uri: str) -> None:
        assert not file.exists()
        made.append(uri)
        mlflow_internals.upgrade_database(uri)

    (tmp_path / "mlflow.db.new").write_text("what a killed start has left")
    database.prepare(file, upgrade)
    database.prepare(file, upgrade)
    assert made == [f"sqlite:///{file}.new"]
    assert list(tmp_path.iterdir()) == [file]
    MlflowClient(f"sqlite:///{file}").create_experiment("works", artifact_location="a")


def test_a_database_of_a_newer_mlflow_is_refused_and_not_touched(home: Path) -> None:
    file = home / "mlflow.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    before = file.read_bytes()
    with pytest.raises(database.StoreError) as refused:
        prepare(home)
    assert "was made by an MLflow newer than 3." in str(refused.value)
    assert f"its revision is ffffffffffff, expected {HEAD}" in str(refused.value)
    assert file.read_bytes() == before
    assert list(home.iterdir()) == [file]


def break_nothing(_: str) -> None:
    """Migrate nothing, and say nothing."""


def fail(_: str) -> None:
    raise RuntimeError("no such luck\nand a trace")


def lose(uri: str) -> None:
    mlflow_internals.upgrade_database(uri)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("DELETE FROM registered_models")


@pytest.mark.parametrize(
    ("upgrade", "reason"),
    [
        (fail, "(no such luck)"),
        (break_nothing, "(its revision is "),
        (lose, "(registered_models has 0 rows, expected 1)"),
    ],
)
def test_a_migration_that_fails_leaves_all_as_it_was(
    home: Path, old: tuple[Path, str], upgrade: Callable[[str], None], reason: str
) -> None:
    with pytest.raises(database.StoreError) as failed:
        database.prepare(home / "mlflow.db", upgrade)
    assert reason in str(failed.value)
    assert "is as it was" in str(failed.value)
    assert state(home / "mlflow.db") == whole(old[1])
    assert list(home.iterdir()) == [home / "mlflow.db"]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE mine (x)", "is not MLflow's, or its first start was killed"),
        ("CREATE TABLE alembic_version (version_num)", "is not MLflow's, or its first start was killed"),
        (None, "(file is not a database)"),
    ],
)
def test_a_file_that_is_no_database_of_mlflows_is_told(tmp_path: Path, sql: str | None, said: str) -> None:
    file = tmp_path / "mlflow.db"
    if sql is None:
        file.write_text("text " * 1000)
    else:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(sql)
    with pytest.raises(database.StoreError) as told:
        prepare(tmp_path)
    assert said in str(told.value)


def test_a_directory_that_can_not_be_written_is_told_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # root may write anywhere
    with pytest.raises(database.StoreError) as told:
        prepare(tmp_path)
    assert f"user {os.getuid()} can't write to {tmp_path}" in str(told.value)


def test_up_tells_of_a_migration_and_the_server_has_what_was_logged(
    home: Path, old: tuple[Path, str]
) -> None:
    (home / MARKER).touch()
    config = own_config(home)
    with running(config) as parts:
        asked = MlflowClient(config.own_tracking_url).search_registered_models()
        assert [model.name for model in asked] == ["iris"]
        first, last = parts.told_by_tracking().splitlines()
    assert first.startswith(
        f"    an older MLflow made the database {home / 'mlflow.db'}; migrating it to MLflow "
    )
    assert last == f"    the database is migrated; the old one is kept as {kept_file(home, old[1])}"


def test_a_server_with_the_database_of_a_newer_mlflow_ends_with_that_sentence(home: Path) -> None:
    (home / MARKER).touch()
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with (
        started(own_config(home)) as parts,
        pytest.raises(
            StackError, match=r"tracking server: the database .* was made by an MLflow newer than 3\."
        ),
    ):
        parts.wait_for_tracking()


@pytest.mark.parametrize(
    ("uri", "file"),
    [("sqlite:////a/b%20c.db", Path("/a/b%20c.db")), ("postgresql://u:p@h/d", None), ("/a", None)],
)
def test_only_a_sqlite_store_has_a_file(uri: str, file: Path | None) -> None:
    assert database.file_of(uri) == file

"""Databases that real older releases of MLflow have made: migrated on both stores, and killed meanwhile."""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import copier
import mlflow_internals
import postgres
import pytest
import sqlalchemy
import stores
from database import StoreError
from mlflow import MlflowClient

from stack.config import CHECKOUT
from stack.modes.preflight import MARKER
from tests.real_stores import Postgres, running_postgres
from tests.unit.tracking_servers import own_config, running

RELEASES = ("3.10", "3.14")
# Where what users logged lies. Of each table, the columns that the older release has are compared.
LASTING = (
    *("experiments", "experiment_tags", "runs", "metrics", "latest_metrics", "params", "tags", "datasets"),
    *("registered_models", "registered_model_tags", "registered_model_aliases"),
    *("model_versions", "model_version_tags", "logged_models", "logged_model_params", "spans"),
)
MOVED = "dimension_attributes"  # to columns of their own, by a migration
Rows = dict[str, list[tuple[object, ...]]]
_numbers = count()


def restored(release: str, file: Path) -> Path:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((CHECKOUT / "tests" / "data" / f"mlflow-{release}.sql").read_text())
    return file


def asked(uri: str, sql: str) -> list[tuple[object, ...]]:
    with sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def revision_of(uri: str) -> str:
    ((revision,),) = asked(uri, "SELECT version_num FROM alembic_version")
    return str(revision)


def columns_of(file: Path) -> dict[str, list[str]]:
    """Return the columns that are compared; the hidden ones are computed."""
    sql = "SELECT name FROM pragma_table_xinfo('{}') WHERE hidden = 0"
    found = {table: asked(f"sqlite:///{file}", sql.format(table)) for table in LASTING}
    return {table: [f'"{name}"' for (name,) in names if name != MOVED] for table, names in found.items()}


def rows_of(uri: str, columns: dict[str, list[str]]) -> Rows:
    found = {}
    for table, names in columns.items():
        rows = asked(uri, f"SELECT {', '.join(names)} FROM {table}")  # noqa: S608
        plain = (tuple(int(it) if isinstance(it, bool) else it for it in row) for row in rows)
        found[table] = sorted(plain, key=repr)
        assert found[table], table
    return found


def kept_file(home: Path, revision: str) -> Path:
    return home / f"mlflow.db.old-{datetime.now(UTC):%Y-%m-%d}-{revision}"


def prepare(home: Path, uri: str) -> None:
    stores.Stores(uri, str(home / "artifacts"), home=home).prepare(mlflow_internals.upgrade_database)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


class Old:
    """A database of an older release, and copies of it on one of the stores."""

    def __init__(self, release: str, server: Postgres | None, directory: Path) -> None:
        self.file = restored(release, directory / "old.db")
        self.revision = revision_of(f"sqlite:///{self.file}")
        self.columns = columns_of(self.file)
        self.rows = rows_of(f"sqlite:///{self.file}", self.columns)
        self.server = server
        if server:
            self.template = f"old{next(_numbers)}"
            server.sql(f"CREATE DATABASE {self.template}", "postgres")
            uri = self._uri(self.template)
            mlflow_internals.make_tables(uri, self.revision)
            copier.load(self.file, uri)

    def copy(self, home: Path) -> str:
        """Return the address of a copy, for a server with this directory."""
        home.mkdir()
        if self.server is None:
            (home / "mlflow.db").write_bytes(self.file.read_bytes())
            return f"sqlite:///{home / 'mlflow.db'}"
        name = f"copy{next(_numbers)}"
        self.server.sql(f"CREATE DATABASE {name} TEMPLATE {self.template}", "postgres")
        return self._uri(name)

    def _uri(self, name: str) -> str:
        assert self.server
        return self.server.uri(database=name).replace("postgresql:", "postgresql+psycopg2:")

    def check_whole(self, uri: str) -> None:
        assert rows_of(uri, self.columns) == self.rows


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=RELEASES)
def old(request: pytest.FixtureRequest, store: str, tmp_path_factory: pytest.TempPathFactory) -> Old:
    server = request.getfixturevalue("server") if store == "postgresql" else None
    return Old(str(request.param), server, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('head') / 'mlflow.db'}"
    mlflow_internals.upgrade_database(uri)
    return revision_of(uri)


def test_the_server_starts_with_the_data_of_an_older_mlflow(old: Old, tmp_path: Path, head: str) -> None:
    home = tmp_path / "home"
    uri = old.copy(home)
    old.check_whole(uri)
    (home / MARKER).touch()
    config = own_config(home, {"BACKEND_STORE_URI": uri} if old.server else None)
    with running(config) as parts:
        told = parts.told_by_tracking()
        client = MlflowClient(config.own_tracking_url)
        model = client.get_registered_model("iris")
        assert {name: int(version) for name, version in model.aliases.items()} == {
            "champion": 2,
            "candidate": 3,
        }
        run = client.get_run(client.get_model_version_by_alias("iris", "champion").run_id or "")
        assert run.data.params["depth"] == "1"
        assert run.data.metrics["loss"] == 0.1
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [*range(10)]
    kept = kept_file(home, old.revision)
    assert f"the old one is kept as {kept}" in told
    assert "secret" not in told
    assert revision_of(uri) == head
    old.check_whole(uri)
    assert revision_of(f"sqlite:///{kept}") == old.revision
    old.check_whole(f"sqlite:///{kept}")


@pytest.mark.thorough
def test_a_migration_that_is_killed_leaves_the_old_or_the_new_one(
    old: Old, tmp_path: Path, head: str
) -> None:
    def run(home: Path, uri: str, die_at: int = 0) -> int:
        """Prepare it in a process that kills itself after so many statements; return how many it made."""
        steps = multiprocessing.get_context("fork").Value("i", 0)

        def step(*_: object) -> None:
            steps.value += 1
            if steps.value == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def child() -> None:
            sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", step)
            prepare(home, uri)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(120)
        assert process.exitcode == (-signal.SIGKILL if die_at else 0)
        return int(steps.value)

    counted = tmp_path / "counted"
    steps = run(counted, old.copy(counted))
    for die_at in (*range(1, steps, steps // 5), steps):
        home = tmp_path / f"killed at {die_at}"
        uri = old.copy(home)
        run(home, uri, die_at)
        assert revision_of(uri) in (old.revision, head)
        old.check_whole(uri)
        run(home, uri)
        assert revision_of(uri) == head
        old.check_whole(uri)
        assert kept_file(home, old.revision).exists()
        assert not (home / "mlflow.db.new").exists()


def test_the_tables_of_an_older_release_are_those_that_it_made_itself(tmp_path: Path) -> None:
    sql = (
        "SELECT m.name, c.name, c.type, c.'notnull', c.pk, c.hidden FROM sqlite_master AS m,"
        " pragma_table_xinfo(m.name) AS c WHERE m.type = 'table' ORDER BY m.name, c.name"
    )
    for release in RELEASES:
        own = f"sqlite:///{restored(release, tmp_path / f'{release}.db')}"
        ours = f"sqlite:///{tmp_path / f'{release}-ours.db'}"
        mlflow_internals.make_tables(ours, revision_of(own))
        assert asked(ours, sql) == asked(own, sql)


# PostgreSQL. For SQLite, test_tracking_database.py has what is like this.


@pytest.fixture(scope="module")
def old_postgres(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Old:
    return Old(RELEASES[0], server, tmp_path_factory.mktemp("old"))


def test_an_empty_database_is_left_to_mlflows_server(server: Postgres, tmp_path: Path) -> None:
    server.sql("CREATE DATABASE empty", "postgres")
    uri = server.uri(database="empty").replace("postgresql:", "postgresql+psycopg2:")
    prepare(tmp_path, uri)
    assert postgres.revision(uri) is None
    assert not list(tmp_path.iterdir())


def test_a_database_of_a_newer_mlflow_is_refused(old_postgres: Old, tmp_path: Path) -> None:
    uri = old_postgres.copy(tmp_path / "home")
    with sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(
        StoreError, match=r"was made by an MLflow newer than .* set BACKEND_STORE_URI to anot"
    ):
        prepare(tmp_path / "home", uri)
    assert not list((tmp_path / "home").iterdir())


migrate_within = mlflow_internals.migrate_within


def fail(connection: sqlalchemy.Connection) -> None:
    migrate_within(connection)
    raise RuntimeError("no such luck\nand a trace")


def migrate_nothing(_: sqlalchemy.Connection) -> None:
    """Say nothing, too."""


def lose(connection: sqlalchemy.Connection) -> None:
    migrate_within(connection)
    connection.exec_driver_sql("DELETE FROM registered_model_aliases")
    connection.exec_driver_sql("TRUNCATE registered_models CASCADE")


@pytest.mark.parametrize(
    ("migrate", "reason"),
    [
        (fail, "(no such luck)"),
        (migrate_nothing, "(its revision is "),
        (lose, "(registered_models has 0 rows, expected 2)"),
    ],
)
def test_a_migration_that_fails_leaves_all_as_it_was(
    old_postgres: Old,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrate: Callable[[sqlalchemy.Connection], None],
    reason: str,
) -> None:
    home = tmp_path / "home"
    uri = old_postgres.copy(home)
    monkeypatch.setattr(mlflow_internals, "migrate_within", migrate)
    with pytest.raises(StoreError) as failed:
        prepare(home, uri)
    assert reason in str(failed.value)
    assert "is as it was" in str(failed.value)
    assert "secret" not in str(failed.value)
    assert revision_of(uri) == old_postgres.revision
    old_postgres.check_whole(uri)
    assert not list(home.iterdir())


def test_a_directory_where_no_copy_can_be_kept_is_told_before_anything_is_changed(
    old_postgres: Old, tmp_path: Path
) -> None:
    uri = old_postgres.copy(tmp_path / "home")
    with pytest.raises(StoreError, match=r"can't be copied to .*No such file or directory"):
        prepare(tmp_path / "nowhere", uri)
    assert revision_of(uri) == old_postgres.revision


def test_two_servers_at_once_migrate_it_once(old_postgres: Old, tmp_path: Path, head: str) -> None:
    homes = [tmp_path / "home", tmp_path / "other"]
    uri = old_postgres.copy(homes[0])
    homes[1].mkdir()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=prepare, args=(home, uri)) for home in homes]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert revision_of(uri) == head
    old_postgres.check_whole(uri)
    assert len([file for home in homes for file in home.iterdir()]) == 1

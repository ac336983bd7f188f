"""The copier, between real databases of both kinds, with rows in every table that MLflow has."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import copier
import mlflow_internals
import pytest
import rows
import sqlalchemy
from database import StoreError
from mlflow import MlflowClient
from sqlalchemy import types

from stack.config import CHECKOUT
from stack.wait import wait_until
from tests.real_stores import Postgres, running_postgres
from tests.unit.tracking_servers import own_config, running

_numbers = count()
ODD = "é 😀 \t\n\r\\ \\N \\. '\" "
# Values that a kind of column may have, from the plainest on.
SMALL = 2**31 - 1
FLOATS = (0.1, 1e308, 5e-324, float("inf"), float("-inf"), 1.7976931348623157e308, -1.5, 1e22, 3.0)
JSONS = (
    '{"a": [1, null, "ü \\u00fc"]}',
    "[]",
    "null",
    "true",
    '"a"',
    " [ 1.50 ] ",
    "5",
    "1.5",
    "1e300",
    "-7",
)
BYTES = (b"\x00\xff\\x\n", b"", "é".encode())
# By MLflow's own CHECKs.
STAGES = ("active", "deleted")
CHECKED = {
    ("experiments", "lifecycle_stage"): STAGES,
    ("logged_models", "lifecycle_stage"): STAGES,
    ("runs", "lifecycle_stage"): STAGES,
    ("runs", "source_type"): ("LOCAL", "JOB"),
    ("runs", "status"): ("FINISHED", "KILLED"),
}
ROWS = 9


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        mlflow_internals.make_tables(address(server, "mlflow"), "heads")
        yield server


def address(server: Postgres, name: str) -> str:
    return server.uri(database=name).replace("postgresql:", "postgresql+psycopg2:")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of SQLite as MLflow makes it."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow_internals.upgrade_database(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, empty: Path, tmp_path: Path) -> str:
    """Return the address of a new database of this kind."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(empty, tmp_path / 'target.db')}"
    return new_postgres(request.getfixturevalue("server"))


def new_postgres(server: Postgres) -> str:
    name = f"new{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE mlflow", "postgres")
    return address(server, name)


def value_of(column: "sqlalchemy.Column[Any]", row: int) -> object:
    """Return a value for the row of that number; in row 0 and 3, all that may be NULL is."""
    kind = column.type
    is_key = column.primary_key or column.foreign_keys or column.table.name == "experiments"
    if column.nullable and row in (0, 3):
        return None
    if allowed := CHECKED.get((column.table.name, column.name)):
        return allowed[row % 2]
    if isinstance(kind, types.String):
        text = f"{row}{column.table.name if is_key else ODD * (row + 1)}"
        longest = kind.length or 100_000
        if is_key or row != 1:
            return text[:longest]
        return ("😀" * longest)[:longest]
    if isinstance(kind, types.Boolean):
        return row % 2
    if isinstance(kind, types.BigInteger) and not is_key:
        return (2**63 - 1, -(2**63), 0, 1, -1)[row % 5] if column.name not in SPAN else row
    if isinstance(kind, types.Integer):
        return row if is_key else (SMALL, -SMALL - 1, 0)[row % 3]
    if isinstance(kind, types.Float):
        return FLOATS[row % len(FLOATS)]
    if isinstance(kind, types.JSON):
        return JSONS[row % len(JSONS)]
    if isinstance(kind, types.LargeBinary):
        return BYTES[row % len(BYTES)]
    if isinstance(kind, types.Date):
        return f"20{row:02}-02-28"
    raise AssertionError(f"{column.table.name}.{column.name} is of a new kind: {kind!r}")


SPAN = ("start_time_unix_nano", "end_time_unix_nano")  # their difference is computed


def fill(uri: str) -> None:
    """Put rows into every table of a database, by what the database says of its columns."""
    metadata = sqlalchemy.MetaData()
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    metadata.reflect(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name == "alembic_version":
                continue
            columns = [column for column in table.columns if column.computed is None]
            places = ", ".join("?" * len(columns))
            names = ", ".join(f'"{column.name}"' for column in columns)
            for row in range(ROWS):
                values = {column.name: value_of(column, row) for column in columns}
                for own, other in ((key.parent.name, key.column) for key in table.foreign_keys):
                    if values[own] is not None:
                        values[own] = value_of(referred(other), row)
                connection.exec_driver_sql(
                    f"INSERT INTO {table.name} ({names}) VALUES ({places})",  # noqa: S608
                    tuple(values.values()),
                )


def referred(column: "sqlalchemy.Column[Any]") -> "sqlalchemy.Column[Any]":
    """Return the column that a chain of references ends at."""
    for key in column.foreign_keys:
        return referred(key.column)
    return column


@pytest.fixture(scope="module")
def full(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of SQLite with rows in every table, and enough of one that they fill many batches."""
    file = Path(shutil.copy(empty, tmp_path_factory.mktemp("full") / "mlflow.db"))
    fill(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            "INSERT INTO metrics SELECT 'many', ?, ?, run_uuid, ?, 0 FROM runs LIMIT 1",
            ((number / 7, number, -number) for number in range(20_000)),
        )
    return file


@pytest.fixture
def file(full: Path, tmp_path: Path) -> Path:
    """Return a copy of that, which a test may change."""
    return Path(shutil.copy(full, tmp_path / "file.db"))


def rows_of(file: Path) -> dict[str, list[str]]:
    """Return all that a file holds, as texts that can be sorted and compared."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for (name,) in names}  # noqa: S608


def copied(uri: str) -> dict[str, list[str]]:
    """Return all that a database holds."""
    with tempfile.TemporaryDirectory() as directory:
        copier.snapshot(uri, Path(directory) / "copied.db")
        return rows_of(Path(directory) / "copied.db")


def change(uri: str, *statements: str) -> Any:  # noqa: ANN401
    """Run SQL; return what the last statement finds first."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        done = [connection.exec_driver_sql(statement) for statement in statements]
        return done[-1].scalar() if done[-1].returns_rows else None


def test_every_table_is_copied_both_ways_and_is_the_same_in_the_end(
    full: Path, target: str, tmp_path: Path
) -> None:
    change(target, "INSERT INTO experiments (experiment_id, name, workspace) VALUES (77, 'goes', 'default')")
    there = rows_of(full)
    assert len(there) > 60
    assert all(len(rows) >= ROWS for name, rows in there.items() if name != "alembic_version")
    saved = tmp_path / "saved.db"
    counts = copier.snapshot(f"sqlite:///{full}", saved)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert rows_of(saved) == there
    assert counts == {name: len(rows) for name, rows in there.items() if name != "alembic_version"}
    assert copier.load(saved, target) == counts
    back = tmp_path / "back.db"
    assert copier.snapshot(target, back) == counts
    assert back.stat().st_mode & 0o777 == 0o600
    assert rows_of(back) == there
    change(target, "INSERT INTO experiments (name, workspace) VALUES ('next', 'default')")
    assert change(target, "SELECT experiment_id FROM experiments WHERE name = 'next'") == ROWS


def test_what_only_postgresql_holds_comes_back_as_it_was(server: Postgres, tmp_path: Path) -> None:
    one, other = new_postgres(server), new_postgres(server)
    request = (
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('r', 0, 0, '')"
    )
    change(
        one,
        "INSERT INTO experiments (experiment_id, name) VALUES (0, 'Default')",
        request,
        "INSERT INTO trace_metrics (request_id, key, value) VALUES ('r', 'a', 'NaN'), ('r', 'b', '-0'),"
        " ('r', 'c', 'Infinity'), ('r', 'd', NULL), ('r', 'e', '1e-320')",
    )
    copier.snapshot(one, tmp_path / "file.db")
    copier.load(tmp_path / "file.db", other)
    asked = "SELECT string_agg(key || coalesce(value::text, ''), ' ' ORDER BY key) FROM trace_metrics"
    assert change(other, asked) == "aNaN b0 cInfinity d e1e-320"


def test_only_what_the_server_makes_by_itself_is_no_data(
    server: Postgres, target: str, tmp_path: Path
) -> None:
    assert not copier.has_data(target)
    assert not copier.has_data(f"sqlite:///{tmp_path / 'nothing.db'}")
    server.sql("DROP DATABASE IF EXISTS nothing", "postgres")
    server.sql("CREATE DATABASE nothing", "postgres")
    assert not copier.has_data(address(server, "nothing"))
    with running(own_config(tmp_path / "home", {"BACKEND_STORE_URI": target})) as parts:
        url = parts.config.own_tracking_url
        assert [experiment.name for experiment in MlflowClient(url).search_experiments()] == ["Default"]
        change(target, "CREATE TABLE my_own (x INTEGER)", "INSERT INTO my_own VALUES (1)")
        assert not copier.has_data(target)
        MlflowClient(url).set_experiment_tag("0", "mine", "it")
        assert copier.has_data(target)


def test_a_server_that_runs_on_the_database_has_the_new_rows(
    empty: Path, target: str, tmp_path: Path
) -> None:
    source = f"sqlite:///{shutil.copy(empty, tmp_path / 'source.db')}"
    client = MlflowClient(source)
    run = client.create_run(client.create_experiment("work", artifact_location="mlflow-artifacts:/1")).info
    client.log_metric(run.run_id, "accuracy", float("nan"))
    copier.snapshot(source, tmp_path / "file.db")
    with running(own_config(tmp_path / "home", {"BACKEND_STORE_URI": target})) as parts:
        asks = MlflowClient(parts.config.own_tracking_url)
        gone = asks.create_run("0").info.run_id
        copier.load(tmp_path / "file.db", target)
        (found,) = asks.search_runs([run.experiment_id])
        assert found.info.run_id == run.run_id
        assert str(found.data.metrics["accuracy"]) == "nan"
        assert [one.info.run_id for one in asks.search_runs(["0"])] == []
        assert gone not in (one.info.run_id for one in asks.search_runs(["0", run.experiment_id]))
        assert asks.create_experiment("next") == "2"


def test_tables_that_are_not_mlflows_are_left_alone(file: Path, target: str, tmp_path: Path) -> None:
    change(target, "CREATE TABLE my_own (x INTEGER)", "INSERT INTO my_own VALUES (1)")
    change(
        f"sqlite:///{file}",
        "CREATE TABLE my_own (x INTEGER)",
        "INSERT INTO my_own VALUES (2)",
        "CREATE TABLE other (x INTEGER)",
    )
    counts = copier.load(file, target)
    assert not {"my_own", "other"} & counts.keys()
    assert change(target, "SELECT x FROM my_own") == 1
    if target.startswith("postgresql"):
        assert "my_own" not in copier.snapshot(target, tmp_path / "back.db")


def test_a_table_of_the_users_own_that_refers_to_mlflows_keeps_its_rows(file: Path, server: Postgres) -> None:
    target = new_postgres(server)
    reference = "VARCHAR(63) REFERENCES workspaces (name) ON DELETE CASCADE"
    change(target, f"CREATE TABLE notes (x {reference})", "INSERT INTO notes VALUES ('default')")
    with pytest.raises(StoreError, match=r'is as it was \(cannot truncate .* Table "notes" references "work'):
        copier.load(file, target)
    assert change(target, "SELECT count(*) FROM notes") == 1
    assert change(target, "SELECT count(*) FROM workspaces") == 1


def test_a_database_with_more_rows_than_are_known_is_left_alone(file: Path, target: str) -> None:
    known = copier.counts(target)
    change(target, "INSERT INTO experiments (experiment_id, name, workspace) VALUES (9, 'new', 'default')")
    before = copied(target)
    with pytest.raises(
        StoreError, match=r"logged or deleted something meanwhile \(experiments had 0 rows, and"
    ):
        copier.load(file, target, known)
    assert copied(target) == before
    change(target, "DELETE FROM experiments WHERE experiment_id = 9")
    copier.load(file, target, known)


def test_a_copy_that_differs_is_not_kept(file: Path, target: str) -> None:
    before = copied(target)
    if target.startswith("sqlite"):
        trigger = ["CREATE TRIGGER t AFTER INSERT ON tags BEGIN UPDATE tags SET value = 'x'; END"]
    else:
        trigger = [
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN NEW.value := 'x'; RETURN NEW; END $$",
            "CREATE TRIGGER t BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION f()",
        ]
    change(target, *trigger)
    with pytest.raises(StoreError, match="the copy of table tags is not what was copied"):
        copier.load(file, target)
    assert copied(target) == before


# What PostgreSQL would refuse


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE params SET value = printf('%.8001c', 'x') WHERE run_uuid = '8runs'",
            "table params, row key '8params', run_uuid '8runs', column value: it is longer than 8000",
        ),
        (
            "UPDATE runs SET name = 'a' || char(0) || 'b' WHERE run_uuid = '2runs'",
            "table runs, row run_uuid '2runs', column name: it has a character NUL in it",
        ),
        (
            "UPDATE runs SET name = CAST(x'ff61' AS TEXT) WHERE run_uuid = '2runs'",
            "table runs, row run_uuid '2runs', column name: it is no text in UTF-8",
        ),
        (
            "UPDATE runs SET name = x'61' WHERE run_uuid = '2runs'",
            "row run_uuid '2runs', column name: it is not a text",
        ),
        (
            "UPDATE runs SET start_time = 'soon' WHERE run_uuid = '2runs'",
            "row run_uuid '2runs', column start_time: it is not a whole number of 8 bytes",
        ),
        (
            "UPDATE runs SET start_time = 1.5 WHERE run_uuid = '2runs'",
            "row run_uuid '2runs', column start_time: it is not a whole number of 8 bytes",
        ),
        (
            "UPDATE logged_models SET status = 2147483648 WHERE model_id = '1logged_models'",
            "row model_id '1logged_models', column status: it is not a whole number of 4 bytes",
        ),
        (
            "UPDATE assessments SET valid = 2 WHERE assessment_id = '1assessments'",
            "row assessment_id '1assessments', column valid: it is not 0 or 1",
        ),
        (
            "UPDATE budget_policies SET budget_amount = 'much'",
            "row budget_policy_id '0budget_policies', column budget_amount: it is not a number",
        ),
        (
            "UPDATE secrets SET wrapped_dek = 'text' WHERE secret_id = '1secrets'",
            "row secret_id '1secrets', column wrapped_dek: it is not bytes",
        ),
        (
            "UPDATE mcp_servers SET icons = '{' WHERE name = '1mcp_servers'",
            "name '1mcp_servers', column icons: it is not JSON",
        ),
        (
            "UPDATE sql_span_cost_daily_rollups SET rollup_day = '2026-02-30' WHERE id = 1",
            "row id 1, column rollup_day: it is not a date",
        ),
        (
            "UPDATE tags SET run_uuid = 'nobody' WHERE run_uuid = '1runs'",
            "row key '1tags', run_uuid 'nobody', column run_uuid: it refers to a row that runs does not have",
        ),
        (
            "UPDATE model_version_tags SET version = 7 WHERE version = 1",
            "column workspace, name, version: it refers to a row that model_versions does not have",
        ),
        (
            "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = replace(sql, 'value FLOAT NOT NULL',"
            " 'value FLOAT') WHERE name = 'latest_metrics'; PRAGMA writable_schema = RESET;"
            " UPDATE latest_metrics SET value = NULL WHERE run_uuid = '1runs'",
            "row key '1latest_metrics', run_uuid '1runs', column value: it is empty (NULL), and may not be",
        ),
    ],
)
def test_a_row_that_postgresql_would_refuse_is_named_before_anything_is_written(
    file: Path, refusing: str, statement: str, said: str
) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(statement)
    with pytest.raises(StoreError) as refused:
        copier.load(file, refusing)
    assert said.lstrip() in str(refused.value)
    assert "would not take a row of" in str(refused.value)
    assert change(refusing, "SELECT count(*) FROM runs") == 0


@pytest.fixture(scope="module")
def refusing(server: Postgres) -> str:
    """Return a database that takes none of what is brought."""
    return new_postgres(server)


def test_what_postgresql_refuses_and_no_check_knew_is_told_and_leaves_all_as_it_was(
    file: Path, server: Postgres
) -> None:
    target = new_postgres(server)
    change(target, "ALTER TABLE runs ADD CONSTRAINT mine CHECK (run_uuid <> '4runs')")
    with pytest.raises(
        StoreError, match=r'and is as it was \(new row for relation "runs" violates .* "mine"'
    ):
        copier.load(file, target)
    assert change(target, "SELECT count(*) FROM experiments") == 0


def test_sqlite_takes_back_what_it_had_even_if_postgresql_would_not(file: Path, empty: Path) -> None:
    target = shutil.copy(empty, file.with_name("target.db"))
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE tags SET run_uuid = 'nobody' WHERE run_uuid = '1runs'")
        connection.execute("UPDATE runs SET name = 'a' || char(0)")
    copier.load(file, f"sqlite:///{target}")
    assert rows_of(Path(target)) == rows_of(file)


# Kills and writers


def test_a_load_that_is_killed_leaves_the_database_as_it_was(full: Path, target: str) -> None:
    change(target, "INSERT INTO experiments (experiment_id, name, workspace) VALUES (77, 'stays', 'default')")
    before = copied(target)

    def run(die_at: int) -> int:
        """Load in a process that kills itself, at the end or before; return how many names it has quoted."""
        steps = multiprocessing.get_context("fork").Value("i", 0)

        def step(name: str) -> str:
            steps.value += 1
            if steps.value == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return rows.quote(name)

        def end(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def child() -> None:
            copier.quote = step  # type: ignore[attr-defined]
            copier._compared = end  # type: ignore[assignment]
            copier.load(full, target)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        return int(steps.value)

    steps = run(0)
    assert copied(target) == before
    assert steps > 60
    for die_at in range(1, steps, steps // 5):
        run(die_at)
        assert copied(target) == before
    change(target, "INSERT INTO experiments (name, workspace) VALUES ('next', 'default')")
    copier.load(full, target)
    assert copied(target) == rows_of(full)


def test_a_snapshot_holds_what_was_there_at_one_moment_while_others_write(
    full: Path, target: str, tmp_path: Path
) -> None:
    copier.load(full, target)
    stop = threading.Event()
    written = 0

    def write() -> None:
        """Write two rows at a time, in two tables."""
        nonlocal written
        while not stop.is_set():
            change(
                target,
                f"INSERT INTO tags VALUES ('{written}', 'x', '1runs')",  # noqa: S608
                f"INSERT INTO params VALUES ('{written}', 'x', '1runs')",  # noqa: S608
            )
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = 0
        for number in range(5):
            while written == before:
                time.sleep(0.001)
            before = written
            counts = copier.snapshot(target, tmp_path / f"{number}.db")
            assert counts["tags"] == counts["params"] >= before + ROWS
    finally:
        stop.set()
        writer.join()


def test_a_load_waits_for_nobody_who_only_has_the_database_open(full: Path, target: str) -> None:
    with sqlalchemy.create_engine(target).connect() as idle:
        idle.exec_driver_sql("SELECT count(*) FROM runs").scalar()
        idle.rollback()
        copier.load(full, target)
        assert idle.exec_driver_sql("SELECT count(*) FROM runs").scalar() == ROWS


def test_a_load_gives_way_to_who_waits_for_it_and_goes_on_then(full: Path, server: Postgres) -> None:
    target = new_postgres(server)
    waiting = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)"
    with ThreadPoolExecutor(1) as pool, sqlalchemy.create_engine(target).connect() as other:
        other.exec_driver_sql("SELECT count(*) FROM workspaces")  # the last that is locked
        loaded = pool.submit(copier.load, full, target)
        wait_until(lambda: None if change(target, waiting) else "it does not wait", timeout=60)
        other.exec_driver_sql("SELECT count(*) FROM assessments")  # the first
        other.commit()
        assert loaded.result()["runs"] == ROWS


def test_a_load_that_gets_no_turn_is_told(
    full: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_postgres(server)
    monkeypatch.setattr(copier, "_PATIENCE", 0)
    with sqlalchemy.create_engine(target).connect() as other:
        other.exec_driver_sql("SELECT count(*) FROM runs")
        with pytest.raises(StoreError, match="is in use all the time, and is as it was; stop what uses it"):
            copier.load(full, target)


# What can't be done


def test_a_file_that_is_there_is_not_overwritten(full: Path, target: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for uri in (f"sqlite:///{full}", target):
        with pytest.raises(StoreError, match=r"can't be copied to .*there \(.*File exists"):
            copier.snapshot(uri, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"


def test_what_can_not_be_read_is_told_and_leaves_no_file(server: Postgres, tmp_path: Path) -> None:
    server.sql("CREATE DATABASE bare", "postgres")
    (tmp_path / "text.db").write_text("text " * 1000)
    file = tmp_path / "file.db"
    cases = {
        f"sqlite:///{tmp_path / 'no.db'}": r"there is no database .*no.db; there is nothing to copy",
        f"sqlite:///{tmp_path / 'text.db'}": r"text.db can't be copied to .*file is not a data",
        address(server, "bare"): "the database bare of the database server .* has no tables of MLflow",
        address(server, "nope"): "has no database nope",
        "postgresql+psycopg2://mlflow:secret@127.0.0.1:1/mlflow": "does not answer",
    }
    for uri, said in cases.items():
        with pytest.raises(StoreError, match=said) as told:
            copier.snapshot(uri, file)
        assert "secret" not in str(told.value)
        assert not file.exists()


def test_databases_of_different_revisions_are_refused(full: Path, target: str, tmp_path: Path) -> None:
    older = f"sqlite:///{tmp_path / 'older.db'}"
    mlflow_internals.make_tables(older, "1b5f0d9ad7c1")
    with pytest.raises(
        StoreError, match=r"has the revision 1b5f0d9ad7c1 .* let the same MLflow migrate both"
    ):
        copier.load(tmp_path / "older.db", target)
    change(target, "UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(StoreError, match=r"was made by an MLflow newer than"):
        copier.load(full, target)
    with pytest.raises(StoreError, match=r"was made by an MLflow newer than"):
        copier.has_data(target)


def test_the_copier_imports_what_it_needs_only_then() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, copier; print(*sys.modules)"],
        cwd=CHECKOUT / "tracking",
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"mlflow", "sqlalchemy", "psycopg2", "alembic"} & set(done.stdout.split())

"""Copies all of MLflow's data between databases: PostgreSQL, and SQLite, in which they are kept and moved.

Rows are copied as they are, and not through MLflow's objects. MLflow's tables are those that its migrations
make; all others in a database are the user's own, and are left alone.

SQLAlchemy, psycopg2 and MLflow are imported only where they are needed.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import database
import postgres
from database import StoreError
from rows import Digest, copy_into_postgres, digest_of, listed, postgres_rows, quote, sqlite_rows

Tables = Mapping[str, list[str]]
"""The columns of each table, but those that the database itself computes."""

_PATIENCE = 60  # seconds, for the locks of others
_IN_USE = ("55P03", "40P01")  # PostgreSQL's codes of a lock that it did not get in time, and of a deadlock
_SHOWN = 300  # characters of an error
_VERSION = "alembic_version"
# What MLflow's server makes by itself.
_OWN_ROWS = {"experiments": "experiment_id = 0 AND name = 'Default'", "workspaces": "name = 'default'"}
_OWN_TABLES = ("job_locks", "scheduler_leases")


def snapshot(uri: str, file: Path) -> dict[str, int]:
    """Copy a database into a new SQLite file, in one consistent snapshot, while others write.

    The file is of the same revision, and only its owner may read it.
    Returns the number of rows of each table.

    Raises:
        StoreError: if that can't be done; then there is no file.

    """
    with _told(f"{_name(uri)} can't be copied to {file}"):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        try:
            source = database.file_of(uri)
            return _snapshot_sqlite(source, file) if source else _snapshot_postgres(uri, file)
        except BaseException:
            file.unlink()
            raise


def load(file: Path, uri: str, known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Replace all rows of a database, in one transaction, by those of an SQLite file of the same revision.

    MLflow's server may run on it. Whatever fails or is killed, the database is as it was, and so it is if it
    has other numbers of rows than are ``known``: somebody may have added some.
    Returns the number of rows of each table.

    Raises:
        StoreError: if that can't be done.

    """
    name = _name(uri)
    with _told(f"{name} can't take the rows of {file}, and is as it was"):
        wanted, found = database.revision_of(file), _revision(uri)
        if wanted is None or wanted != found:
            raise StoreError(
                f"{file} has the revision {wanted} of MLflow's tables, and {name} has {found}; let the same"
                " MLflow migrate both"
            )
        tables, target = _tables_at(wanted), database.file_of(uri)
        if target:
            return _load_sqlite(file, target, tables, known)
        return _load_postgres(file, uri, tables, known)


def counts(uri: str) -> dict[str, int]:
    """Return the number of rows of each table; StoreError if the database can't be read."""
    with _told(f"{_name(uri)} can't be read"):
        tables = _tables_at(_revision(uri) or "")
        with _connected(uri) as connection:
            return _counted(lambda query: connection.exec_driver_sql(query).scalar(), tables)


def _counted(ask: Callable[[str], Any], tables: Tables) -> dict[str, int]:
    return {table: ask(f"SELECT count(*) FROM {quote(table)}") for table in tables}  # noqa: S608


def _check_known(found: Mapping[str, int], known: Mapping[str, int] | None) -> None:
    """Raise StoreError if there are other numbers of rows, but for what MLflow's server makes by itself."""
    for table in set(found) & set(known or ()) - set(_OWN_TABLES):
        if known and found[table] != known[table]:
            raise StoreError(
                f"somebody has logged or deleted something meanwhile ({table} had {known[table]:,} rows, and"
                f" has {found[table]:,}), so nothing was changed; run this again when nobody does"
            )


def has_data(uri: str) -> bool:
    """Whether a database holds more than what MLflow's server makes by itself.

    Raises:
        StoreError: if it can't be read.

    """
    with _told(f"{_name(uri)} can't be read"):
        revision = _revision(uri)
        if revision is None:
            return False
        found = [
            f"EXISTS (SELECT 1 FROM {quote(table)} WHERE NOT ({_OWN_ROWS.get(table, 'false')}))"  # noqa: S608
            for table in _tables_at(revision)
            if table not in _OWN_TABLES
        ]
        with _connected(uri) as connection:
            return bool(connection.exec_driver_sql(f"SELECT {' OR '.join(found)}").scalar())


# SQLite


def _snapshot_sqlite(source: Path, file: Path) -> dict[str, int]:
    if database.revision_of(source) is None:
        raise StoreError(f"there is no database {source}; there is nothing to copy")
    with closing(sqlite3.connect(source, timeout=_PATIENCE)) as connection:
        connection.execute("VACUUM INTO ?", (str(file),))
    with closing(sqlite3.connect(file)) as connection:
        return _counted(lambda query: connection.execute(query).fetchone()[0], _tables(connection))


def _load_sqlite(file: Path, target: Path, tables: Tables, known: Mapping[str, int] | None) -> dict[str, int]:
    with (
        closing(sqlite3.connect(target, timeout=_PATIENCE, isolation_level=None, uri=True)) as connection,
        closing(_open(file)) as source,
    ):
        wanted = _digests(source, tables)  # first, because then others wait
        connection.execute("PRAGMA foreign_keys=OFF")  # else, rows that are deleted take others with them
        connection.execute("ATTACH ? AS source", (_read_only(file),))
        connection.execute("BEGIN IMMEDIATE")
        _check_known(_counted(lambda query: connection.execute(query).fetchone()[0], tables), known)
        for table, columns in tables.items():
            names = listed(columns)
            connection.execute(f"DELETE FROM main.{quote(table)}")  # noqa: S608
            connection.execute(
                f"INSERT INTO main.{quote(table)} ({names}) SELECT {names} FROM source.{quote(table)}"  # noqa: S608
            )
        rows = _compared(wanted, _digests(connection, tables))
        connection.execute("COMMIT")
        return rows


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(_read_only(file), uri=True)


def _read_only(file: Path) -> str:
    return f"{file.absolute().as_uri()}?mode=ro"


def _tables(connection: sqlite3.Connection) -> Tables:
    """Return the tables of a file, but that of its revision."""
    found = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c"
        " WHERE m.type = 'table' AND m.name <> ? AND substr(m.name, 1, 7) <> 'sqlite_' AND c.hidden = 0"
        " ORDER BY m.name, c.cid",
        (_VERSION,),
    )
    tables: dict[str, list[str]] = {}
    for table, column in found:
        tables.setdefault(table, []).append(column)
    return tables


@cache
def _tables_at(revision: str) -> Tables:
    """Return the tables that MLflow's migrations make up to a revision."""
    import mlflow_internals

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "mlflow.db"
        mlflow_internals.make_tables(f"sqlite:///{file}", revision)
        with closing(_open(file)) as connection:
            return _tables(connection)


def _digests(connection: sqlite3.Connection, tables: Tables) -> dict[str, Digest]:
    return {table: digest_of(sqlite_rows(connection, table, columns)) for table, columns in tables.items()}


def _compared(source: Mapping[str, Digest], target: Mapping[str, Digest]) -> dict[str, int]:
    """Return the rows of each table; StoreError if a copy differs."""
    for table, digest in source.items():
        if digest != target[table]:
            raise StoreError(
                f"the copy of table {table} is not what was copied ({target[table].count} rows, expected"
                f" {digest.count}); nothing was changed; run this again"
            )
    return {table: digest.count for table, digest in source.items()}


# PostgreSQL


def _snapshot_postgres(uri: str, file: Path) -> dict[str, int]:
    import mlflow_internals

    name, revision = _name(uri), _revision(uri)
    if revision is None:
        raise StoreError(f"{name} has no tables of MLflow; there is nothing to copy")
    mlflow_internals.make_tables(f"sqlite:///{file}", revision)
    with closing(sqlite3.connect(file)) as copy, _connected(uri, is_snapshot=True) as connection:
        tables, read = _tables(copy), {}
        # Before the snapshot, which the first query takes: so nobody empties or changes a table meanwhile.
        connection.exec_driver_sql(f"LOCK TABLE {listed([*tables, _VERSION])} IN ACCESS SHARE MODE")
        if connection.exec_driver_sql(f"SELECT version_num FROM {_VERSION}").scalar() != revision:  # noqa: S608
            raise StoreError(f"{name} was migrated meanwhile; run this again")
        copy.execute("PRAGMA synchronous=OFF")
        for table, columns in tables.items():
            copy.execute(f"DELETE FROM {quote(table)}")  # noqa: S608
            places = ", ".join("?" * len(columns))
            insert = f"INSERT INTO {quote(table)} ({listed(columns)}) VALUES ({places})"  # noqa: S608
            read[table] = Digest()
            for rows in postgres_rows(_driver(connection), table, columns):
                read[table].add(rows)
                copy.executemany(insert, rows)
        copy.commit()
        return _compared(read, _digests(copy, tables))


def _load_postgres(file: Path, uri: str, tables: Tables, known: Mapping[str, int] | None) -> dict[str, int]:
    import refusals

    name = _name(uri)
    with closing(_open(file)) as source, _connected(uri) as connection:
        ordered = _reflected(connection, tables)
        with closing(_open(file)) as checked:
            if found := refusals.find(checked, ordered):
                raise StoreError(
                    f"{name} would not take a row of {file}: {found}; correct that where it is from"
                )
        _lock(connection, tables, name)
        _check_known(_counted(lambda query: connection.exec_driver_sql(query).scalar(), tables), known)
        connection.exec_driver_sql(f"TRUNCATE {listed(tables)}")
        driver, written = _driver(connection), {}
        for table in ordered:
            columns = tables[table.name]
            rows = sqlite_rows(source, table.name, columns)
            written[table.name] = copy_into_postgres(driver, table.name, columns, rows)
            _set_sequences(connection, table)
        return _compared(
            written,
            {table: digest_of(postgres_rows(driver, table, columns)) for table, columns in tables.items()},
        )


def _lock(connection: Any, tables: Tables, name: str) -> None:  # noqa: ANN401
    """Let nobody else use these tables from now on.

    Whoever uses some of them and waits for others would wait for this, and this for him. So this gives way.
    """
    from sqlalchemy.exc import OperationalError

    until = time.monotonic() + _PATIENCE
    connection.exec_driver_sql("SET LOCAL lock_timeout = '0.3s'")
    while True:
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"LOCK TABLE {listed(tables)} IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in _IN_USE:
                raise
            if time.monotonic() > until:
                raise StoreError(
                    f"{name} is in use all the time, and is as it was; stop what uses it, then run this again"
                ) from None
        else:
            return


def _reflected(connection: Any, tables: Tables) -> list[Any]:  # noqa: ANN401
    """Return the tables as PostgreSQL has them, each behind those that it refers to."""
    import sqlalchemy

    metadata = sqlalchemy.MetaData()
    metadata.reflect(connection, only=list(tables))
    return [table for table in metadata.sorted_tables if table.name in tables]


def _set_sequences(connection: Any, table: Any) -> None:  # noqa: ANN401
    """Let the sequences of a table go on behind its last row.

    By RESTART, because setval is not undone with the transaction.
    """
    for column in table.columns:
        asked = f"SELECT pg_get_serial_sequence('{quote(table.name)}', '{column.name}')"
        if sequence := connection.exec_driver_sql(asked).scalar():
            last = f"SELECT coalesce(max({quote(column.name)}), 0) FROM {quote(table.name)}"  # noqa: S608
            following = max(connection.exec_driver_sql(last).scalar(), 0) + 1
            connection.exec_driver_sql(f"ALTER SEQUENCE {sequence} RESTART WITH {following}")


# Both


def _name(uri: str) -> str:
    """Name a database, without a password."""
    file = database.file_of(uri)
    return f"the database {file}" if file else postgres.Address(uri).name


def _revision(uri: str) -> str | None:
    """Return the revision of MLflow's tables, which the MLflow here knows; None if there are none yet."""
    file = database.file_of(uri)
    revision = database.revision_of(file) if file else postgres.revision(uri)
    if revision is not None:
        database.is_older(revision, _name(uri), "do this with the lock/ that made it")
    return revision


@contextmanager
def _connected(uri: str, *, is_snapshot: bool = False) -> Iterator[Any]:
    """Yield a connection of SQLAlchemy's in a transaction, which is committed if nothing is raised."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if is_snapshot:
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with connection.begin():
            yield connection


def _driver(connection: Any) -> Any:  # noqa: ANN401
    """Return psycopg2's connection."""
    return connection.connection.driver_connection


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell whatever fails in one sentence."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # SQLite's, PostgreSQL's, SQLAlchemy's, Alembic's, the disk's
        raise StoreError(f"{what} ({_cause(error)}); correct that, then run this again") from error


def _cause(error: Exception) -> str:
    """Return what matters of an error, of SQLAlchemy's what is inside; no SQL."""
    inner = getattr(error, "orig", None) or error
    said = getattr(inner, "diag", None)
    parts = [said.message_primary, said.message_detail] if said else []
    text = ": ".join(filter(None, parts)) or str(inner).strip().partition("\n")[0]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

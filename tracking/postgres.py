"""A PostgreSQL database, before the server has it. Only where there is one, its packages are imported."""

import select
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import database
from database import StoreError

_CORRECT = "correct BACKEND_STORE_URI"
_PATIENCE = 5  # seconds
# By what libpq says: https://github.com/postgres/postgres/blob/master/src/interfaces/libpq/fe-connect.c
_NO_ANSWER = (
    *("Connection refused", "timeout expired", "No route to host", "Network is unreachable"),
    "closed the connection",
)
_NOT_READY = (
    *("starting up", "shutting down", "recovery mode", "too many clients", "remaining connection slots"),
)
_IMAGE = "/opt/pyfunc-stack"
_FILE = "mlflow.db"
_LOCK = 0x6D6C666C6F77  # "mlflow": the number of what only one server may do at a time
_BACK = "go back to the lock/ that made it, or set BACKEND_STORE_URI to another database"


class Address:
    """The address of a database, and what of it may be shown."""

    def __init__(self, uri: str) -> None:
        """Take it as SQLAlchemy does; StoreError if that can't read it."""
        from sqlalchemy.engine import make_url

        try:
            if uri.partition("?")[0].count("@") > 1:  # what is behind the first would be taken for the host
                raise ValueError
            self.url = make_url(uri)
            self.arguments, self.options = self.url.get_dialect()().create_connect_args(self.url)
        except Exception:  # its text may show a part of a password
            raise StoreError(
                "BACKEND_STORE_URI can't be read; write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
                " and in the password each character that is no letter or digit as % and its code, %40 for @"
            ) from None
        self.host = self.url.host or "localhost"
        self.user = self.url.username or "that is the default"
        self.database = self.url.database or self.user
        self.server = f"the database server {self.host}:{self.url.port or 5432}"
        self.name = f"the database {self.database} of {self.server}"


def revision(uri: str) -> str | None:
    """Return the revision of MLflow's tables; None if there are none yet.

    Raises:
        StoreError: if MLflow can't use the database.

    """
    import psycopg2

    address = Address(uri)
    try:
        until = time.monotonic() + (float(address.options.get("connect_timeout", 0)) or _PATIENCE)
        connection = psycopg2.connect(*address.arguments, **address.options, async_=True)
        _wait(connection, until)
    except (psycopg2.Error, TimeoutError, ValueError) as error:
        raise StoreError(why_refused(address, str(error))) from None
    try:
        return _revision(partial(_ask, connection, until), address)
    except TimeoutError as error:
        raise StoreError(why_refused(address, str(error))) from None
    except psycopg2.Error as error:
        raise StoreError(f"{address.server} fails: {_first_line(error)}; repair it") from None
    finally:
        connection.close()


def _wait(connection: Any, until: float) -> None:  # noqa: ANN401
    """Let a connection go on with what it has begun; TimeoutError if that is not done in time.

    libpq itself waits without end for the answer to a query, and a database that hangs ends none.
    Source: https://www.psycopg.org/docs/advanced.html#asynchronous-support
    """
    from psycopg2 import extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        socket = select.poll()  # another one, where there are several hosts
        socket.register(connection, select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        if not socket.poll(max(0, (until - time.monotonic()) * 1000)):
            raise TimeoutError("timeout expired")


def _ask(connection: Any, until: float, query: str) -> Any:  # noqa: ANN401
    """Return the first row of the answer to a query; None if there is none."""
    cursor = connection.cursor()
    cursor.execute(query)
    _wait(connection, until)
    return cursor.fetchone()


def _revision(ask: Callable[[str], Any], address: Address) -> str | None:
    # The second is false for a user's own tables in a schema that belongs to another.
    table, may_create = ask(
        "SELECT to_regclass('alembic_version')::text,"
        " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
    )
    if not may_create:
        raise StoreError(
            f"{address.server} lets the user {address.user} make no tables in the database"
            f" {address.database}; let its administrator run: ALTER DATABASE"
            f' "{address.database}" OWNER TO "{address.user}"'
        )
    if table is None:
        return None
    row = ask("SELECT version_num FROM alembic_version")
    return str(row[0]) if row else None


def why_refused(address: Address, said: str) -> str:
    """Say why there is no connection, by what libpq says of it."""
    server, user = address.server, address.user
    if "could not translate host name" in said:
        return f"the host of the database, {address.host}, is not known; start it, or {_CORRECT}"
    is_no_socket = "socket" in said and "No such file or directory" in said
    if is_no_socket or any(words in said for words in _NO_ANSWER):
        return f"{server} does not answer ({_cause(said)}); start it, or {_CORRECT}{_hint(address.host)}"
    if any(words in said for words in _NOT_READY):
        return f"{server} is not ready ({_cause(said)}); wait, then run this again"
    if "no password supplied" in said:
        return f"{server} wants a password of the user {user}, and none is set; {_CORRECT}"
    if "password authentication failed" in said or ('role "' in said and "does not exist" in said):
        return f"{server} does not let in the user {user}: the name or the password is wrong; {_CORRECT}"
    if 'database "' in said and "does not exist" in said:
        return (
            f"{server} has no database {address.database}; let its administrator run: CREATE DATABASE"
            f' "{address.database}" OWNER "{user}", or {_CORRECT}'
        )
    if "pg_hba.conf" in said:
        return (
            f"{server} lets nobody in from here; let its administrator add that to pg_hba.conf, or {_CORRECT}"
        )
    secret = str(address.url.password or "\n")
    return f"{server} can't be used: {_cause(said).replace(secret, '***')}; {_CORRECT}"


def _cause(said: str) -> str:
    """Return what matters of libpq's message: the end of its first line."""
    return _first_line(said).rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def _first_line(said: object) -> str:
    return str(said).strip().partition("\n")[0]


def _hint(host: str) -> str:
    is_here = host in ("localhost", "127.0.0.1", "::1") and Path(__file__).is_relative_to(_IMAGE)
    return "; in a container, localhost is the container itself" if is_here else ""


def migrate(uri: str, home: Path) -> None:
    """Migrate a database that an older MLflow has made, all in one transaction.

    What it was is kept in a SQLite file in ``home``, as mlflow.db.old-DATE-REVISION.

    Raises:
        StoreError: if a newer MLflow has made it, or if that fails; then the database is as it was.

    """
    address, found = Address(uri), revision(uri)
    if found is None or not database.is_older(found, address.name, _BACK):
        return
    mlflow = f"MLflow {version('mlflow')}"
    print(f"tracking server: an older MLflow made {address.name}; migrating it to {mlflow}", flush=True)
    try:
        kept = _migrate(uri, home)
    except StoreError:
        raise
    except Exception as error:  # MLflow's, Alembic's, SQLAlchemy's, the disk's
        reason = _first_line(getattr(error, "orig", None) or error)
        raise StoreError(
            f"{address.name} can't be migrated to {mlflow} ({reason}), and is as it was; correct that,"
            f" or {_BACK}"
        ) from error
    if kept:
        print(
            f"tracking server: the database is migrated; the old one is kept as {kept}; to go back, restore"
            " that into an empty database, with the lock/ that made it",
            flush=True,
        )


def _migrate(uri: str, home: Path) -> Path | None:
    """Return where the old database is kept; None if another server has migrated it meanwhile."""
    import copier
    import mlflow_internals
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        for setting in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {setting} = 0")  # a user's own may be too short
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")  # another server may be at it
        found = _found(connection)
        if not database.is_older(found, Address(uri).name, _BACK):
            return None
        new, kept = home / f"{_FILE}.new", database.kept_as(home / _FILE, found)
        new.unlink(missing_ok=True)  # of a start that was killed
        copier.snapshot(uri, new)
        database.place(new, kept)
        try:
            before = _rows(connection)
            mlflow_internals.migrate_within(connection)
            database.check_migrated(_found(connection), before, _rows(connection))
        except Exception:
            kept.unlink()
            raise
    return kept


def _found(connection: Any) -> str:  # noqa: ANN401
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def _rows(connection: Any) -> dict[str, int]:  # noqa: ANN401
    """Return the numbers of rows of the tables that no migration makes shorter."""
    import sqlalchemy

    there = sqlalchemy.inspect(connection).get_table_names()
    count = "SELECT count(*) FROM "
    return {
        table: connection.exec_driver_sql(count + table).scalar()
        for table in database.LASTING
        if table in there
    }

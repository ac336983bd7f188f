"""The SQLite database, before the server has it: made or migrated beside its place, then put there whole.

MLflow's server does both in place and in silence. A kill meanwhile can leave a file that no MLflow can take
up, because SQLite keeps the first half of a migration. Here, whatever is killed and when, the file is the old
one or the new one.
"""

import importlib.util
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_URI = "sqlite:///"
_NAMES = re.compile(r"^(down_revision|revision)\b[^=\n]*=(.*)$", re.MULTILINE)
LASTING = ("experiments", "runs", "registered_models", "model_versions")
"""The tables of which no migration removes rows."""
_BACK = "go back to the lock/ that made it, or delete all runs and models: ./scripts/down --volumes"


class StoreError(Exception):
    """The server can't be started with these data; the message says why, and what to do."""


def file_of(uri: str) -> Path | None:
    """Return the file of a backend store; None if that is no SQLite file."""
    return Path(uri.removeprefix(_URI)) if uri.startswith(_URI) else None


def prepare(file: Path, upgrade: Callable[[str], object]) -> None:
    """Make a missing database, or migrate an older one.

    ``upgrade`` does either to the one at a URI, in place.
    An older database is kept beside it, as mlflow.db.old-DATE-REVISION.

    Raises:
        StoreError: if that can't be done; then the database is as it was.

    """
    new = Path(f"{file}.new")
    _check_access(file)
    for left in (new, Path(f"{new}-journal")):  # of a start that was killed
        left.unlink(missing_ok=True)
    try:
        revision = revision_of(file)
        if revision is None:
            upgrade(f"{_URI}{new}")
            place(new, file)
        elif is_older(revision, f"the database {file}", _BACK):
            _migrate(file, new, revision, upgrade)
    except StoreError:
        raise
    except Exception as error:  # MLflow's, Alembic's, SQLAlchemy's, SQLite's, the disk's
        reason = str(error).partition("\n")[0]
        raise StoreError(
            f"the database {file} can't be made ready for MLflow {version('mlflow')} ({reason}), and is as it"
            f" was; correct that, or {_BACK}"
        ) from error


def is_older(revision: str, what: str, back: str) -> bool:
    """Whether a database was made by an older MLflow.

    Raises:
        StoreError: if it was made by a newer one; ``back`` says what to do then.

    """
    known = _known_revisions()
    heads = _heads(known)
    if revision not in known:
        raise StoreError(
            f"{what} was made by an MLflow newer than {version('mlflow')}, which is here"
            f" (its revision is {revision}, expected {', '.join(heads)}); {back}"
        )
    return revision not in heads


def _check_access(file: Path) -> None:
    """Raise StoreError if this process may not write the file and its directory."""
    for path in (file.parent, file):
        if path.exists() and not os.access(path, os.W_OK):
            raise StoreError(
                f"user {os.getuid()} can't write to {path}; if it lies on a directory of the host, run there:"
                f" chown -R {os.getuid()} DIRECTORY"
            )


def revision_of(file: Path) -> str | None:
    """Return the revision of a database; None if it is not there or empty.

    Not read-only, so that SQLite can undo what a killed server has not finished.
    """
    if not file.exists():
        return None
    with closing(sqlite3.connect(file)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return None
        row = "alembic_version" in tables and connection.execute("SELECT * FROM alembic_version").fetchone()
    if not row:
        raise StoreError(
            f"the database {file} is not MLflow's, or its first start was killed; move it away, or delete all"
            " runs and models: ./scripts/down --volumes"
        )
    return str(row[0])


def _known_revisions() -> dict[str, set[str]]:
    """Return each revision that the installed MLflow knows, with those before it.

    They are read from its files, because importing MLflow takes seconds.
    """
    found = importlib.util.find_spec("mlflow")
    assert found  # noqa: S101
    assert found.origin  # noqa: S101
    revisions = {}
    for file in (Path(found.origin).parent / "store" / "db_migrations" / "versions").glob("*.py"):
        names = {name: set(re.findall(r"\w{12}", given)) for name, given in _NAMES.findall(file.read_text())}
        for revision in names.get("revision", ()):
            revisions[revision] = names.get("down_revision", set())
    return revisions


def _heads(known: dict[str, set[str]]) -> set[str]:
    """Return the revisions that are before no other."""
    return set(known) - set().union(*known.values())


def _migrate(file: Path, new: Path, revision: str, upgrade: Callable[[str], object]) -> None:
    """Keep a copy of the database, migrate another, and put that into its place."""
    kept = kept_as(file, revision)
    mlflow = f"MLflow {version('mlflow')}"
    print(f"tracking server: an older MLflow made the database {file}; migrating it to {mlflow}", flush=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # otherwise, a -wal would be left beside the new one
        connection.execute("VACUUM INTO ?", (str(new),))
    place(new, kept, like=file)
    try:
        shutil.copy(kept, new)
        upgrade(f"{_URI}{new}")
        _check(kept, new)
    except Exception:
        kept.unlink()
        new.unlink(missing_ok=True)
        raise
    place(new, file)
    print(f"tracking server: the database is migrated; the old one is kept as {kept}", flush=True)


def _check(old: Path, new: Path) -> None:
    """Raise ValueError if the new database is damaged, not migrated, or lacks what the old one has."""
    with closing(sqlite3.connect(new)) as connection:
        if (found := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise ValueError(found)
    check_migrated(revision_of(new), _rows(old), _rows(new))


def check_migrated(revision: str | None, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Raise ValueError if this is not the newest revision, or if a table of LASTING has lost rows."""
    if revision not in _heads(_known_revisions()):
        raise ValueError(f"its revision is {revision}")
    for table, rows in before.items():
        if after.get(table, 0) < rows:
            raise ValueError(f"{table} has {after.get(table, 0)} rows, expected {rows}")


def kept_as(file: Path, revision: str) -> Path:
    """Return where a database of that revision is kept, beside the file where SQLite's lies."""
    return Path(f"{file}.old-{datetime.now(UTC):%Y-%m-%d}-{revision}")


def _rows(file: Path) -> dict[str, int]:
    """Return the numbers of rows of the tables that no migration makes shorter."""
    with closing(sqlite3.connect(file)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        count = "SELECT count(*) FROM "
        return {table: connection.execute(count + table).fetchone()[0] for table in LASTING if table in there}


def place(new: Path, target: Path, *, like: Path | None = None) -> None:
    """Put a complete file into its place in one step, with the permissions of another."""
    if like:
        shutil.copymode(like, new)
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(target)

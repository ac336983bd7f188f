"""Put an archive of backup.py, which comes by the standard input, into the stores: python restore.py.

The artifacts come first, and then, in one transaction, the database: killed before that, this has changed
nothing that anybody sees, and can be run again. The tracking server may run meanwhile. When the standard
input ends before this does, this does, too; so zeros come behind the archive, and nothing behind them.

The last line of the standard error is JSON: what was restored, or the `error`, or that this `has_data` and so
nothing was done. With --replace ROWS, data that are there are replaced, if each table has so many rows: in
JSON, as backup.py tells them.
"""

import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import artifacts
import contents
import copier
import database
import store_lock
import stores
from backup import ARTIFACTS, DATABASE, MANIFEST, leave_with
from database import StoreError

_BLOCK = 1024 * 1024
_NEWER = "restore it with the lock/ that is in it"


def restore(
    used: stores.Stores,
    archive: IO[bytes],
    replaced: Mapping[str, int] | None = None,
    on_read: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Restore an archive; return what was restored, or that there are data.

    ``replaced`` has the rows that may be replaced. When the archive is read, ``on_read`` gets the
    directory for what is not needed afterwards.

    Raises:
        StoreError: if that can't be done; then the database is as it was.

    """
    with store_lock.changing(), tempfile.TemporaryDirectory() as scratch:
        if replaced is None and copier.has_data(used.database):
            return {"has_data": True}
        _prepare(used)
        known = copier.counts(used.database) if replaced is None else replaced
        file = Path(scratch, DATABASE)
        manifest, figures = _take_apart(archive, file, artifacts.at(used.artifacts, used.endpoint))
        on_read(scratch)
        database.prepare(file, _upgrade)
        at = datetime.fromisoformat(manifest["created"])
        killed = contents.end_runs(file, int(at.timestamp() * 1000))
        copier.load(file, used.database, known)
        return {"figures": {**contents.figures(file), **figures}, "killed": killed}


def _prepare(used: stores.Stores) -> None:
    """Make the database ready for this MLflow, if it is not."""
    used.prepare(_upgrade)
    if used.revision() is None:
        _upgrade(used.database)


def _take_apart(
    archive: IO[bytes], file: Path, kept: artifacts.Artifacts
) -> tuple[dict[str, Any], dict[str, int]]:
    """Write the artifacts and the database file; return the manifest, and how many artifacts and bytes."""
    manifest = None
    count = size = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|", bufsize=_BLOCK) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None:
                    continue
                if member.name == DATABASE:
                    with file.open("xb") as copied:
                        shutil.copyfileobj(content, copied, _BLOCK)
                    database.is_older(contents.revision(file), "the archive", _NEWER)
                elif member.name.startswith(ARTIFACTS):
                    kept.write(_inside(member.name.removeprefix(ARTIFACTS)), content)
                    count, size = count + 1, size + member.size
                elif member.name == MANIFEST:
                    manifest = json.load(content)
    except tarfile.TarError as error:
        raise StoreError(f"the archive ends too early or is damaged ({error}); run this again") from error
    if manifest is None or not file.exists():
        raise StoreError("the archive ends too early; run this again")
    return manifest, {"artifact": count, "bytes": size}


def _inside(name: str) -> str:
    """Return the name of an artifact; StoreError if it leads out of where these lie."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise StoreError(f"the archive is none of ./scripts/backup: it has an artifact {name}")
    return name


def _upgrade(uri: str) -> None:
    import mlflow_internals

    mlflow_internals.upgrade_database(uri)


def main() -> None:
    """Restore the archive."""
    try:
        used = stores.use(os.environ)
        used.check()
        replaced = json.loads(sys.argv[2]) if "--replace" in sys.argv else None
        told = restore(used, sys.stdin.buffer, replaced, lambda it: leave_with(sys.stdin.buffer, it))
    except StoreError as error:
        told = {"error": str(error)}
    except sqlite3.DatabaseError as error:  # of what was given: what is there is told of by copier.py
        told = {"error": f"the database to be restored is damaged, or not MLflow's ({error}); take another"}
    except OSError as error:  # the disk's
        reason = f"{error.filename or 'what is in the archive'} can't be written: {error.strerror}"
        told = {"error": f"{reason}; correct that, then run this again"}
    except KeyboardInterrupt:
        sys.exit(1)
    print(json.dumps(told), file=sys.stderr)
    sys.exit(1 if "error" in told else 0)


if __name__ == "__main__":
    main()

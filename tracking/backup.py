"""Write an archive of all that the tracking server keeps, while it runs: python backup.py.

The first line of the standard input is JSON: the texts that go into the archive, too, by their names. The
archive, a tar file, goes to the standard output. The last line of the standard error is JSON: what is in it,
or the `error`. When the standard input ends, this does, too.

First comes the database, as a SQLite file, and then the artifacts: MLflow writes an artifact before it names
it, so all that the database names is there. Last comes the manifest, with what is in the others.
"""

import _thread
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any

import artifacts
import contents
import copier
import store_lock
import stores
from database import StoreError

FORMAT = 1
DATABASE, ARTIFACTS, MANIFEST = "mlflow.db", "artifacts/", "manifest.json"
"""The names in an archive; stack/backup.py knows them, too."""
_BLOCK = 1024 * 1024
_PATIENCE = 10  # seconds, for a query that goes on


class _Hashed:
    """A file whose digest is known when it has been read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        found = self._content.read(size)
        self.digest.update(found)
        return found


class _Archive:
    """A tar file, as it is written; ``files`` has the size and the digest of each."""

    def __init__(self, output: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK)  # noqa: SIM115
        self.files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a file of that size; StoreError if it is shorter."""
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, int(time.time()), 0o600
        hashed = _Hashed(content)
        try:
            self._tar.addfile(member, hashed)
        except OSError as error:
            if str(error) != "unexpected end of data":
                raise
            raise StoreError(f"{name} was changed while it was read; run this again") from None
        self.files[name] = {"size": size, "sha256": hashed.digest.hexdigest()}

    def add_text(self, name: str, text: str) -> None:
        """Add a text."""
        content = text.encode()
        self.add(name, io.BytesIO(content), len(content))

    def close(self) -> None:
        """Write its end."""
        self._tar.close()


def write(
    used: stores.Stores,
    texts: Mapping[str, str],
    output: IO[bytes],
    on_begin: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Write the archive; return its manifest without the files.

    ``on_begin`` gets the directory for what is not needed afterwards.

    Raises:
        StoreError: if that can't be done.

    """
    archive = _Archive(output)
    began = datetime.now(UTC)
    with store_lock.reading(), tempfile.TemporaryDirectory() as scratch:
        on_begin(scratch)
        file = Path(scratch, DATABASE)
        rows = copier.snapshot(used.database, file)
        revision, figures = contents.revision(file), contents.figures(file)
        elsewhere = contents.artifacts_elsewhere(file)
        with file.open("rb") as content:
            archive.add(DATABASE, content, file.stat().st_size)
        count = size = 0
        kept = artifacts.at(used.artifacts, used.endpoint)
        for each in kept.files():
            if PurePosixPath(each.name).name.startswith(artifacts.PARTIAL):
                continue
            with kept.read(each.name) as found:
                if found:
                    archive.add(ARTIFACTS + each.name, *found)
                    count, size = count + 1, size + found[1]
    for name, text in texts.items():
        archive.add_text(name, text)
    told = {
        "format": FORMAT,
        "created": began.isoformat(timespec="seconds"),
        "mlflow": version("mlflow"),
        "revision": revision,
        "stores": {
            "database": "PostgreSQL" if used.has_postgres else "SQLite",
            "artifacts": "S3" if used.has_bucket else "directory",
        },
        "figures": {**figures, "artifact": count, "bytes": size},
        "elsewhere": elsewhere,
        "rows": rows,
    }
    archive.add_text(MANIFEST, json.dumps({**told, "files": archive.files}, indent=1))
    archive.close()
    return told


def leave_with(stream: IO[bytes], scratch: str) -> None:
    """End this process when a stream ends: whoever started it is gone. Nothing is left in ``scratch``.

    Nothing is to be read from the stream any more.
    """

    def follow() -> None:
        while os.read(stream.fileno(), _BLOCK):
            pass
        _thread.interrupt_main()
        time.sleep(_PATIENCE)
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def main() -> None:
    """Write the archive that the first line of the standard input asks for."""
    texts = json.loads(sys.stdin.buffer.readline())
    try:
        used = stores.use(os.environ)
        told = write(used, texts, sys.stdout.buffer, lambda it: leave_with(sys.stdin.buffer, it))
        sys.stdout.buffer.flush()
    except StoreError as error:
        told = {"error": str(error)}
    except OSError as error:  # the disk's
        told = {"error": f"{error.filename or 'the archive'} can't be read or written: {error.strerror}"}
    except KeyboardInterrupt:
        sys.exit(1)
    print(json.dumps(told), file=sys.stderr)
    sys.exit(1 if "error" in told else 0)


if __name__ == "__main__":
    main()

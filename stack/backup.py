"""The verbs backup and restore: an archive of all that the tracking server keeps, and the way back.

tracking/backup.py writes the archive, a tar file, and tracking/restore.py reads it, each where
the stores are. Here it is put into its place, and checked.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from stack.config import CHECKOUT, ENV_FILE, SETTINGS, Config, read_env_file
from stack.errors import StackError
from stack.modes.at_stores import failure
from stack.modes.choice import choose_mode_of_data
from stack.modes.mode import AtStores, Mode, Program
from stack.modes.report import size_text
from stack.stores import SETTINGS as STORE_SETTINGS

FORMAT = 1
_DATABASE, _MANIFEST = "mlflow.db", "manifest.json"
_BACKUPS = CHECKOUT / "backups"
# What of .env is kept; an address may hold a password.
_KEPT_SETTINGS = ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "SERVING_NETWORK", *SETTINGS)
_SECRET_SETTINGS = ("MLFLOW_TRACKING_URI", *STORE_SETTINGS)
_BLOCK = 1024 * 1024
_SQLITE = b"SQLite format 3\0"
_NOT_IN_IT = (
    "not in it: images and environments, which are made again; tracking.env, model.env and the gateway's"
    " users; the keys by which MLflow encrypts secrets"
)


def backup(config: Config, named_mode: str | None, file: Path | None) -> None:
    """Write an archive, and print what is in it; by default, under a name of its own in backups/.

    Raises:
        StackError: if that can't be done; then there is no such file.

    """
    mode = choose_mode_of_data(config, named_mode)
    with mode.at_stores() as at_stores:
        _back_up(mode, at_stores, file)


def _back_up(mode: Mode, at_stores: AtStores, file: Path | None) -> dict[str, int]:
    """Do so; return the number of rows of each table."""
    if file is None:
        file = _BACKUPS / f"{mode.config.project}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
        _BACKUPS.mkdir(exist_ok=True)
    since = time.monotonic()
    with _placed(file) as output:
        texts = json.dumps(_texts(mode)).encode() + b"\n"
        told = _run(at_stores("backup.py"), output, io.BytesIO(texts))
    took = time.monotonic() - since
    print(f"backed up in {took:.1f} s: {file} ({size_text(file.stat().st_size)})")
    print(f"    {_in_words(told['figures'])}")
    if told["elsewhere"]:
        print(f"    not in it: artifacts that somebody put elsewhere, such as {told['elsewhere'][0]}")
    print(f"    {_NOT_IN_IT}", flush=True)
    rows: dict[str, int] = told["rows"]
    return rows


@contextmanager
def _placed(file: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write to, which gets its name when it is complete."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        if file.exists():
            raise StackError(f"{file} is there already; name another file")
        try:
            with partial.open("wb") as output:
                partial.chmod(0o600)  # it holds all that anybody has logged
                yield output
                os.fsync(output.fileno())
            partial.rename(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StackError(f"can't write {file}: {error.strerror}; name another file") from error
    except StackError as error:
        if os.strerror(errno.ENOSPC).lower() in str(error).lower():
            raise StackError(f"there is no room for {file}; make room, or name another file") from error
        raise


def _texts(mode: Mode) -> dict[str, str]:
    """Return what goes into the archive besides what the stores hold."""
    config, served = mode.config, mode.served()
    known = {
        "model": served.model_name if served else None,
        "version": served.version if served else None,
        "image_id": served.image_id if served else None,
        "settings": _settings(),
        "project": config.project,
    }
    lock = {f"lock/{file.name}": file.read_text() for file in sorted((CHECKOUT / "lock").glob("*.txt"))}
    return {"stack.json": json.dumps(known, indent=1), **lock}


def _settings() -> dict[str, str]:
    """Return what .env sets, but nothing that is, or may hold, a password."""
    found = read_env_file(ENV_FILE)
    kept = (name for name in _KEPT_SETTINGS if name not in _SECRET_SETTINGS)
    return {name: value for name in kept if (value := found.get(name))}


def _run(program: Program, output: IO[bytes] | int, *given: IO[bytes]) -> dict[str, Any]:
    """Give files to a program of tracking/, which writes to ``output``; return what it told."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            program.command,
            env=program.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        assert process.stdin  # noqa: S101 - it is a pipe
        try:
            with suppress(BrokenPipeError):  # it reads no more; what it wrote says why
                for each in given:
                    shutil.copyfileobj(each, process.stdin, _BLOCK)
                process.stdin.flush()
            process.wait()
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # by which it ends, if it has not
            process.wait()
        errors.seek(0)
        return _told(errors.read().decode(errors="replace"))


def _told(said: str) -> dict[str, Any]:
    """Return the last line that a program wrote; StackError if it told of a failure, or nothing."""
    last = said.strip().rpartition("\n")[2]
    try:
        told: dict[str, Any] = json.loads(last)
    except ValueError:
        raise failure(said) from None
    if "error" in told:
        raise StackError(str(told["error"]))
    return told


def restore(config: Config, named_mode: str | None, file: Path, *, replace: bool) -> None:
    """Put what is in an archive into the stores, and print what that was.

    ``file`` may also be a database that a migration has kept. Data that are there are backed up first, and
    then replaced, if ``replace``.

    Raises:
        StackError: if it is damaged, there are data and they are not to be replaced, or it can't be done.

    """
    since = time.monotonic()
    with _opened(file) as (archive, manifest):
        mode = choose_mode_of_data(config, named_mode)
        with mode.at_stores() as at_stores, mode.exclusive():
            if any(service.name == "trainer" and service.is_up for service in mode.services()):
                raise StackError("a training runs; wait until it has ended, or run ./scripts/down")
            told = _restore(at_stores("restore.py"), archive)
            if "has_data" in told:
                if not replace:
                    raise StackError(
                        "the stack has data, and nothing was changed; with --replace, they are backed up, and"
                        " then replaced"
                    )
                rows = _back_up(mode, at_stores, None)
                archive.seek(0)
                told = _restore(at_stores("restore.py", "--replace", json.dumps(rows)), archive)
    print(f"restored in {time.monotonic() - since:.1f} s, as of {manifest['created']}")
    print(f"    {_in_words(told['figures'])}")
    if told["killed"]:
        print(f"    runs that were at work then, and are KILLED now: {told['killed']}")
    print("to serve the champion: ./scripts/up, or ./scripts/deploy", flush=True)


def _restore(program: Program, archive: IO[bytes]) -> dict[str, Any]:
    """Give an archive to restore.py; without zeros behind it, that would wait for a whole block."""
    return _run(program, subprocess.DEVNULL, archive, io.BytesIO(bytes(2 * _BLOCK)))


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], dict[str, Any]]]:
    """Open an archive, or a database as one; yield it, checked, and its manifest."""
    try:
        with file.open("rb") as given:
            is_database = given.read(len(_SQLITE)) == _SQLITE
            given.seek(0)
            if not is_database:
                yield given, _check(file, given)
                return
            with tempfile.TemporaryFile() as archive:
                manifest = _wrap(file, archive)
                yield archive, manifest
    except OSError as error:
        raise StackError(
            f"can't read {file}: {error.strerror}; name an archive of ./scripts/backup"
        ) from None


def _wrap(file: Path, archive: IO[bytes]) -> dict[str, Any]:
    """Write an archive that holds a database only; return its manifest."""
    manifest = {
        "created": f"{datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec='seconds')}"
    }
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(file, _DATABASE)
        member = tarfile.TarInfo(_MANIFEST)
        content = json.dumps(manifest).encode()
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return manifest


def _check(file: Path, archive: IO[bytes]) -> dict[str, Any]:
    """Return the manifest of an archive; StackError if what is in that is not as the manifest says."""
    found: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] = {}
    is_archive = False
    damaged = f"{file} is damaged, and nothing was changed; take another backup"
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                is_archive = is_archive or member.name == _DATABASE  # it comes first
                content = tar.extractfile(member)
                if content is None or member.name == _MANIFEST:
                    manifest = json.load(content) if content else manifest
                    continue
                digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
                found[member.name] = {"size": member.size, "sha256": digest}
    except tarfile.ReadError as error:
        if not is_archive:
            raise StackError(f"{file} is no archive of ./scripts/backup; name one") from error
        raise StackError(f"{damaged} ({error})") from error
    except (tarfile.TarError, ValueError) as error:
        raise StackError(f"{damaged} ({error})") from error
    if not is_archive:
        raise StackError(f"{file} is no archive of ./scripts/backup; name one")
    if not manifest:
        raise StackError(f"{damaged} (it has no manifest)")
    if manifest.get("format") != FORMAT:
        raise StackError(f"{file} was made by a newer pyfunc-stack; restore it by that")
    if wrong := sorted(
        name for name in {*found, *manifest["files"]} if found.get(name) != manifest["files"].get(name)
    ):
        raise StackError(f"{damaged} ({wrong[0]} is not as it was)")
    archive.seek(0)
    return manifest


def _in_words(figures: Mapping[str, int]) -> str:
    """Write how much of each kind there is."""
    kinds = ((kind, count) for kind, count in figures.items() if kind != "bytes")
    counts = [f"{count:,} {kind}{'' if count == 1 else 's'}" for kind, count in kinds]
    return f"{', '.join(counts)} ({size_text(figures['bytes'])})"

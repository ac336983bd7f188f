"""OUTPUT appears whole or not at all: it is written beside its place, counted, and then renamed."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyarrow import parquet

from scorer.caller import stay
from scorer.job import ScoringError, Written

MANIFEST = "_manifest.json"
_LOCK = "_lock"


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """Make the directory in which OUTPUT is written; remove it at the end, if it is there still.

    While this runs, a second one for the same OUTPUT is refused. What a killed one left is removed.

    Raises:
        ScoringError: if OUTPUT exists, another run writes it, or its directory can't be written.

    """
    directory = output.with_name(f".{output.name}.scoring")
    _check_absent(output)
    with writing(directory):
        directory.mkdir(exist_ok=True)
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with writing(directory):
            _lock(lock, directory, output)
            _check_absent(output)  # whoever had the lock may have ended well
            for left in directory.iterdir():
                if left.name != _LOCK:
                    _remove_left(left)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)  # it is OUTPUT now, or an error is under way
    finally:
        os.close(lock)


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Say in a sentence why the directory, which `staging` has made, can't be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ScoringError(
                f"there is no room in {directory.parent}; make room, then run this again"
            ) from error
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ScoringError(
            f"can't write into {directory.parent}: {why}; correct that, or choose another OUTPUT"
        ) from error


def _remove_left(left: Path) -> None:
    try:
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    except OSError as error:
        raise ScoringError(
            f"can't remove {error.filename or left}, which a former run has left: {error.strerror}; remove"
            " it, or choose another OUTPUT"
        ) from error


def _check_absent(output: Path) -> None:
    if os.path.lexists(output):
        raise ScoringError(f"{output} exists; choose another OUTPUT, or remove it")


def _lock(lock: int, directory: Path, output: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have renamed or removed the directory meanwhile.
        if os.path.samestat(os.fstat(lock), (directory / _LOCK).stat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise ScoringError(f"another run is writing {output}; wait until it ends, or choose another OUTPUT")


def commit(
    directory: Path, output: Path, written: Sequence[Written], rows: int | None, manifest: dict[str, Any]
) -> dict[str, Any]:
    """Put what was written into the place of OUTPUT, with a manifest; return that.

    ``written`` has one file for each part; others are removed. ``rows`` is how many the input has, if it
    says.

    Raises:
        ScoringError: if rows are missing, or OUTPUT has come to exist.

    """
    names = {}
    found = 0
    for number, each in enumerate(sorted(written, key=lambda each: each.number)):
        try:
            found += parquet.read_metadata(directory / each.file).num_rows
        except FileNotFoundError:
            raise ScoringError(
                f"{each.file} was written, but not into {directory} of this machine; choose an OUTPUT that"
                " all machines see"
            ) from None
        except PermissionError:
            raise ScoringError(
                f"this user may not read {each.file}, which an executor has written; let executors write"
                " files that others may read (umask 022), or run them as this user"
            ) from None
        names[each.file] = f"part-{number:05d}.parquet"
    expected = rows if rows is not None else sum(each.rows for each in written)
    if found != expected:
        raise ScoringError(
            f"{found} rows were written of {expected}; run this again, on files that nobody writes"
        )
    manifest = {**manifest, "rows": found, "files": list(names.values())}
    with writing(directory):
        for file in list(directory.iterdir()):
            if file.name in names:
                _sync(file.rename(directory / names[file.name]))
            elif file.is_dir():
                shutil.rmtree(file, ignore_errors=True)  # nothing that matters; what stays, readers leave out
            elif file.name != _LOCK:
                file.unlink()
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        _sync(directory / MANIFEST)
        _sync(directory)
        stay()
        _check_absent(output)
        directory.rename(output)
    with suppress(OSError):  # OUTPUT is whole, whatever becomes of the mark
        (output / _LOCK).unlink()
        _sync(output.parent)
    return manifest


def _sync(path: Path) -> None:
    """Wait until a file or a directory is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

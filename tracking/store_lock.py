"""Whoever copies the stores, or takes something out of them: a backup is alone with other backups."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from database import StoreError

_FILE = ".stores.lock"


def reading() -> AbstractContextManager[None]:
    """Keep out whoever changes the stores; StoreError if somebody does.

    The tracking server and its clients, who only add to them, do not count.
    """
    return _locked(fcntl.LOCK_SH)


def changing() -> AbstractContextManager[None]:
    """Keep out whoever reads or changes the stores; StoreError if somebody does."""
    return _locked(fcntl.LOCK_EX)


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    """Hold the lock as long as this process lives, at most."""
    file = Path(os.environ["STORE_DIRECTORY"]) / _FILE
    try:
        opened = file.open("a")
    except OSError as error:
        raise StoreError(f"can't write {file} ({error.strerror}); make its directory writable") from error
    with opened:
        try:
            fcntl.flock(opened, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                "another ./scripts/backup, restore or gc is running; wait until it ends"
            ) from None
        yield

"""The files of the artifacts, wherever they lie: in a directory, or in a bucket."""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class File:
    """A file: its name below the root of the artifacts, its size in bytes, and when it was last changed.

    The time is in seconds since the epoch.
    """

    name: str
    size: int
    modified: float


class Artifacts(Protocol):
    """Where the artifacts lie."""

    def files(self) -> Iterator[File]:
        """List all files."""

    def read(self, name: str) -> AbstractContextManager[tuple[IO[bytes], int] | None]:
        """Open a file; yield it and its size, or None if it is not there any more."""

    def write(self, name: str, content: IO[bytes]) -> None:
        """Write a file, in place of one that is there."""


class Directory:
    """Artifacts in a directory."""

    def __init__(self, root: str) -> None:
        """It need not be there yet."""
        self._root = Path(root)

    def files(self) -> Iterator[File]:
        """List all files."""
        for directory, inner, names in os.walk(self._root):
            inner.sort()
            for name in sorted(names):
                path = Path(directory, name)
                try:
                    found = path.stat()
                except FileNotFoundError:  # deleted just now
                    continue
                yield File(path.relative_to(self._root).as_posix(), found.st_size, found.st_mtime)

    @contextmanager
    def read(self, name: str) -> Iterator[tuple[IO[bytes], int] | None]:
        """Open a file; yield it and its size, or None if it is not there any more."""
        try:
            file = (self._root / name).open("rb")
        except FileNotFoundError:
            yield None
            return
        with file:
            yield file, os.fstat(file.fileno()).st_size

    def write(self, name: str, content: IO[bytes]) -> None:
        """Write a file, in place of one that is there."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file, _BLOCK)


def at(uri: str, endpoint: str) -> Artifacts:
    """Return the artifacts at what ARTIFACTS_DESTINATION names."""
    if uri.startswith("s3://"):
        from bucket import Bucket

        return Bucket(uri, endpoint)
    return Directory(uri)

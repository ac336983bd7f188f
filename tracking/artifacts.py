"""The files of the artifacts, wherever they lie: in a directory, or in a bucket."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

_BLOCK = 1024 * 1024
PARTIAL = ".artifact.uploading."
"""How the names of files begin that are not whole yet: MLflow's own, which it lists nowhere."""


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

    def files(self, under: str = "") -> Iterator[File]:
        """List all files or, if named, those of one directory, whose name ends with a slash."""

    def read(self, name: str) -> AbstractContextManager[tuple[IO[bytes], int] | None]:
        """Open a file; yield it and its size, or None if it is not there any more."""

    def write(self, name: str, content: IO[bytes]) -> None:
        """Write a file, in place of one that is there."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, which may be gone already."""


class Directory:
    """Artifacts in a directory."""

    def __init__(self, root: str) -> None:
        """Take its path; it need not be there yet."""
        self._root = Path(root)

    def files(self, under: str = "") -> Iterator[File]:
        """List all files or, if named, those of one directory, whose name ends with a slash."""
        for directory, inner, names in os.walk(self._root / under):
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
        """Write a file, in place of one that is there, in one step."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL}restored")
        with partial.open("wb") as file:
            shutil.copyfileobj(content, file, _BLOCK)
        partial.replace(path)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, which may be gone already, and the directories that are empty then."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)
        inside = {parent for name in names for parent in PurePosixPath(name).parents[:-1]}
        for directory in sorted(inside, reverse=True):  # the inner ones come first
            with suppress(OSError):  # something else is in it
                (self._root / directory).rmdir()


def at(uri: str, endpoint: str) -> Artifacts:
    """Return the artifacts at what ARTIFACTS_DESTINATION names."""
    if uri.startswith("s3://"):
        from bucket import Bucket

        return Bucket(uri, endpoint)
    return Directory(uri)

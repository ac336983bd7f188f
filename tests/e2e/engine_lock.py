"""Who uses the Docker engine, and who restarts it, when tests run in several processes at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class EngineLock:
    """Held by each process from its first test with Docker on until it ends: as long as its stacks last."""

    file: IO[str]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process has stacks in Docker, and let none bring one up meanwhile."""
        fcntl.flock(self.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.file, fcntl.LOCK_SH)


@contextmanager
def engine_lock(directory: Path) -> Iterator[EngineLock]:
    """Hold the lock of a run, together with others; the directory is that of all its processes."""
    with (directory / "docker-engine.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield EngineLock(file)

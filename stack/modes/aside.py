"""Packages that no service has, in the state directory: installed on first use, by a lock of their own."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.interruptible import run_interruptibly

_LOCK = "lock"


@dataclass(frozen=True)
class Aside:
    """What lock/LOCK.txt pins; ``takes`` says how long it takes, or what is fetched.

    ``error`` makes an error of how an install has ended, and of what uv has said.
    """

    name: str
    lock: str
    takes: str
    error: Callable[[str, str], StackError]

    def prepare(self, home: Path, on_wait: Callable[[], None] = lambda: None) -> Path:
        """Install it, if it is not there; return the directory. An exception of ``on_wait`` ends that.

        Raises:
            StackError: if it can't be installed, with what uv says.

        """
        digest = hashlib.sha256((CHECKOUT / "lock" / f"{self.lock}.txt").read_bytes()).hexdigest()[:8]
        directory = home / self.name.lower() / digest
        if not directory.exists():
            directory.parent.mkdir(parents=True, exist_ok=True)
            with (directory.parent / _LOCK).open("w") as file:
                self._acquire(file)
                if not directory.exists():  # whoever had the lock may have made it
                    self._install(directory, on_wait)
        return directory

    def _acquire(self, file: IO[str]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run installs {self.name}; this waits for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)

    def _install(self, directory: Path, on_wait: Callable[[], None]) -> None:
        for left in directory.parent.glob("*.*"):  # by a run that was killed; another release may be in use
            shutil.rmtree(left, ignore_errors=True)
        # Of one that was killed, uv may still write.
        partial = directory.with_name(f"{directory.name}.{os.getpid()}")
        print(f"installing {self.name} (once, {self.takes})", flush=True)
        try:
            made = run_interruptibly(
                ["bash", "-c", '. scripts/lib.sh; make_aside "$@"', "make_aside", self.lock, str(partial)],
                on_wait,
                environment=os.environ,
                directory=CHECKOUT,
            )
            if made.how:
                raise self.error(made.how, made.output + made.log)
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

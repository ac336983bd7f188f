"""Local processes that outlive the command that started them, each known by a name.

A process holds a lock on a file of that name for as long as it lives (it inherits the locked file), so
"is it running" has one answer for every command, and a process id that now belongs to somebody else is
never taken for ours. The file's text is the process id, and a note if one was given. What a process
starts inherits a variable that names the lock file; /proc shows which processes have it, so on Linux only.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from stack.config import read_env_file
from stack.errors import StackError
from stack.stores import SETTINGS
from stack.wait import Clock, wait_until

_MARK = "PYFUNC_STACK_PROCESS"
# Such settings in the user's shell are for the user's own servers, or have been read by stack.config.
_FOREIGN = (
    *("MLFLOW_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY", "SERVER_", "SERVING_", "PYTHONPATH"),
    *("GATEWAY_SECRET", "GATEWAY_ORIGIN"),
    *SETTINGS,
)


@dataclass(frozen=True)
class Process:
    """One named process with its state under ``home``: run/NAME.lock and logs/NAME.log, or another log."""

    home: Path
    name: str
    clock: Clock = field(default_factory=Clock)
    log_name: str = ""

    @property
    def log(self) -> Path:
        """Where its output goes; it begins anew when the process starts, unless another still writes it."""
        return self.home / "logs" / f"{self.log_name or self.name}.log"

    @property
    def lock(self) -> Path:
        """The file that it holds locked."""
        return self.home / "run" / f"{self.name}.lock"

    def start(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        note: str = "",
        *,
        keeps_log: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start it in a session of its own, so that it does not get a terminal's Ctrl-C; keep a ``note``.

        ``keeps_log`` keeps a log that another process still writes to.

        Raises:
            StackError: if one of that name is running.

        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.claim() as lock, self.log.open("ab") as log:
            if not keeps_log:
                log.truncate(0)
            child = subprocess.Popen(
                command,
                env={**env, _MARK: str(self.lock)},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
            try:
                write_pid(lock, child.pid, note)
            except OSError:  # no room on the disk
                child.kill()
                raise
        return child

    def claim(self, note: str = "") -> IO[str]:
        """Lock the file for this process itself; closing the file, or the end of the process, unlocks it.

        Raises:
            StackError: if a process of that name is running.

        """
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        file = self.lock.open("a+")
        try:
            # Whoever asks `is_running` holds the lock for an instant, hence more than one try.
            wait_until(lambda: _try_lock(file, fcntl.LOCK_EX), timeout=0.5, clock=self.clock)
        except StackError:
            file.close()
            raise StackError(
                f"{self.name} is already running (process {self.pid()}); wait until it ends,"
                " or run: ./scripts/down"
            ) from None
        write_pid(file, os.getpid(), note)
        return file

    def pid(self) -> int | None:
        """Return the id of the process that holds the lock, or held it last; None if that is not known."""
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            return int(self.lock.read_text().split()[0])
        return None

    def note(self) -> str:
        """Return the note that was given to the process that holds the lock, or held it last."""
        return self.lock.read_text().partition(" ")[2]

    def started_at(self) -> datetime:
        """Return when the process that holds the lock was started."""
        return datetime.fromtimestamp(self.lock.stat().st_mtime, UTC)

    def is_running(self) -> bool:
        """Whether the process runs."""
        try:
            with self.lock.open() as file:
                return _try_lock(file, fcntl.LOCK_SH) is not None
        except OSError:  # there is no such file, so there was never such a process
            return False

    def members(self) -> list[int]:
        """Return the ids of all running processes that were started under this name (if there is /proc)."""
        return processes_with(_MARK, str(self.lock))

    def stop(self, grace: float = 15) -> None:
        """Stop it and what it started: SIGTERM, after ``grace`` seconds SIGKILL. Returns when it has ended.

        Raises:
            StackError: if it still runs after that.

        """
        if self._ended() is None:
            return
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5)):
            self._signal(number)
            with contextlib.suppress(StackError):
                wait_until(self._ended, timeout=patience, clock=self.clock)
                return
        raise StackError(f"process {self.pid()} ({self.name}) does not stop; kill it by hand")

    def _signal(self, number: signal.Signals) -> None:
        pids = set(self.members())
        if self.is_running() and (pid := self.pid()):
            pids.add(pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _ended(self) -> str | None:
        return "alive" if self.is_running() or self.members() else None

    def log_tail(self, lines: int = 20) -> str:
        """Return the end of its log, indented."""
        if not self.log.exists():
            return "    (it has no log)"
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in tail) or "    (its log is empty)"


def processes_with(variable: str, value: str) -> list[int]:
    """Return the ids of the running processes that have this environment variable (where there is /proc)."""
    wanted = f"{variable}={value}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def part_environment(environ: Mapping[str, str], /, *settings: Path, **values: str) -> dict[str, str]:
    """Return the environment of a part: the user's, then the part's settings files, then ``values``.

    A file that is not there sets nothing.

    Raises:
        StackError: if a file can't be read.

    """
    own = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}
    for file in settings:
        own |= {name: value for name, value in read_env_file(file).items() if value is not None}
    return own | values


def failure(process: Process, what: str) -> StackError:
    """Return the error that says what happened to ``process``, and shows the end of its log."""
    return StackError(f"{process.name} {what}. The end of its log, {process.log}:\n{process.log_tail()}")


def _try_lock(file: IO[str], kind: int) -> str | None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return "locked"
    return None


def write_pid(file: IO[str], pid: int, note: str = "") -> None:
    """Write into a lock file which process holds it."""
    file.truncate(0)
    file.write(f"{pid} {note}".strip())
    file.flush()

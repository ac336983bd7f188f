"""What a command takes, with all that it starts: seconds, CPU seconds, memory. On Linux only.

All processes have a variable in their environment, by which their memory is found. Their CPU seconds are the
kernel's own sum over children that have ended: a process hands on what its children took, and this one
becomes the parent of those that lost theirs, for as long as it measures. So none is missed, however short.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from stack.errors import StackError
from stack.modes.processes import processes_with
from stack.wait import wait_until
from tests.bench.measure import memory

_MARK = "PYFUNC_STACK_METER"
_BECOME_PARENT_OF_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_EVERY = 0.1  # seconds between two looks at the memory
_PAUSE = 9  # times as long as a look takes, at least: it walks all pages, while others wait for the processor
_LIMIT = 3600  # seconds

Service = Callable[[Mapping[str, str]], AbstractContextManager[None]]
"""What must run while a command is measured, given the environment that its processes are to have."""


@dataclass(frozen=True)
class Used:
    """What it took to score that many ``rows``; ``memory`` is the most at one time of all processes [MB]."""

    rows: int
    seconds: float
    cpu: float
    memory: float


def alone(_: Mapping[str, str]) -> AbstractContextManager[None]:
    """Run nothing else."""
    return nullcontext()


def measure(
    command: list[str],
    environment: Mapping[str, str],
    log: Path,
    cwd: Path,
    rows: int,
    service: Service = alone,
) -> Used:
    """Run a command to its end; what it prints goes to ``log``.

    Of a service, the memory counts, and the CPU seconds from when the command starts until it has stopped.

    Raises:
        StackError: if it fails, with the end of that.

    """
    mark = uuid.uuid4().hex
    marked = {**environment, _MARK: mark}
    _adopt_orphans(adopt=True)
    try:
        with service(marked):
            before = _cpu_of_ended() + sum(map(_cpu_of, processes_with(_MARK, mark)))
            with _Memory(mark) as most:
                since = time.monotonic()
                _run(command, marked, log, cwd)
                seconds = time.monotonic() - since
    finally:
        _end(mark)
        with contextlib.suppress(StackError):
            wait_until(_children_left, timeout=1)
        used = _cpu_of_ended()
        _adopt_orphans(adopt=False)
    return Used(rows, seconds, used - before, most.found)


def _run(command: list[str], environment: Mapping[str, str], log: Path, cwd: Path) -> None:
    with log.open("wb") as out:
        done = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            status = done.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            raise StackError(f"{' '.join(command)} has not ended after {_LIMIT} s") from None
    if status != 0:
        tail = log.read_text(errors="replace")[-2000:]
        raise StackError(f"{' '.join(command)} exited {status}:\n{tail}")


@dataclass
class _Memory(AbstractContextManager["_Memory"]):
    """Looks at the memory of the marked processes again and again; ``found`` is the most, in MB."""

    mark: str
    found: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> "_Memory":
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            since = time.thread_time()
            self.found = max(self.found, sum(map(_memory_of, processes_with(_MARK, self.mark))))
            pause = max(_EVERY, _PAUSE * (time.thread_time() - since))


def _memory_of(pid: int) -> float:
    with contextlib.suppress(OSError):  # it has ended
        return memory([pid])
    return 0.0


def _cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, and of those of its children that have ended."""
    with contextlib.suppress(OSError):
        # After the name, which may hold anything, stand the state and 10 more fields: proc_pid_stat(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0


def _cpu_of_ended() -> float:
    """Return the CPU seconds of all children of this process that have ended, and of their children."""
    _children_left()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _children_left() -> str | None:
    """Let go of the children that have ended, which adds their times to this process's; None if all have."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return "there are children"
    return None


def _adopt_orphans(*, adopt: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_BECOME_PARENT_OF_ORPHANS, int(adopt), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _end(mark: str) -> None:
    """Wait until all marked processes have ended; kill what takes longer, as after Ctrl-C."""

    def left() -> str | None:
        return "alive" if processes_with(_MARK, mark) else None

    with contextlib.suppress(StackError):
        wait_until(left, timeout=5)
        return
    for pid in processes_with(_MARK, mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(left, timeout=5)

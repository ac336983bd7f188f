"""A command watched from outside: what it prints, what its parts log, what answers meanwhile."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stack.errors import StackError
from tests.bench.load import ask, http_request
from tests.bench.servers import predictions
from tests.bench.timeline import Line
from tests.e2e.stacks import CLASSES, EXAMPLE

# Looking takes a share of the two cores, so it is not done more often than a tenth of a second needs.
_EVERY = 0.05  # seconds
_PATIENCE = 2  # seconds; a connection that a stopped server had taken must not hide the next one's answer
_RIGHT_WITHIN = 60  # seconds after the end of the command
_REQUEST = http_request("/invocations", EXAMPLE.encode())


def answers_right(port: int) -> bool:
    """Ask for predictions; return whether there is an answer.

    Raises:
        StackError: if there is one, and it is wrong.

    """
    try:
        status, body = ask(port, _REQUEST, _PATIENCE)
    except (OSError, StackError):
        return False
    if status != 200:
        return False
    if predictions(body) != CLASSES:
        raise StackError(f"a wrong answer, so its time means nothing: {body[:300]!r}")
    return True


@dataclass
class Tail:
    """A log file that is followed: what has been in it before does not count."""

    file: Path
    _read: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin at the end."""
        self._read = self._size()

    def _size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def new_lines(self) -> list[Line]:
        """Return the lines that have been completed since the last time."""
        if (size := self._size()) < self._read:  # begun anew
            self._read = 0
        if size == self._read:
            return []
        with self.file.open("rb") as log:
            log.seek(self._read)
            whole = log.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._read += len(whole) + 1
        return [Line(time.time(), text) for text in whole.decode(errors="replace").splitlines()]


@dataclass
class Watched:
    """What was seen of a command; times in seconds since the epoch."""

    since: float
    ended: float = 0.0
    settled: float = 0.0
    """When the first right answer came that was asked for after the command's end."""
    lines: list[Line] = field(default_factory=list)
    healthy: float | None = None
    """When tracking became healthy; None if it was so all the time."""
    answered: dict[str, float] = field(default_factory=dict)
    """When each version gave its first right answer; at ``since``, where it had been served before."""
    pause: float = 0.0
    """The longest time without a right answer [s], from the first on."""

    def note_answer(self, version: str, asked: float, last: float) -> float:
        """Note a right answer of now, asked for at ``asked``; ``last`` was the one before. Return now."""
        now = time.time()
        if self.answered:
            self.pause = max(self.pause, now - last)
        self.answered.setdefault(version, now)
        if self.ended and asked >= self.ended:
            self.settled = now
        return now


@dataclass
class Watcher:
    """Watches commands: ``is_healthy`` asks the tracking server, ``version`` names what answers right."""

    is_healthy: Callable[[], bool]
    version: Callable[[], str | None]
    logs: list[Path] = field(default_factory=list)

    def run(self, command: list[str], cwd: Path, environment: Mapping[str, str]) -> Watched:
        """Run a command until it has ended and a right answer came after that.

        Raises:
            StackError: if it fails, or an answer is wrong, or none comes.

        """
        tails = [Tail(log) for log in self.logs]
        was_healthy, served = self.is_healthy(), self.version()
        watched = Watched(time.time())
        last = watched.since
        if served:
            watched.answered[served] = last
        with _started(command, cwd, environment, watched) as process:
            while not watched.settled:
                self._note_end(process, watched)
                for tail in tails:
                    watched.lines += tail.new_lines()
                if not was_healthy and watched.healthy is None and self.is_healthy():
                    watched.healthy = time.time()
                asked = time.time()
                if version := self.version():
                    last = watched.note_answer(version, asked, last)
                time.sleep(_EVERY)
        return watched

    def _note_end(self, process: subprocess.Popen[str], watched: Watched) -> None:
        if watched.ended:
            if time.time() - watched.ended > _RIGHT_WITHIN:
                raise StackError(f"no right answer within {_RIGHT_WITHIN} s after the command's end")
        elif process.poll() is not None:
            watched.ended = time.time()
            if process.returncode != 0:
                text = "\n".join(line.text for line in watched.lines)
                raise StackError(f"{process.args!r} exited {process.returncode}:\n{text[-3000:]}")


@contextmanager
def _started(
    command: list[str], cwd: Path, environment: Mapping[str, str], watched: Watched
) -> Iterator[subprocess.Popen[str]]:
    """Start a command whose output is noted; it does not outlive the block."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    reader = threading.Thread(target=_read, args=(process, watched.lines), daemon=True)
    reader.start()
    try:
        yield process
    finally:
        process.kill()
        reader.join(timeout=5)


def _read(process: subprocess.Popen[str], lines: list[Line]) -> None:
    assert process.stdout is not None
    for text in process.stdout:
        lines.append(Line(time.time(), text.rstrip("\n")))  # noqa: PERF401 - each has its own time

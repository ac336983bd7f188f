"""The only poller, and the lines that show a person what is waited for."""

import http.client
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO
from urllib.parse import urlsplit

from stack.errors import StackError


@dataclass(frozen=True)
class Clock:
    """Time as the poller sees it, in seconds; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Progress:
    """Shows what goes on and for how long: in one line of a terminal, else in a line every 10 seconds."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    clock: Clock = field(default_factory=Clock)
    _what: str = ""
    _since: float = 0.0
    _told: float = 0.0

    def start(self, what: str) -> None:
        """Say that ``what`` has begun."""
        self._what, self._since, self._told = what, self.clock.now(), self.clock.now()
        self._write(f"==> {what}", end="" if self.out.isatty() else "\n")

    def tick(self) -> None:
        """Say that it is still going on: each second on a terminal, else every 10 seconds."""
        if self.clock.now() - self._told >= (1 if self.out.isatty() else 10):
            self._told = self.clock.now()
            seconds = f"{self._told - self._since:.0f} s"
            if self.out.isatty():
                self._write(f"\r==> {self._what} ... {seconds}", end="")
            else:
                self._write(f"    still {self._what} ({seconds})")

    def done(self) -> None:
        """Say that it is done, and how long it took."""
        seconds = f"{self.clock.now() - self._since:.1f} s"
        self._write(f"\r==> {self._what}: {seconds}\033[K" if self.out.isatty() else f"    done in {seconds}")

    def fail(self) -> None:
        """Leave the line on a terminal, so that the error that follows has one of its own."""
        if self.out.isatty():
            self._write("")

    def _write(self, text: str, end: str = "\n") -> None:
        self.out.write(text + end)
        self.out.flush()


def wait_until(
    ready: Callable[[], str | None],
    *,
    timeout: float,
    alive: Callable[[], bool] = lambda: True,
    on_wait: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
    interval: float = 0.05,
) -> None:
    """Call ``ready`` every ``interval`` seconds until it returns None; a text says why it is not ready yet.

    Raises:
        StackError: as soon as ``alive`` returns False, or after ``timeout`` seconds, with the last reason.

    """
    clock = clock or Clock()
    deadline = clock.now() + timeout
    while (reason := ready()) is not None:
        if not alive():
            raise StackError(f"it ended before it was ready ({reason})")
        if clock.now() >= deadline:
            raise StackError(f"not ready after {timeout:.0f} s ({reason})")
        on_wait()
        clock.sleep(interval)


def health_status(url: str) -> int:
    """Ask ``url``/health once; return the status.

    The connection is direct: local processes must not use a proxy that is set in the environment.

    Raises:
        OSError, http.client.HTTPException: if there is no answer.

    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def not_healthy(url: str) -> str | None:
    """Ask ``url``/health once; return None if it answers 200, else the reason."""
    try:
        status = health_status(url)
    except (OSError, http.client.HTTPException) as error:
        return f"{url}/health: {error}"
    return None if status == 200 else f"{url}/health: expected status 200, found {status}"

"""When the event loop asks the model by itself, without a thread: for a small request to a quick model."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from model_server.settings import Settings

# A model is quick if it takes less than a millisecond on average; larger requests are not looked at. The
# average is one of about so many requests. It begins with a second, so it takes 140 requests to become quick.
_QUICK = 0.001
_SMALL = 16 * 1024
_REQUESTS = 20


class BusyError(Exception):
    """Another worker asks the model without a thread at this moment."""


class Pace:
    """How quick the model is, as far as one worker has seen.

    A worker whose event loop asks the model answers nothing else meanwhile, and the model may be slow for
    once. So only one worker at a time does that: the others accept new connections, and answer health checks.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the lock that the workers share once they are forked."""
        self._is_possible = settings.workers > 1 and settings.threads == 1 and settings.preload is not False
        self._seconds = 1.0
        self._lock = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the process runs

    def note(self, size: int, seconds: float) -> None:
        """Note how long the answer to a request of so many bytes took."""
        if size <= _SMALL:
            self._seconds += (seconds - self._seconds) / _REQUESTS

    def is_quick(self, size: int) -> bool:
        """Whether a request of so many bytes may be answered without a thread."""
        return self._is_possible and self._seconds < _QUICK and size <= _SMALL

    def never(self) -> None:
        """Let the model be asked in its thread only, from now on."""
        self._is_possible = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the other workers from asking without a thread.

        Raises:
            BusyError: if one of them does so now.

        """
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError from error
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

"""The caller of this process: it writes a job to stdin, reads events, and ends the job by closing stdin."""

import json
import os
import select
import signal
import threading
import time
from types import FrameType
from typing import IO, Any, NoReturn

_STDIN = 0
_ENDED_WITHIN = 10  # seconds
_stays = threading.Event()


class CallerGoneError(BaseException):
    """Nobody waits for the job any more. Whatever a model catches, it should let this pass."""


def end_with_caller() -> None:
    """Raise CallerGoneError in this, the main thread, when stdin ends, or at SIGTERM.

    A model may be at work that does not let that happen; then all ends without it, after a while.
    """
    signal.signal(signal.SIGTERM, _leave)
    main = threading.get_ident()
    threading.Thread(target=_watch, args=(main,), name="caller", daemon=True).start()


def stay() -> None:
    """Let nothing interrupt the job any more: OUTPUT is about to appear, or the last event to be told."""
    _stays.set()


def _leave(_number: int, _frame: FrameType | None) -> None:
    if not _stays.is_set():
        _end()


def _end() -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it has been heard; now this cleans up
    raise CallerGoneError


def _watch(main: int) -> None:
    while os.read(_STDIN, 4096):
        pass
    signal.pthread_kill(main, signal.SIGTERM)  # so that a call that waits is interrupted, too
    time.sleep(_ENDED_WITHIN)
    if not _stays.is_set():
        os._exit(1)


def read_request() -> dict[str, Any]:
    """Return the job: the first line of stdin."""
    line = bytearray()
    while not line.endswith(b"\n"):  # unbuffered, so that what comes after it can be waited for
        if not (byte := os.read(_STDIN, 1)):
            raise CallerGoneError
        line += byte
    request: dict[str, Any] = json.loads(line)
    return request


def take_stdout() -> IO[str]:
    """Keep stdout for the events; what the model prints goes to stderr from now on."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return events


def tell(events: IO[str], **event: Any) -> None:  # noqa: ANN401 - whatever is JSON
    """Write one event as a line of JSON."""
    try:
        events.write(json.dumps(event) + "\n")
        events.flush()
    except BrokenPipeError:
        _end()


def check_caller() -> None:
    """Raise CallerGoneError if stdin has ended."""
    readable, _, _ = select.select([_STDIN], [], [], 0)
    if readable and not os.read(_STDIN, 4096):
        _end()

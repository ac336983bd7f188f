"""The caller of this process: it writes a job to stdin, reads events, and ends the job by closing stdin."""

import json
import os
import select
from typing import IO, Any

STDIN = 0


class CallerGoneError(Exception):
    """Nobody waits for the job any more."""


def read_request() -> dict[str, Any]:
    """Return the job: the first line of stdin."""
    line = bytearray()
    while not line.endswith(b"\n"):  # unbuffered, so that what comes after it can be waited for
        if not (byte := os.read(STDIN, 1)):
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
        raise CallerGoneError from None


def check_caller() -> None:
    """Raise CallerGoneError if stdin has ended."""
    readable, _, _ = select.select([STDIN], [], [], 0)
    if readable and not os.read(STDIN, 4096):
        raise CallerGoneError

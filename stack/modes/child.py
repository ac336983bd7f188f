"""A function in a child process: what it imports takes no memory afterwards."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from stack.errors import StackError
from stack.modes.report import ended_text

_ENDED_WITHIN = 5  # seconds

Found = TypeVar("Found")


def in_a_child(function: Callable[[], Found], what: str) -> Found:
    """Return what the function returns in a child process, which ends with this one.

    Raises:
        StackError: if the function raises it, or the child is killed; ``what`` says what it did.
        KeyboardInterrupt: if either is interrupted.

    """
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(ours, its, function))
    child.start()
    its.close()
    try:
        found: Any = ours.recv()
    except EOFError:
        child.join()
        raise StackError(f"{what} {ended_text(child.exitcode or 0)}; run this again") from None
    except KeyboardInterrupt:
        child.terminate()
        raise
    finally:
        child.join(_ENDED_WITHIN)
        child.kill()  # what it was at may have caught the interruption
        child.join()
        ours.close()
    if isinstance(found, BaseException):
        raise found
    result: Found = found
    return result


def _send(others: Connection, connection: Connection, function: Callable[[], Any]) -> None:
    others.close()  # else nothing would break when the parent ends
    threading.Thread(target=_end_with_parent, args=(threading.get_ident(),), daemon=True).start()
    try:
        found: Any = function()
    except StackError as error:
        found = StackError(str(error))
    except KeyboardInterrupt:
        found = KeyboardInterrupt()
    with suppress(BrokenPipeError):  # nobody waits for it any more
        connection.send(found)


def _end_with_parent(main: int) -> None:
    """Interrupt the child when its parent is killed, so that it ends what it has started."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(_ENDED_WITHIN)
    os._exit(1)

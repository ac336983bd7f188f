"""A command that may take long, and is ended when the deployment is asked to stop."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from stack.errors import StackError
from stack.modes.report import ended_text
from stack.wait import wait_until

_STOPPED_WITHIN = 0.2  # seconds


@dataclass(frozen=True)
class Ended:
    """What a command has written, and how it failed; ``how`` is empty if it did not."""

    how: str
    output: str
    log: str


def run_interruptibly(
    command: list[str],
    on_wait: Callable[[], None],
    *,
    environment: Mapping[str, str],
    directory: Path,
    request: str = "",
    timeout: float = math.inf,
) -> Ended:
    """Run a command, which gets the request on stdin, for at most ``timeout`` seconds.

    An exception of ``on_wait`` ends it, and all that it has started.
    """
    with TemporaryFile() as asked, TemporaryFile() as output, TemporaryFile() as log:
        asked.write(request.encode())
        asked.seek(0)
        process = subprocess.Popen(
            command,
            stdin=asked,
            stdout=output,
            stderr=log,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
        how = ""
        try:
            wait_until(
                lambda: "it is at work" if process.poll() is None else None, timeout=timeout, on_wait=on_wait
            )
        except StackError as error:
            how = str(error)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode != 0 and not how:
            # Who stops a stack ends this command and the deployment, in any order.
            time.sleep(_STOPPED_WITHIN)
            on_wait()
        for file in (output, log):
            file.seek(0)
        if not how and process.returncode != 0:
            how = f"its process {ended_text(process.returncode)}"
        return Ended(how, *(file.read().decode(errors="replace") for file in (output, log)))

"""How a model answers its own input example: by `mlflow models predict`, in a process of its own."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryFile

from stack.errors import StackError
from stack.modes.mode import LOG_LINES
from stack.modes.report import ended_text
from stack.wait import wait_until

# Besides the time for an answer: Python, MLflow and the model are loaded first.
_LOADED_WITHIN = 120  # seconds


def answer_command(python: str, model: str) -> list[str]:
    """Build the command line by which MLflow reads a request from stdin, and writes the answer to stdout.

    What the model prints goes to stderr.
    """
    predict = ("-P", "-m", "mlflow", "models", "predict", "--env-manager=local", "--content-type=json")
    only_the_answer = 'exec "$@" --output-path=/dev/fd/3 3>&1 1>&2'
    return ["sh", "-c", only_the_answer, "sh", python, *predict, f"--model-uri={model}"]


def answered(
    command: list[str],
    request: str,
    *,
    environment: Mapping[str, str],
    directory: Path,
    timeout: int,
    on_wait: Callable[[], None],
) -> str:
    """Run a command that reads the request and writes the answer; return that.

    ``timeout`` [s] is what an answer may take, besides the loading. An exception of ``on_wait`` ends it.

    Raises:
        StackError: if it fails or takes too long, with the last lines of what else it wrote.

    """
    with TemporaryFile() as asked, TemporaryFile() as answer, TemporaryFile() as log:
        asked.write(request.encode())
        asked.seek(0)
        process = subprocess.Popen(
            command,
            stdin=asked,
            stdout=answer,
            stderr=log,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
        why = ""
        try:
            wait_until(
                lambda: "it is at work" if process.poll() is None else None,
                timeout=_LOADED_WITHIN + timeout,
                on_wait=on_wait,
            )
        except StackError as error:
            why = str(error)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for file in (answer, log):
            file.seek(0)
        if why or process.returncode != 0:
            lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
            how = why or f"its process {ended_text(process.returncode)}"
            raise StackError("\n    ".join([f"{how}. The end of what it wrote:", *lines]))
        return answer.read().decode(errors="replace")

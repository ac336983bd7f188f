"""How a model answers its own input example: by `mlflow models predict`, in a process of its own."""

from collections.abc import Callable, Mapping
from pathlib import Path

from stack.errors import StackError
from stack.modes.interruptible import run_interruptibly
from stack.modes.mode import LOG_LINES

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
    ended = run_interruptibly(
        command,
        on_wait,
        environment=environment,
        directory=directory,
        request=request,
        timeout=_LOADED_WITHIN + timeout,
    )
    if ended.how:
        lines = ended.log.splitlines()[-LOG_LINES:]
        raise StackError("\n    ".join([f"{ended.how}. The end of what it wrote:", *lines]))
    return ended.output

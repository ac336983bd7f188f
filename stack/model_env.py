"""The variables of the user's own model, from model.env: read by rules that are Compose's, too."""

import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from stack.errors import StackError

# What the stack sets in the environment of the trainer or the model server, in either mode.
OWN = (
    "GATEWAY_SECRET",
    "HOME",
    "IMAGE_ID",
    "MLFLOW_DISABLE_TELEMETRY",
    "MODEL_VERSION",
    "PYFUNC_STACK_PROCESS",
    "PYTHONPATH",
    "SERVER_HOST",
    "SERVER_OWN_PORT",
    "SERVER_PORT",
    "SERVER_SERVICE_NAMES",
    "__pyfunc_model_path__",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# What Compose and dotenv read differently, by the quote that a value begins with.
_DIFFERS = {"'": re.compile(r"\\\\"), '"': re.compile(r"\$|\\['0]"), "": re.compile(r"\$|^#|[^\S ]#")}


def read_model_env(file: Path, settings: Collection[str]) -> dict[str, str]:
    """Return what the file sets; nothing if there is no file. ``settings`` are the names that .env sets.

    Raises:
        StackError: if it can't be read, or sets one of those, or what the stack sets by itself.

    """
    try:
        values = dict(_variables(file.read_bytes().decode(), file))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"can't read {file} ({error}); correct or remove it") from error
    for name in values:
        if name in settings:
            raise StackError(f"{file.name} sets {name}, which is set in .env; move it there")
        if name in OWN:
            raise StackError(f"{file.name} sets {name}, which the stack sets by itself; remove it")
    return values


def _variables(text: str, file: Path) -> Iterator[tuple[str, str]]:
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is None and not binding.error:  # a comment
            continue
        if binding.key is None or binding.value is None or not _NAME.fullmatch(binding.key):
            raise StackError(f"{file.name}, line {_line(binding)}: expected NAME=VALUE; correct it")
        written = binding.original.string.partition("=")[2].strip()
        quote = written[:1] if written[:1] in ("'", '"') else ""
        if _DIFFERS[quote].search(written):
            raise StackError(
                f"{file.name} sets {binding.key} to a value that Compose would read differently; put it into"
                " single quotes, without two backslashes side by side"
            )
        yield binding.key, binding.value


def _line(binding: Binding) -> int:
    """Return the number of the line on which it stands, after the empty lines that belong to it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")

"""The environments of models without Docker: virtual environments in the state directory."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.build_error import environment_error
from stack.modes.environment import Environment
from stack.modes.interruptible import run_interruptibly

_UV = CHECKOUT / ".venv" / "bin" / "uv"
_LISTED = "packages.txt"


def own_python() -> str:
    """Return the minor version of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def directory_of(home: Path, key: str) -> Path:
    """Return where an environment lies."""
    return home / "environments" / key


def python_of(home: Path, key: str) -> Path | None:
    """Return the Python of an environment; None if it is not there as a whole."""
    directory = directory_of(home, key)
    python = directory / "bin" / "python"
    return python if (directory / _LISTED).exists() and python.exists() else None


def prepare(home: Path, environment: Environment, on_wait: Callable[[], None]) -> str:
    """Make the environment, if it is not there; return the packages that it holds, a line each.

    An exception of ``on_wait`` ends that.

    Raises:
        StackError: if this machine lacks its Python, or its packages can't be resolved or installed, with
            what uv says.

    """
    directory = directory_of(home, environment.key)
    if python_of(home, environment.key) is None:
        python = _find_python(environment.python)
        # Of one that was killed, uv may still write.
        partial = directory.with_name(f"{environment.key}.{os.getpid()}")
        print(f"making an environment: {environment} (once for these requirements)", flush=True)
        try:
            _make(environment, python, partial, on_wait)
            shutil.rmtree(directory, ignore_errors=True)
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return (directory / _LISTED).read_text()


def _make(environment: Environment, python: str, directory: Path, on_wait: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as needs:
        environment.write(Path(needs))
        make = '. scripts/lib.sh; make_environment "$@"'
        made = run_interruptibly(
            ["bash", "-c", make, "make_environment", python, str(directory), needs],
            on_wait,
            environment=os.environ,
            directory=CHECKOUT,
        )
    if made.how:
        raise environment_error(environment, made.how, made.output + made.log)


def unused(home: Path, keys: set[str]) -> list[Path]:
    """Return the directories of all environments but these."""
    return sorted(it for it in (home / "environments").glob("*") if it.name not in keys)


def remove_unused(home: Path, keys: set[str]) -> None:
    """Remove all environments but these."""
    for directory in unused(home, keys):
        shutil.rmtree(directory)


def _find_python(version: str) -> str:
    """Return a Python of that minor version: $PYTHON, one in the PATH, or one that uv knows."""
    tells = f"import sys; sys.exit(sys.version_info[:2] != ({version.replace('.', ', ')}))"
    for named in (os.environ.get("PYTHON", ""), f"python{version}"):
        found = shutil.which(named) if named else None
        if found and subprocess.run([found, "-c", tells], capture_output=True).returncode == 0:
            return found
    known = subprocess.run(
        [_UV, "python", "find", "--no-python-downloads", version], capture_output=True, text=True
    )
    if known.returncode != 0:
        raise StackError(
            f"it was logged with Python {version}, which this machine lacks; install it, or set PYTHON to its"
            " path, and deploy it again"
        )
    return known.stdout.strip()

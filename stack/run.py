"""Run a Python file as a client of this stack: with its tracking server and model name.

python -m stack.run FILE [ARGUMENTS]
"""

import os
import sys
from pathlib import Path

from stack.config import load_config
from stack.errors import exit_status


def main() -> int:
    """Become that Python file; return only if the settings are wrong."""

    def command() -> None:
        environment = {**os.environ, **load_config().client_environment()}
        os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environment)  # noqa: S606 - no shell wanted

    return exit_status(Path(sys.argv[1]).name, command)


if __name__ == "__main__":
    sys.exit(main())

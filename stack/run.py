"""Run a Python file of the model's directory, or else of trainer/, as a client of this stack.

python -m stack.run {train.py | infer.py} [ARGUMENTS]
"""

import os
import sys

from stack.config import CHECKOUT, load_config
from stack.errors import exit_status


def main() -> int:
    """Become that Python file; return only if the settings are wrong."""
    name, arguments = sys.argv[1], sys.argv[2:]

    def command() -> None:
        config = load_config()
        own = config.model_dir / name
        file = own if own.exists() else CHECKOUT / "trainer" / name
        os.chdir(config.model_dir)
        environment = {**os.environ, **config.trainer_environment()}
        os.execve(sys.executable, [sys.executable, str(file), *arguments], environment)  # noqa: S606 - no shell wanted

    return exit_status(name, command)


if __name__ == "__main__":
    sys.exit(main())

"""Run a Python file of the model's directory, or else of trainer/, as a client of this stack."""

import os
import sys

from stack.config import CHECKOUT, load_config


def become(name: str, arguments: list[str]) -> None:
    """Replace this process by that Python file.

    Raises:
        StackError: if the settings are wrong.

    """
    config = load_config()
    own = config.model_dir / name
    file = own if own.exists() else CHECKOUT / "trainer" / name
    os.chdir(config.model_dir)
    environment = {**os.environ, **config.trainer_environment()}
    os.execve(sys.executable, [sys.executable, str(file), *arguments], environment)  # noqa: S606 - no shell wanted

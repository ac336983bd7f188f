"""Run the trainer's programs as clients of this stack, each in place of this process."""

import os
import sys

from stack.config import CHECKOUT, Config, load_config
from stack.modes.choice import check_owner_of_running
from stack.modes.door import trust
from stack.stores import SETTINGS as STORE_SETTINGS
from stack.tracking_settings import CLIENT_SETTINGS


def train(*arguments: str) -> None:
    """Become the trainer of the model; its train.py gets ``arguments``.

    Raises:
        StackError: if the settings are wrong, or the stack that runs here is another checkout's.

    """
    config = load_config()
    if not config.elsewhere:
        check_owner_of_running(config)
    trust(config)
    _become(config, config.trainer_arguments(*arguments))


def infer(*arguments: str) -> None:
    """Become infer.py, the model's own or else that of trainer/, in the model's directory.

    Raises:
        StackError: if the settings are wrong.

    """
    config = load_config()
    trust(config)
    own = config.model_dir / "infer.py"
    os.chdir(config.model_dir)
    _become(config, [str(own if own.exists() else CHECKOUT / "trainer" / "infer.py"), *arguments])


def _become(config: Config, arguments: list[str]) -> None:
    # What is empty is not set; to MLflow's client, an empty path of a certificate would mean to check none.
    # At the gateway, those of the shell do not count.
    given = {
        name: value
        for name, value in os.environ.items()
        if name not in (*CLIENT_SETTINGS, *STORE_SETTINGS)
        or (name in CLIENT_SETTINGS and value and not config.gateway)
    }
    environment = {**given, **config.trainer_environment()}
    os.execve(sys.executable, [sys.executable, *arguments], environment)  # noqa: S606 - no shell wanted

"""What is checked before any process is started, so that a failure leaves nothing behind."""

import shutil
import socket
import tempfile

from stack.config import Config
from stack.errors import StackError

_NEEDED_BYTES = 200 * 1024**2


def check_machine(config: Config) -> None:
    """Check the state directory, the free disk and the ports.

    Raises:
        StackError: at the first that would not do.

    """
    try:
        config.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.home):
            pass
    except OSError as error:
        raise StackError(
            f"can't write to the state directory {config.home} ({error.strerror}); make it writable,"
            " or set STACK_HOME to another"
        ) from error
    free = shutil.disk_usage(config.home).free
    if free < _NEEDED_BYTES:
        raise StackError(
            f"the disk of {config.home} is full: expected {_NEEDED_BYTES // 1024**2} MB free, found"
            f" {free // 1024**2} MB; make room, or set STACK_HOME to a directory on another disk"
        )
    for setting, port, part in (
        ("TRACKING_PORT", config.tracking_port, "the tracking server"),
        ("SERVING_PORT", config.serving_port, "the model server"),
    ):
        _check_port(setting, port, part)


def _check_port(setting: str, port: int, part: str) -> None:
    with socket.socket() as probe:
        # As the servers do, so that a connection that is still closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"{part} can't listen on port {port} ({error.strerror}); stop what uses it,"
                f" or set {setting} to another port"
            ) from error

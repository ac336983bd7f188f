"""The state directory, and what is checked before any process is started."""

import errno
import shutil
import socket
import tempfile
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.owner import OwnerError, is_another
from stack.modes.processes import Process

# What the stack without Docker needs to start at all.
NEEDED_BYTES = 200 * 1024**2

_LOOPBACK = "127.0.0.1"

# What lies in the state directory. The marker shows that it may be deleted, and names the checkout.
MARKER = ".pyfunc-stack"
_DATABASE = ("mlflow.db", "mlflow.db-journal", "mlflow.db.new", "mlflow.db.new-journal")
_OLD_DATABASES = "mlflow.db.old-*"  # kept by migrations
_DATA = (*_DATABASE, ".stores.lock", "artifacts", "models", "logs", "run", "gateway", MARKER)
# What may be there before the first `up`: of a gateway in Docker, and what `down --volumes` leaves.
_BEFORE = {"gateway", "caddy", "environments", "spark"}


def holds_others(home: Path) -> bool:
    """Whether a directory holds what no command makes in a state directory before the first `up`."""
    return not {path.name for path in home.iterdir()} <= _BEFORE


def prepare_home(config: Config) -> None:
    """Make the state directory.

    Raises:
        OwnerError: if another checkout uses it.
        StackError: if it can't be written to, holds files that are not the stack's, or has an unusable path.

    """
    home = config.home
    if found := {"?", "%"} & set(str(home)):
        raise StackError(
            f"the path of the state directory, {home}, has a {found.pop()}, which the address of a database"
            " can't have; set STACK_HOME to another directory"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / MARKER).exists() and holds_others(home):
            raise StackError(
                f"the state directory {home} holds other files; set STACK_HOME to an empty directory"
            )
        check_home_owner(home)
        (home / MARKER).write_text(f"{CHECKOUT}\n")
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise StackError(
            f"can't write to the state directory {home} ({error.strerror}); make it writable,"
            " or set STACK_HOME to another"
        ) from error


def check_home_owner(home: Path) -> None:
    """Raise OwnerError if another checkout uses the state directory; one in this checkout is this one's."""
    if home.is_relative_to(CHECKOUT):
        return
    try:
        checkout = (home / MARKER).read_text().strip()
    except OSError:  # not there, or what comes next says why it can't be read
        return
    if checkout and is_another(checkout):
        raise OwnerError(
            f"the state directory {home} is that of {checkout}; set STACK_HOME in .env to another, or, to"
            f" take it over, run ./scripts/down there and empty {home / MARKER}"
        )


def check_home_tracking(config: Config, *, is_deleted: bool = False) -> None:
    """Raise StackError if the settings name a tracking server elsewhere, and the state is that of another.

    Then it is another stack's, or this one's before the settings were changed. If it ``is_deleted``, data of
    a tracking server that does not run count, too.
    """
    home, named = config.home, config.tracking_setting
    if not config.elsewhere:
        return
    if is_deleted and (home / _DATABASE[0]).exists():
        raise StackError(
            f"the state directory {home} holds the data of its own tracking server, and {named} names"
            f" another, {config.elsewhere}; set STACK_HOME to the directory of the stack that is meant, or,"
            f" to delete those data, remove {named}"
        )
    if Process(home, "tracking").is_running():
        raise StackError(
            f"the stack of the state directory {home} runs with its own tracking server, and {named} names"
            f" another, {config.elsewhere}; run ./scripts/down first, or, for a second stack, set STACK_HOME"
            " to another directory"
        )


def delete_data(config: Config) -> None:
    """Delete what the stack has put into its state directory, and the directory if nothing else is in it.

    Raises:
        StackError: if something can't be deleted.

    """
    if not (config.home / MARKER).exists():
        return
    try:
        for path in [*(config.home / name for name in _DATA), *config.home.glob(_OLD_DATABASES)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(config.home.iterdir()):
            config.home.rmdir()
    except OSError as error:
        raise StackError(f"can't delete {error.filename} ({error.strerror}); delete it by hand") from error


def check_machine(config: Config, *, is_serving: bool) -> None:
    """Check the free disk and the ports; ``is_serving`` says that the stack's own model server has its port.

    Raises:
        StackError: at the first that can't be used.

    """
    check_room(config.home, NEEDED_BYTES, "make room, or set STACK_HOME to a directory on another disk")
    if config.gateway:  # the servers behind it have ports that were free just now
        check_port("TRACKING_PORT", config.tracking_port, "the gateway", config.gateway.bind)
        check_port("SERVING_PORT", config.serving_port, "the gateway", config.gateway.bind)
        return
    if not config.elsewhere:
        check_port("TRACKING_PORT", config.tracking_port, "the tracking server")
    if not is_serving:
        check_port("SERVING_PORT", config.serving_port, "the model server")


def check_room(directory: Path, needed: int, remedy: str) -> None:
    """Raise StackError, with the remedy, if the disk of the directory has fewer bytes free than needed."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise StackError(
            f"the disk of {directory} is full: expected {needed // 1024**2} MB free, found"
            f" {free // 1024**2} MB; {remedy}"
        )


def check_port(setting: str, port: int, part: str, address: str = _LOOPBACK) -> None:
    """Raise StackError if the part can't listen on this port, which that setting sets; if none, `up` does."""
    error = port_error(port, address)
    if error is None:
        return
    if error.errno == errno.EADDRNOTAVAIL:
        raise StackError(f"BIND_ADDRESS is no address of this machine, found {address}; change it") from error
    another = f"set {setting} to another port" if setting else "run ./scripts/down and ./scripts/up"
    raise StackError(
        f"{part} can't listen on port {port} ({error.strerror}); stop what uses it, or {another}"
    ) from error


def port_error(port: int, address: str = _LOOPBACK) -> OSError | None:
    """Return what keeps a server from listening on this port of this machine; None if nothing does."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # As the servers set it, so that a connection that is still closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error
    return None

"""Chooses the mode that a command is for."""

from stack.config import Config
from stack.errors import StackError
from stack.modes.docker import Docker
from stack.modes.elsewhere import check_own_tracking
from stack.modes.engine import volume_made_at
from stack.modes.engine_error import EngineError, why_no_engine
from stack.modes.mode import Mode
from stack.modes.native import Native
from stack.modes.overrides import seen_from_host
from stack.modes.owner import check_owner
from stack.modes.preflight import MARKER, check_home_owner, check_home_tracking


def choose_mode(config: Config, named: str | None = None) -> Mode:
    """Return the mode of that name or, without a name, of the stack that runs on this machine.

    Raises:
        StackError: if none is named and none runs; if Docker can't be used, or the stack in it is another
            checkout's.

    """
    native = Native(config)
    if named == "native" or (named is None and native.is_up):
        check_home_owner(config.home)
        check_home_tracking(config)
        return native
    if config.container_url:  # Docker has started this process
        try:
            return Docker(seen_from_host(config))
        except EngineError as wrong:
            raise StackError(
                f"the socket that this container got can't be used: {wrong.what}; set DOCKER_SOCKET in .env"
                " to the engine's socket, or do without: docs/docker-socket.md"
            ) from wrong
    if error := why_no_engine():
        if named is None and error.is_absent:
            raise StackError("no stack is running here; run: ./scripts/up")
        raise error
    check_owner(config)
    check_own_tracking(config)
    return Docker(config)


def choose_mode_of_data(config: Config, named: str | None = None) -> Mode:
    """Return the mode of the stack whose data are meant, which need not be up.

    Raises:
        StackError: if the data are not the stack's own, Docker can't be used, or the stack is another
            checkout's.

    """
    if config.elsewhere:
        raise StackError(
            f"the data are those of the tracking server {config.elsewhere}; run this where that is at home"
        )
    native = Native(config)
    if (named is None and (native.is_up or _has_native_data_only(config))) or choose_new_mode(
        named
    ) == "native":
        check_home_owner(config.home)
        return native
    check_owner(config)
    return Docker(config)


def _has_native_data_only(config: Config) -> bool:
    """Whether there was a stack without Docker here, and none in Docker, though an engine runs."""
    has_engine = why_no_engine() is None
    return (
        (config.home / MARKER).exists() and has_engine and volume_made_at(f"{config.project}_mlflow") is None
    )


def check_owner_of_running(config: Config) -> None:
    """Raise OwnerError if the stack that runs on this machine is another checkout's."""
    native = Native(config)
    if native.is_up:
        check_home_owner(config.home)
    elif why_no_engine() is None:
        check_owner(config)


def check_own_data(config: Config) -> None:
    """Raise StackError if `down --volumes` would delete data of a server that the settings do not name."""
    check_home_tracking(config, is_deleted=True)
    if why_no_engine() is None:
        check_own_tracking(config)


def choose_new_mode(named: str | None = None) -> str:
    """Return in which mode a stack is to be brought up; without a name, native if there is no engine.

    An engine that is there and can't be used is not passed over: the stack may be in it already.

    Raises:
        StackError: if Docker is named or there, and can't be used.

    """
    error = None if named == "native" else why_no_engine()
    if error and (named == "docker" or not error.is_absent):
        other = ", or use" if error.remedy else "; use"
        raise StackError(f"{error}{other} ./scripts/up --native") from error
    return named or ("native" if error else "docker")

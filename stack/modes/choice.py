"""Chooses the mode that a command is for."""

from stack.config import Config
from stack.errors import StackError
from stack.modes.docker import Docker
from stack.modes.engine import engine_answers
from stack.modes.mode import Mode
from stack.modes.native import Native
from stack.modes.overrides import seen_from_host


def choose_mode(config: Config, named: str | None = None) -> Mode:
    """Return the mode of that name or, without a name, of the stack that runs on this machine.

    Raises:
        StackError: if none is named and none runs.

    """
    native = Native(config)
    if named == "native" or (named is None and native.is_up):
        return native
    if named == "docker" or engine_answers():
        return Docker(seen_from_host(config))
    raise StackError("no stack is running here; run: ./scripts/up")


def choose_new_mode(named: str | None) -> str:
    """Return in which mode a stack is to be brought up.

    Raises:
        StackError: if Docker is named and no engine answers.

    """
    if named == "native" or engine_answers():
        return named or "docker"
    if named == "docker":
        raise StackError("no Docker engine answers; start it, or use --native")
    return "native"

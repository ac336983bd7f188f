"""Which of the two modes the stack on this machine is in."""

from stack.config import Config
from stack.docker import Docker
from stack.engine import engine_answers
from stack.errors import StackError
from stack.mode import Mode
from stack.native import Native


def choose_mode(config: Config) -> Mode:
    """Choose the mode of the stack that runs on this machine.

    Raises:
        StackError: if none runs.

    """
    native = Native(config)
    if native.is_up:
        return native
    if engine_answers():
        return Docker(config)
    raise StackError("no stack is running here; run: ./scripts/up")

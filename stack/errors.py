"""How a user's mistake, or a failure that a user can do something about, is reported."""

import sys
from collections.abc import Callable


class StackError(Exception):
    """Something failed: its text says what, why, and what to do next, in that order."""


def exit_status(program: str, command: Callable[[], None]) -> int:
    """Run ``command``; return 0, or 1 after telling on stderr which error ended it, or 130 after Ctrl-C."""
    try:
        command()
    except StackError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return 0

"""How a user's mistake, or a failure that a user can do something about, is reported."""

import sys
from collections.abc import Callable


class StackError(Exception):
    """Something failed: its text says what, why, and what to do next, in that order."""


class TrackingError(StackError):
    """The tracking server refused something, or did not answer."""

    @classmethod
    def because(cls, uri: str, error: Exception) -> "TrackingError":
        """Return the error that tells what MLflow's client told."""
        return cls(f"the tracking server {uri} failed in between ({error}); see to it, then run this again")


def exit_status(program: str, command: Callable[[], int | None]) -> int:
    """Run ``command``; return the status that it returns, if it does, else 0.

    After an error, tell it on stderr, and return 1; after Ctrl-C, 130.
    """
    try:
        return command() or 0
    except StackError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130

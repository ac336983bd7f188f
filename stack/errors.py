"""Reports a user's mistake, or a failure that the user can act on."""

import sys
from collections.abc import Callable, Sequence


class StackError(Exception):
    """Something failed: its text says what, why, and what to do next, in that order."""


class LockedError(StackError):
    """Another deployment is running."""


class WithdrawnError(StackError):
    """A version did worse than the champion, as a canary."""


class UndecidedError(StackError):
    """Nothing is known of a version that was to be a canary; that is not its fault."""


class TrackingError(StackError):
    """The tracking server refused something, or did not answer."""

    @classmethod
    def because(cls, uri: str, error: Exception, away: Sequence[str] = ()) -> "TrackingError":
        """Return the error for a failure that MLflow's client reported; ``away`` is what the server lacks."""
        if away:
            return cls(f"the tracking server {uri} failed: {'; and '.join(away)}; then run this again")
        return cls(f"the tracking server {uri} failed ({error}); start or repair it, then run this again")


def exit_status(program: str, command: Callable[[], int | None]) -> int:
    """Run ``command``; return its exit status, or 0 if it returns None.

    After a StackError, print it to stderr and return 1. After Ctrl-C, return 130.
    """
    try:
        return command() or 0
    except StackError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130

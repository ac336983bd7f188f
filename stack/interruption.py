"""Notice that the process was asked to stop: between two steps only, or at once."""

import signal
from typing import NoReturn

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupted_once() -> None:
    """Raise KeyboardInterrupt when the process is asked to stop, but only once: then it cleans up."""

    def interrupt(*_: object) -> NoReturn:
        for number in _ASKING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in _ASKING:
        signal.signal(number, interrupt)


class Interruption:
    """Remembers that the process was asked to stop: by Ctrl-C, SIGTERM, or because its terminal is gone."""

    def __init__(self) -> None:
        """Catch the signals from now on, so that a second one does not interrupt the stop."""
        self.received = False
        for number in _ASKING:
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if the process was asked to stop."""
        if self.received:
            raise KeyboardInterrupt

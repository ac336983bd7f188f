"""Notice that the process was asked to stop, and stop between two steps only."""

import signal


class Interruption:
    """Remembers that the process was asked to stop: by Ctrl-C, SIGTERM, or because its terminal is gone."""

    def __init__(self) -> None:
        """Catch the signals from now on, so that a second one does not interrupt the stop."""
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if the process was asked to stop."""
        if self.received:
            raise KeyboardInterrupt

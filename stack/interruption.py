"""Being asked to stop, without being torn out of the middle of something."""

import signal


class Interruption:
    """Remembers that the process was asked to stop: by Ctrl-C, SIGTERM, or because its terminal is gone."""

    def __init__(self) -> None:
        """Catch the signals from now on, so that even a second one does not cut the stopping short."""
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was."""
        if self.received:
            raise KeyboardInterrupt

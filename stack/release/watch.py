"""Follow the registry: a version that somebody makes candidate or champion there is deployed."""

import math
import sys
from collections.abc import Callable

from stack.errors import StackError, TrackingError
from stack.modes.mode import Mode
from stack.release.deploy import deploy
from stack.release.registry import Registry
from stack.wait import wait_until

_EVERY = 2.0  # seconds
_FOLLOWED = ("candidate", "champion")


class Watch:
    """Deploys when one of the two aliases names another version than before. A failure is printed."""

    def __init__(self, registry: Registry, choose_mode: Callable[[], Mode]) -> None:
        """Nothing has been seen, so the first look deploys what is there, unless it is a failed candidate."""
        self._registry, self._choose_mode = registry, choose_mode
        self._seen: dict[str, str] | None = None
        self._told = ""

    def follow(self, check: Callable[[], None]) -> None:
        """Look every two seconds, until ``check`` raises something."""
        print(f"following the aliases of {self._registry.model_name}; to stop: Ctrl-C", flush=True)

        def look() -> str:
            self.look(check)
            return "following"

        wait_until(look, timeout=math.inf, on_wait=check, interval=_EVERY)

    def look(self, check: Callable[[], None]) -> None:
        """Deploy if an alias has moved; ``check`` as in `deploy`. What failed waits for the next move."""
        try:
            if self._aliases() != self._seen:
                mode = self._choose_mode()
                with mode.exclusive():
                    self._deploy(mode, self._aliases(), check)
            self._told = ""
        except StackError as error:
            if str(error) != self._told:  # a tracking server may be down for hours
                self._told = str(error)
                print(f"deploy: {error}", file=sys.stderr, flush=True)

    def _deploy(self, mode: Mode, moved: dict[str, str], check: Callable[[], None]) -> None:
        """Deploy, and note what that leaves of the aliases; not what somebody moves meanwhile.

        A candidate that was seen has had its turn: it does not go live because only the champion has moved.
        """
        tried = self._tried(moved)
        if moved == tried:
            self._seen = moved
            return
        try:
            served = deploy(self._registry, mode, moved.get("champion") if tried else None, check)
        except TrackingError:  # it is tried again when the server is back
            raise
        except StackError:
            champion, now = self._aliases().get("champion"), mode.served()
            is_put_back = champion != moved.get("champion") and now is not None and now.version == champion
            # A champion goes before a candidate, which then was not tried.
            self._seen = {**tried, "champion": str(champion)} if is_put_back else moved
            raise
        print(f"version {served} of {self._registry.model_name} is served", flush=True)
        self._seen = {"champion": served}
        if served not in tried.values():  # or it is no candidate any more
            self._seen |= tried

    def _tried(self, moved: dict[str, str]) -> dict[str, str]:
        """Return the candidate if it was seen; at the first look, if it has failed."""
        candidate = moved.get("candidate")
        if candidate is None:
            return {}
        if self._seen is None:
            is_tried = "failure" in self._registry.version(candidate).tags
        else:
            is_tried = self._seen.get("candidate") == candidate
        return {"candidate": candidate} if is_tried else {}

    def _aliases(self) -> dict[str, str]:
        aliases = self._registry.aliases()
        return {name: aliases[name] for name in _FOLLOWED if name in aliases}

"""What the two modes have in common: how a version is baked, tried out and served, and what runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Check = Callable[[str], object]
"""Looks at a model server, by its URL; StackError if something is wrong with it."""


def nothing(_url: str) -> None:
    """Check nothing."""


@dataclass(frozen=True)
class Served:
    """What the model server serves now; ``image_id`` is that of what was baked, in the mode's own terms."""

    model_name: str
    version: str
    image_id: str
    is_healthy: bool


@dataclass(frozen=True)
class Service:
    """One part of the stack: up or not, in a word or two, and since when, where that is known."""

    name: str
    is_up: bool
    state: str
    since: datetime | None


class Mode(Protocol):
    """One of the two ways, on one stack and one registered model."""

    @property
    def starts_beside(self) -> bool:
        """Whether a new model server starts beside the one that serves, because both can have the port."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other deployments away for as long as this one lasts; StackError if there is another."""

    def clean_up(self) -> None:
        """Remove what a deployment left behind that was killed."""

    def image_id(self, version: str) -> str:
        """Return what identifies the baked version and its model server, by their contents.

        Nothing if it is not baked, or was on packages or with a model server that are not those of today.
        """

    def bake(self, version: str) -> None:
        """Make that which serves the version; what serves now is not touched."""

    def fits_beside(self) -> bool:
        """Whether there is memory for a second model server beside the one that serves."""

    def trial(self, version: str) -> AbstractContextManager[str]:
        """Run a baked version as it would be served, but apart; the URL at which it answers."""

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve a baked version in place of what is served now; ``check`` gets the URL at which it answers.

        If ``starts_beside`` and ``fits_beside``, the new server starts first, and then the old one stops.
        Otherwise the old one stops first.

        Raises:
            StackError: if the new one does not start, or ``check`` raises it. The new one is stopped then,
                and the old one still serves, unless it had to stop first.

        """

    def stop_serving(self) -> None:
        """Serve nothing any more."""

    def served(self) -> Served | None:
        """Return what is served now; None if nothing is."""

    def is_current(self) -> bool:
        """Whether what is served was started with the settings of today; something must be served."""

    def last_served(self) -> str | None:
        """Return the version that was served last, if it is still what was found right then, byte for byte.

        No tracking server is asked.
        """

    def baked_versions(self) -> list[str]:
        """Return the versions that are baked."""

    def discard(self, version: str) -> None:
        """Remove a baked version, unless something uses it."""

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when no trainer that `up` has started is at work; what ``on_wait`` raises ends it, too."""

    def services(self) -> list[Service]:
        """Return all the parts of the stack."""

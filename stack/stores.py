"""The settings of the tracking server's stores: PostgreSQL and S3, instead of a SQLite file and a directory.

The tracking server itself judges the addresses, in tracking/stores.py, because Compose passes them on unseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.compose_file import is_chosen
from stack.errors import StackError

DATABASE, ARTIFACTS = "BACKEND_STORE_URI", "ARTIFACTS_DESTINATION"
SETTINGS = (DATABASE, ARTIFACTS)
# Without a bucket, these are for the user's own programs. What logs in at S3 is set as AWS_NAME, and the
# tracking server reads S3_NAME, as in docker-compose.yml.
_ENDPOINT = "S3_ENDPOINT_URL"
_LOGIN = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "DEFAULT_REGION")
OF_BUCKET = (_ENDPOINT, *(f"S3_{name}" for name in _LOGIN))
"""What tells the tracking server more of a bucket."""
# The service that each file of compose/ brings, and the setting that names one elsewhere.
_BROUGHT = {"postgres": DATABASE, "s3": ARTIFACTS}
SERVICES = tuple(_BROUGHT)


@dataclass(frozen=True)
class Stores:
    """What the tracking server is told of stores elsewhere, and the ``services`` that bring stores."""

    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    services: tuple[str, ...] = ()

    @property
    def kept(self) -> str:
        """Name the data that are elsewhere, so no command deletes them; empty if there are none."""
        places = {DATABASE: "database", ARTIFACTS: "bucket"}
        return " and the ".join(place for name, place in places.items() if name in self.settings)

    @property
    def has_database(self) -> bool:
        """Whether the database is not the SQLite file."""
        return DATABASE in self.settings or "postgres" in self.services

    def check_native(self) -> None:
        """Raise StackError if they are Docker's."""
        for service in self.services:
            setting = _BROUGHT[service]
            raise StackError(
                f"{overlay(service)} brings a store with Docker only; without Docker, remove it from"
                f" COMPOSE_FILE, and set {setting} to one that runs"
            )


def overlay(service: str) -> str:
    """Return the file that brings a service."""
    return f"compose/{service}.yml"


def find_stores(values: Mapping[str, str], checkout: Path) -> Stores:
    """Return the stores that the settings choose.

    Raises:
        StackError: if they choose two of one kind, or only a part of one.

    """
    services = tuple(name for name in _BROUGHT if is_chosen(overlay(name), values, checkout))
    settings = {name: values[name] for name in SETTINGS if name in values}
    for service in services:
        if _BROUGHT[service] in settings:
            raise StackError(
                f"{_BROUGHT[service]} names a store elsewhere, and {overlay(service)} in COMPOSE_FILE brings"
                " one; remove one of the two"
            )
    if ARTIFACTS in settings:
        settings |= {f"S3_{name}": values[f"AWS_{name}"] for name in _LOGIN if f"AWS_{name}" in values}
        settings |= {name: values[name] for name in (_ENDPOINT,) if name in values}
    return Stores(settings, services)

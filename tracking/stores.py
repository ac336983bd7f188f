"""Which stores the tracking server has: a SQLite file and a directory or, by the settings, PostgreSQL and S3.

`python stores.py` asks the latter once, and prints as JSON what is wrong with each: null if nothing is.
"""

import json
import os
import sys
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import bucket
import database
import postgres
from database import StoreError

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg2")
# They come as S3_NAME, and boto3 reads AWS_NAME.
_LOGIN = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "DEFAULT_REGION")


@dataclass(frozen=True)
class Stores:
    """Where the data are, as MLflow takes it; ``endpoint`` is where S3 is, if it is not Amazon's.

    ``home`` is the stack's own directory, where the data are by default.
    """

    database: str
    artifacts: str
    endpoint: str = ""
    home: Path = Path()

    @property
    def has_postgres(self) -> bool:
        """Whether the database is PostgreSQL."""
        return self.database.startswith("postgresql")

    @property
    def has_bucket(self) -> bool:
        """Whether the artifacts are in S3."""
        return self.artifacts.startswith("s3://")

    @property
    def may_be_away(self) -> bool:
        """Whether one of them is a server."""
        return self.has_postgres or self.has_bucket

    def wrong(self) -> dict[str, str | None]:
        """Ask both once, at the same time; return what is wrong with each."""
        asked: dict[str, Callable[[], object]] = {}
        if self.has_postgres:
            asked["database"] = lambda: postgres.revision(self.database)
        if self.has_bucket:
            asked["artifacts"] = lambda: bucket.check(self.artifacts, self.endpoint)
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(asked, pool.map(_error_of, asked.values()), strict=True))

    def check(self) -> None:
        """Raise StoreError if one of them can't be used."""
        if found := list(filter(None, self.wrong().values())):
            raise StoreError("; and ".join(found))

    def revision(self) -> str | None:
        """Return the revision of MLflow's tables; None if there are none yet."""
        if file := database.file_of(self.database):
            return database.revision_of(file)
        return postgres.revision(self.database)

    def prepare(self, upgrade: Callable[[str], object]) -> None:
        """Make or migrate the database; ``upgrade`` does either to a SQLite file, at a URI.

        In PostgreSQL, MLflow's server itself makes one.

        Raises:
            StoreError: if that can't be done.

        """
        if file := database.file_of(self.database):
            database.prepare(file, upgrade)
        elif self.has_postgres:
            postgres.migrate(self.database, self.home)


def _error_of(ask: Callable[[], object]) -> str | None:
    try:
        ask()
    except StoreError as error:
        return str(error)
    return None


def use(environ: MutableMapping[str, str]) -> Stores:
    """Return the stores that the environment names, and tell MLflow of them there.

    Raises:
        StoreError: if they are none that it can use. The text shows no value, which may hold a password.

    """
    for name in _LOGIN:
        if value := environ.get(f"S3_{name}"):
            environ[f"AWS_{name}"] = value
    scheme, _, rest = environ["BACKEND_STORE_URI"].partition("://")
    if scheme in _POSTGRES:
        scheme = "postgresql+psycopg2"  # SQLAlchemy's own choice is another driver, which is not in the lock
    stores = Stores(
        f"{scheme}://{rest}",
        environ["ARTIFACTS_DESTINATION"],
        environ.get("S3_ENDPOINT_URL", ""),
        Path(environ.get("STORE_DIRECTORY", "")),
    )
    _check(stores)
    environ["MLFLOW_BACKEND_STORE_URI"] = stores.database
    environ["MLFLOW_ARTIFACTS_DESTINATION"] = stores.artifacts
    if stores.endpoint:
        environ["MLFLOW_S3_ENDPOINT_URL"] = stores.endpoint
    # Connections to the database. MLflow answers 40 requests at once, and one may need two. With SQLAlchemy's
    # own limit of 15, requests of 30 clients fail after 30 s, with a status that clients do not try again.
    # PostgreSQL itself has 100, and not for MLflow only.
    environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "20")
    environ.setdefault("MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW", "30" if stores.has_postgres else "60")
    return stores


def _check(stores: Stores) -> None:
    if stores.has_postgres:
        postgres.Address(stores.database)
    elif database.file_of(stores.database) is None:
        raise StoreError(
            "BACKEND_STORE_URI names no database that this server can use; set it to"
            " postgresql://USER:PASSWORD@HOST/DATABASE, or remove it"
        )
    if not stores.artifacts.startswith("/") and not (stores.has_bucket and urlsplit(stores.artifacts).netloc):
        raise StoreError("ARTIFACTS_DESTINATION names no bucket; set it to s3://BUCKET/PREFIX, or remove it")
    try:
        endpoint = urlsplit(stores.endpoint or "https://s3")
        is_address = endpoint.scheme in ("http", "https") and endpoint.hostname and endpoint.port != 0
    except ValueError:  # the port
        is_address = False
    if not is_address or "@" in stores.endpoint:
        raise StoreError(
            "S3_ENDPOINT_URL is not the address of a server; set it to http://HOST:PORT or https://HOST,"
            " without a name or a password, or remove it"
        )


def main() -> None:
    """Print what is wrong with the stores that the environment names."""
    try:
        found = use(os.environ).wrong()
    except StoreError as error:
        found = {"settings": str(error)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

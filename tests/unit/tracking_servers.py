"""A tracking server as a process of its own, started as the stack without Docker starts it."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient

from stack.config import Config, load_config
from stack.modes.parts import Parts
from stack.modes.preflight import prepare_home
from tests.conftest import two_free_ports


@dataclass(frozen=True)
class Server:
    """A tracking server, and where its data are."""

    url: str
    home: Path

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.url)

    def sql(self, statement: str) -> None:
        """Change the server's database behind its back."""
        with closing(sqlite3.connect(self.home / "mlflow.db")) as database, database:
            database.execute(statement)

    def versions(self, name: str) -> list[Any]:
        return list(self.client.search_model_versions(f"name='{name}'"))


def own_config(home: Path, settings: Mapping[str, str] | None = None) -> Config:
    """Return the settings of a stack that nobody else uses, with its state in ``home``."""
    tracking, serving = two_free_ports()
    given = {"STACK_HOME": str(home), "TRACKING_PORT": str(tracking), "SERVING_PORT": str(serving)}
    return load_config({**given, **(settings or {})}, home / "no.env")


@contextmanager
def started(config: Config) -> Iterator[Parts]:
    """Start it, and stop it with all that it started; it may not be up yet."""
    prepare_home(config)
    parts = Parts(config)
    parts.start_tracking()
    try:
        yield parts
    finally:
        parts.process("tracking").stop()


@contextmanager
def running(config: Config) -> Iterator[Parts]:
    """Start it, and wait until it is healthy."""
    with started(config) as parts:
        parts.wait_for_tracking()
        yield parts


@contextmanager
def as_client(url: str) -> Iterator[None]:
    """Let this process talk to the server there; put back all that MLflow changes."""
    before = dict(os.environ)
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)

"""The private parts of MLflow that the tracking server uses or replaces. server.py touches none.

Private is a name with an underscore before it, and what has no page in the reference of MLflow's Python API:
https://mlflow.org/docs/latest/api_reference/python_api/

Importing this takes seconds: it imports MLflow's server, though not yet its application.
"""

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import mlflow.environment_variables
import mlflow.server
import sqlalchemy
from alembic import command
from mlflow.cli import cli
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels import initial_models

PRIVATE = (
    "mlflow.cli:cli",
    "mlflow.server:_exec_cmd",
    "mlflow.server:fastapi_app",
    "mlflow.server.handlers:MultipartUploadMixin",
    "mlflow.server.handlers:MultipartDownloadMixin",
    "mlflow.store.db.utils:_get_alembic_config",
    "mlflow.store.tracking.dbmodels.initial_models:Base",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_run",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_logged_model",
    "mlflow.store.tracking.sqlalchemy_store:SqlAlchemyStore._hard_delete_experiment",
)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""


def run_mlflow(*arguments: str) -> None:
    """Run the command `mlflow` with these arguments in this process, as its function `cli`.

    Why: in a process of its own, it could not be told how to start uvicorn. The public `python -m mlflow`
    would do instead, by `runpy` and with another `sys.argv`.
    """
    cli(list(arguments))


def upgrade_database(uri: str) -> None:
    """Make the tables of an empty database, or migrate one: `mlflow db upgrade`, by the function `cli`.

    Why: as `run_mlflow`. The public command in a process of its own would import MLflow a second time, and
    would go on when this one is killed.

    Raises:
        Exception: whatever MLflow, Alembic or SQLAlchemy raise.

    """
    cli(["db", "upgrade", uri], standalone_mode=False)


class _OpenConnection:
    """Stands for an engine where MLflow's migrations connect: each connection is the one that is open."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self.engine = self
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        yield self._connection


def migrate_within(connection: sqlalchemy.Connection) -> None:
    """Migrate a database in the transaction that is open on a connection; the caller commits.

    Why: the public command `mlflow db upgrade` connects and commits by itself, so nothing can be checked
    before that.

    Raises:
        Exception: whatever Alembic or SQLAlchemy raise.

    """
    _migrate(connection, "heads")


def make_tables(uri: str, revision: str) -> None:
    """Make the tables of an empty database as the MLflow of that revision made them.

    Why: the public command `mlflow db upgrade` makes those of the newest only. Like it, this begins with the
    tables of `initial_models.Base`, from before the first migration.

    Raises:
        Exception: whatever Alembic or SQLAlchemy raise.

    """
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous=OFF")  # of no use before it is whole
        initial_models.Base.metadata.create_all(connection)
        _migrate(connection, revision)


def _migrate(connection: sqlalchemy.Connection, revision: str) -> None:
    """Run MLflow's migrations; `_get_alembic_config` is where they are, as Alembic is told."""
    config = _get_alembic_config("")
    config.attributes["connection"] = _OpenConnection(connection)
    command.upgrade(config, revision)


# The distributions that MLflow itself consists of.
_MLFLOW = ("mlflow", "mlflow-skinny", "mlflow-tracing")


def listed_variables() -> set[str]:
    """Return the environment variables that MLflow lists, and those of the options of `mlflow server`.

    Why: MLflow ignores a name that it does not know. The options are those of the function `cli`; the public
    `mlflow server --help` would do instead, in a process of its own.
    """
    objects = vars(mlflow.environment_variables).values()
    names = [getattr(it, "name", None) for it in objects]
    for option in cli.commands["server"].params:
        names += [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    return {name for name in names if isinstance(name, str)}


def extensions() -> list[str]:
    """Name the installed packages that extend MLflow; they may read variables of their own."""
    return [
        distribution.name
        for distribution in importlib.metadata.distributions()
        if distribution.name not in _MLFLOW
        and any(entry.group.startswith("mlflow.") for entry in distribution.entry_points)
    ]


def start_uvicorn_by(run: Callable[[list[str]], Any]) -> None:
    """Let `mlflow server` call this with uvicorn's arguments, where it would start uvicorn as a child.

    Why: the child, which `_exec_cmd` starts, imports all of MLflow a second time, and the parent only waits.
    An option of `mlflow server` to run uvicorn in its own process would do instead. uvicorn with MLflow's
    application would not: the command checks the settings and migrates the database before.
    """
    mlflows_own: Callable[..., Any] = mlflow.server._exec_cmd

    def run_here(command: Sequence[str], *, extra_env: Mapping[str, str], **options: Any) -> Any:  # noqa: ANN401
        if list(command[1:3]) != ["-m", "uvicorn"]:
            return mlflows_own(command, extra_env=extra_env, **options)
        os.environ.update(extra_env)
        return run(list(command[3:]))

    mlflow.server._exec_cmd = run_here  # type: ignore[assignment]


class _NoSuch:
    """What no store of artifacts is."""


def pass_artifacts_on() -> None:
    """Let the server itself pass on what is in a bucket, unless its settings say otherwise.

    Why: MLflow tells its clients, in a browser too, to fetch that from S3 by URLs that it signs. They may not
    reach S3, and a gateway would not see them. `MultipartUploadMixin` and `MultipartDownloadMixin` say for
    which stores it does so. Its settings of that name count for clients only; one for the server would do
    instead.
    """
    from mlflow.server import handlers

    if not mlflow.environment_variables.MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD.get():
        handlers.MultipartUploadMixin = _NoSuch  # type: ignore[misc,assignment]
    if not mlflow.environment_variables.MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD.get():
        handlers.MultipartDownloadMixin = _NoSuch  # type: ignore[misc, assignment]


def import_application() -> Any:  # noqa: ANN401
    """Import what uvicorn would import, the module `fastapi_app` with MLflow's application; return that.

    Why: it must be there before the garbage collector is told to leave alone what is there, and a gateway's
    door is put around it. Nothing public would do instead: only the arguments that MLflow writes for uvicorn
    say where the application is.
    """
    import mlflow.server.fastapi_app

    return mlflow.server.fastapi_app.app


class Rows:
    """The database as MLflow's server opens it, a `SqlAlchemyStore`, to remove what was deleted in the UI.

    Why: MLflow knows all the rows that belong to a run, a logged model or an experiment, and removes them by
    `_hard_delete_run`, `_hard_delete_logged_model` and `_hard_delete_experiment`. The public command
    `mlflow gc`, which calls them, would do instead if it left alone what a registered version needs, and if
    nobody could restore or register anything between its look and its deletion.
    """

    def __init__(self, uri: str) -> None:
        """Open it; its tables must be those of this MLflow."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        self._store = SqlAlchemyStore(uri, "mlflow-artifacts:/")
        self._sessions = self._store.ManagedSessionMaker

    def session(self) -> AbstractContextManager[Any]:
        """Return a session of SQLAlchemy, which is one transaction."""
        session: AbstractContextManager[Any] = self._sessions(read_only=False)
        return session

    def remove(self, session: Any, kind: str, identity: str) -> None:  # noqa: ANN401
        """Remove a run, a model or an experiment with all that belongs to it, within an open session."""
        self._store.ManagedSessionMaker = lambda **_: nullcontext(session)
        removing: dict[str, Callable[[str], None]] = {
            "run": self._store._hard_delete_run,
            "model": self._store._hard_delete_logged_model,
            "experiment": self._store._hard_delete_experiment,
        }
        removing[kind](identity)

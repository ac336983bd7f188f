"""What a SQLite file with MLflow's tables holds. The tables may be those of an older MLflow."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_COUNTED = {
    "experiment": "experiments",
    "run": "runs",
    "registered model": "registered_models",
    "version": "model_versions",
}
# Where a client finds the artifacts of a row, if the server does not pass them on.
_PLACES = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
# The server passes these on, or they name a run's or a model's, or stand where a prompt has no artifacts.
_OWN = ("mlflow-artifacts:", "runs:", "models:", "dummy-source", "prompt-template")


def revision(file: Path) -> str:
    """Return the revision of its tables."""
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def figures(file: Path) -> dict[str, int]:
    """Return how much of each kind there is."""
    with closing(sqlite3.connect(file)) as connection:
        count = "SELECT count(*) FROM "
        return {kind: connection.execute(count + table).fetchone()[0] for kind, table in _COUNTED.items()}


def artifacts_elsewhere(file: Path) -> list[str]:
    """Return where artifacts lie that the tracking server does not keep; somebody has chosen that place."""
    found: set[str] = set()
    with closing(sqlite3.connect(file)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        for table, column in _PLACES:
            if table in there:
                rows = connection.execute(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608 - our names
                found |= {str(place) for (place,) in rows if place and not place.startswith(_OWN)}
    return sorted(found)


def end_runs(file: Path, at: int) -> int:
    """End the runs that were at work as KILLED, at so many ms since the epoch; return how many these were."""
    with closing(sqlite3.connect(file)) as connection, connection:
        ended: Any = connection.execute(
            "UPDATE runs SET status = 'KILLED', end_time = max(coalesce(start_time, 0), ?)"
            " WHERE status IN ('RUNNING', 'SCHEDULED')",
            (at,),
        )
        return int(ended.rowcount)

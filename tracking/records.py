"""What the database says of runs, logged models and experiments that were deleted, and of what needs them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# The id of a run, or of a model or a trace without the letters before it.
ID = re.compile(r"[0-9a-f]{32}")
# The directory that a run or a model has among the artifacts.
_PLACE = re.compile(r"mlflow-artifacts:/(\w[\w.-]*(?:/\w[\w.-]*)+)/artifacts")


@dataclass(frozen=True)
class _Queries:
    """Of one kind: what was deleted before a time, and one of these; what is in an experiment; locks."""

    deleted: str
    one: str
    inside: str
    locks: tuple[str, ...]


_KINDS = {
    "run": _Queries(
        "SELECT run_uuid, name, artifact_uri FROM runs"
        " WHERE lifecycle_stage = 'deleted' AND deleted_time <= :before",
        " AND run_uuid = :id",
        "SELECT run_uuid FROM runs WHERE experiment_id = :id",
        (
            "SELECT 1 FROM experiments WHERE experiment_id ="
            " (SELECT experiment_id FROM runs WHERE run_uuid = :id) FOR UPDATE",
            "SELECT 1 FROM runs WHERE run_uuid = :id FOR UPDATE",
        ),
    ),
    # Whoever deletes an experiment deletes its models, too, but MLflow marks its runs only.
    "model": _Queries(
        "SELECT model_id, name, artifact_location FROM logged_models WHERE"
        " (lifecycle_stage = 'deleted' AND last_updated_timestamp_ms <= :before OR experiment_id IN"
        " (SELECT experiment_id FROM experiments WHERE"
        " lifecycle_stage = 'deleted' AND last_update_time <= :before AND experiment_id <> 0))",
        " AND model_id = :id",
        "SELECT model_id FROM logged_models WHERE experiment_id = :id",
        (
            "SELECT 1 FROM experiments WHERE experiment_id ="
            " (SELECT experiment_id FROM logged_models WHERE model_id = :id) FOR UPDATE",
            "SELECT 1 FROM logged_models WHERE model_id = :id FOR UPDATE",
        ),
    ),
    # Clients that name no experiment use the one with the id 0, so it stays.
    "experiment": _Queries(
        "SELECT experiment_id, name, artifact_location FROM experiments"
        " WHERE lifecycle_stage = 'deleted' AND last_update_time <= :before AND experiment_id <> 0",
        " AND experiment_id = :id",
        "",
        ("SELECT 1 FROM experiments WHERE experiment_id = :id FOR UPDATE",),
    ),
}
KINDS = tuple(_KINDS)
# All that may have artifacts, and one of it.
_OWNERS = (
    ("SELECT run_uuid, experiment_id FROM runs", " WHERE run_uuid = :id"),
    ("SELECT model_id, experiment_id FROM logged_models", " WHERE model_id = :id"),
    ("SELECT request_id, experiment_id FROM trace_info", " WHERE request_id = :id"),
)
_VERSIONS = (
    "SELECT name, version, run_id, source, storage_location FROM model_versions"
    " WHERE (current_stage IS NULL OR current_stage <> 'Deleted_Internal')"
)
_NAMING = " AND (run_id = :id OR source LIKE :inside OR storage_location LIKE :inside)"
_MODELS = "SELECT model_id, source_run_id FROM logged_models WHERE source_run_id IS NOT NULL"
_MODELS_OF = " AND source_run_id = :id"


@dataclass(frozen=True)
class Record:
    """A run, a model or an experiment; ``uri`` is where its artifacts are, as MLflow's clients find them."""

    kind: str
    id: str
    name: str
    uri: str

    @property
    def place(self) -> str | None:
        """Its directory among the artifacts that the server keeps; None if it has none of its own there."""
        found = _PLACE.fullmatch(self.uri)
        return found[1] if found and found[1].endswith(f"/{self.id}") else None


class Records:
    """What a session of SQLAlchemy finds. What was deleted before some ms since the epoch counts as such."""

    def __init__(self, session: Any, before: int) -> None:  # noqa: ANN401
        """Nothing is asked yet."""
        self._session = session
        self._before = before

    def _ask(self, query: str, **values: object) -> list[Any]:
        from sqlalchemy import text

        done = self._session.execute(text(query), values)
        return list(done) if done.returns_rows else []

    def lock(self, kind: str, identity: str) -> None:
        """Until the session ends, let nobody restore that or register a version; the first thing to ask."""
        if self._session.get_bind().dialect.name == "sqlite":
            self._ask("BEGIN IMMEDIATE")
            return
        self._ask("LOCK TABLE model_versions IN SHARE MODE")
        for query in _KINDS[kind].locks:
            self._ask(query, id=_as_stored(kind, identity))

    def deleted(self, kind: str, identity: str | None = None) -> Iterator[Record]:
        """Yield what was deleted before that time, or only what has that id."""
        query = _KINDS[kind].deleted
        values: dict[str, int | str] = {"before": self._before}
        if identity is not None:
            query, values = query + _KINDS[kind].one, {**values, "id": _as_stored(kind, identity)}
        for found, name, uri in self._ask(query, **values):
            yield Record(kind, str(found), name or "", uri or "")

    def inside(self, experiment: str) -> Iterator[tuple[str, str]]:
        """Yield the kind and the id of each run and model in an experiment."""
        for kind in ("run", "model"):
            for (identity,) in self._ask(_KINDS[kind].inside, id=int(experiment)):
                yield kind, identity

    def owners(self, identity: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield the id of each run, model and trace, or of that one, and the experiment that it is in."""
        for every, one in _OWNERS:
            for found, experiment in self._ask(every + one, id=identity) if identity else self._ask(every):
                yield found, str(experiment)

    def began(self) -> float | None:
        """Return when the first experiment was made, in seconds since the epoch; None if nobody knows."""
        ((first,),) = self._ask("SELECT min(creation_time) FROM experiments")
        return None if first is None else first / 1000

    def needed(self, identity: str | None = None) -> dict[str, str]:
        """Return the ids of all that registered versions need, without letters, each with such a version.

        A version names its run and where its files are; a copy has the place of what it is a copy of. If only
        one id is asked for, the others need not be there.
        """
        if identity is None:
            models, versions = self._ask(_MODELS), self._ask(_VERSIONS)
        else:
            models = self._ask(_MODELS + _MODELS_OF, id=identity)
            ids = {identity, *(model.removeprefix("m-") for model, _ in models)}
            asked = [self._ask(_VERSIONS + _NAMING, id=it, inside=f"%{it}%") for it in ids]
            versions = [version for found in asked for version in found]
        needed: dict[str, str] = {}
        for name, version, *places in versions:
            for found in ID.findall(" ".join(filter(None, places))):
                needed.setdefault(found, f"version {version} of {name}")
        for model, run in models:
            if by := needed.get(model.removeprefix("m-")):
                needed.setdefault(run, by)
        return needed

    def versions(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield the model, the number and the aliases of each registered version."""
        aliases: dict[tuple[str, str], list[str]] = {}
        for name, version, alias in self._ask("SELECT name, version, alias FROM registered_model_aliases"):
            aliases.setdefault((name, str(version)), []).append(alias)
        for name, version, *_ in self._ask(_VERSIONS):
            yield name, str(version), aliases.get((name, str(version)), [])


def _as_stored(kind: str, identity: str) -> int | str:
    return int(identity) if kind == "experiment" else identity

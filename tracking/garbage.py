"""Find what the stores hold that nobody needs any more, or remove it: python garbage.py DAYS [--remove].

It reads and writes lines of JSON. Without --remove, each is a thing that can be removed, or one that stays
though it was deleted, with the reason as `stays`, or a registered version with its aliases. With --remove,
each line of the standard input is such a thing: it is judged anew, and removed, and a line says so, or why it
stays. So when the one who asks is killed, no more is removed than the thing at hand.

A thing can be removed if it was deleted more than DAYS ago, or if it is a directory of artifacts whose run,
model or trace is not in the database any more. What a registered version needs stays.
"""

import json
import os
import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import artifacts
import database
import store_lock
import stores
from database import StoreError
from records import ID, KINDS, Record, Records

Thing = dict[str, Any]

_DAY = 24 * 60 * 60
# What MLflow makes for a run, a model or a trace; all else is somebody's own.
_OWNED = re.compile(r"(\d+/(?:[0-9a-f]{32}|models/m-[0-9a-f]{32}|traces/tr-[0-9a-f]{32}))/artifacts/.+")
_GONE = "it was restored or removed meanwhile"


@dataclass
class _Files:
    """Some files: how many, their size in bytes, and when the first and the last of them were changed."""

    count: int = 0
    size: int = 0
    oldest: float = float("inf")
    newest: float = 0

    def add(self, file: artifacts.File) -> None:
        self.count, self.size = self.count + 1, self.size + file.size
        self.oldest, self.newest = min(self.oldest, file.modified), max(self.newest, file.modified)

    @property
    def told(self) -> Thing:
        return {"files": self.count, "bytes": self.size}


@dataclass(frozen=True)
class Garbage:
    """What was deleted so many days ago or more; ``rows`` is an open `mlflow_internals.Rows`."""

    rows: Any
    kept: artifacts.Artifacts
    days: int
    now: float = field(default_factory=time.time)

    def find(self) -> Iterator[Thing]:
        """Yield what can be removed, what stays though it was deleted, and all registered versions."""
        # First the files: what has any was in the database before.
        found: dict[str, _Files] = {}
        for file in self.kept.files():
            if owned := _OWNED.fullmatch(file.name):
                found.setdefault(owned[1], _Files()).add(file)
        with self.rows.session() as session:
            records = self._records(session)
            needed = records.needed()
            going: set[tuple[str, str]] = set()
            for record in (record for kind in KINDS for record in records.deleted(kind)):
                stays = _why_it_stays(records, record, needed, going)
                if not stays:
                    going.add((record.kind, record.id))
                yield _thing(record) | (
                    {"stays": stays} if stays else found.get(record.place or "", _Files()).told
                )
            experiments = {identity for kind, identity in going if kind == "experiment"}
            for place in self._without_owner(records, found, experiments):
                by = needed.get(ID.findall(place)[0])
                told = {"stays": f"{by} needs it"} if by else found[place].told
                yield {"kind": "artifacts", "id": place, "name": "", **told}
            for name, version, aliases in records.versions():
                yield {"kind": "version", "id": version, "name": name, "aliases": aliases}

    def remove(self, thing: Thing) -> Thing:
        """Remove a thing, if it can still be removed; return it with what is gone, or why it stays."""
        if thing["kind"] == "artifacts":
            stays, place = self._why_artifacts_stay(thing["id"]), thing["id"]
        else:
            stays, place = self._remove_rows(thing["kind"], thing["id"])
        thing = {name: thing[name] for name in ("kind", "id", "name")}
        if stays:
            return {**thing, "stays": stays}
        # If this is killed now, the files have no owner, as which the next one finds them.
        files, names = _Files(), []
        for file in self.kept.files(f"{place}/artifacts/") if place else ():
            files.add(file)
            names.append(file.name)
        self.kept.remove(names)
        return thing | files.told

    def _records(self, session: Any) -> Records:  # noqa: ANN401
        return Records(session, int((self.now - self.days * _DAY) * 1000))

    def _remove_rows(self, kind: str, identity: str) -> tuple[str, str | None]:
        """Remove it from the database; return why it stays, if it does, and its place among the artifacts."""
        with self.rows.session() as session:
            records = self._records(session)
            records.lock(kind, identity)
            record = next(records.deleted(kind, identity), None)
            if record is None:
                return _GONE, None
            needed = records.needed(identity.removeprefix("m-"))
            stays = _why_it_stays(records, record, needed, ())
            if not stays:
                self.rows.remove(session, kind, identity)
        return stays, record.place

    def _without_owner(
        self, records: Records, found: Mapping[str, _Files], experiments: Collection[str]
    ) -> list[str]:
        """Return those of the places ``found`` whose owner is not there, or in one of these experiments."""
        places = {place.rpartition("/")[2]: place for place in found}
        for identity, experiment in records.owners():
            if experiment not in experiments:
                places.pop(identity, None)
        began = records.began()
        return [place for place in sorted(places.values()) if self._is_old(found[place], began)]

    def _is_old(self, files: _Files, began: float | None) -> bool:
        """Whether nobody has written to these files without an owner for so many days, or at least for one.

        Those that were written before this database began may belong to another one.
        """
        is_old = files.newest <= self.now - max(self.days, 1) * _DAY
        return is_old and began is not None and files.oldest >= began

    def _why_artifacts_stay(self, place: str) -> str:
        if not _OWNED.fullmatch(f"{place}/artifacts/any"):
            return "it is not the directory of a run, a model or a trace"
        files, owner, identity = _Files(), place.rpartition("/")[2], ID.findall(place)[0]
        for file in self.kept.files(f"{place}/artifacts/"):
            files.add(file)
        with self.rows.session() as session:
            records = self._records(session)
            if any(records.owners(owner)) or not self._is_old(files, records.began()):
                return _GONE
            by = records.needed(identity).get(identity)
        return f"{by} needs it" if by else ""


def _thing(record: Record) -> Thing:
    return {"kind": record.kind, "id": record.id, "name": record.name}


def _why_it_stays(
    records: Records, record: Record, needed: Mapping[str, str], going: Collection[tuple[str, str]]
) -> str:
    """Return why a deleted thing can't be removed after what is ``going``; empty if it can."""
    if record.kind == "experiment":
        left = next(
            (kind for kind, identity in records.inside(record.id) if (kind, identity) not in going), ""
        )
        return f"it has a {left} that stays" if left else ""
    if by := needed.get(record.id.removeprefix("m-")):
        return f"{by} needs it"
    return "" if record.place else f"its artifacts are elsewhere, at {record.uri}"


def opened(used: stores.Stores, days: int) -> Garbage | None:
    """Open the stores; return None if there is no database yet.

    Raises:
        StoreError: if they can't be used as they are.

    """
    used.check()
    revision = used.revision()
    if revision is None:
        return None
    if database.is_older(revision, "the database", "go back to the lock/ that made it"):
        raise StoreError("an older MLflow made the database; run ./scripts/up, which migrates it")
    import mlflow_internals

    return Garbage(mlflow_internals.Rows(used.database), artifacts.at(used.artifacts, used.endpoint), days)


def _told(days: int, wanted: Iterable[str] | None) -> Iterator[Thing]:
    """Find or, if these are the things that are ``wanted``, remove."""
    used = stores.use(os.environ)
    if wanted is None:
        garbage = opened(used, days)
        yield from garbage.find() if garbage else ()
        return
    with store_lock.changing():
        garbage = opened(used, days)
        for line in wanted if garbage else ():
            assert garbage  # noqa: S101
            yield garbage.remove(json.loads(line))


def main() -> None:
    """Find or remove."""
    try:
        for thing in _told(int(sys.argv[1]), sys.stdin if "--remove" in sys.argv else None):
            print(json.dumps(thing), flush=True)
        return
    except StoreError as error:
        why = str(error)
    except OSError as error:  # the disk's
        why = f"{error.filename} can't be read or removed ({error.strerror}); correct that"
    except Exception as error:  # MLflow's, SQLAlchemy's
        why = f"the database fails ({str(error).partition(chr(10))[0]}); repair it, or run this again"
    print(json.dumps({"error": why}), flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()

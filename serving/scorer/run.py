"""One job, from the request to the output in its place."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from mlflow.types import Schema
from model_server.settings import available_cpus

from scorer import spark
from scorer.answer_types import check_written, declared_types, output_types, shows_type
from scorer.caller import check_caller, tell
from scorer.columns import ADDED, check_columns
from scorer.job import Job, Part, ScoringError, Written
from scorer.output import commit, staging
from scorer.parts import parts_of
from scorer.pool import Pool
from scorer.scoring import first_answers, load, score_part
from scorer.sources import find_sources, is_csv
from scorer.spark.cluster import Cluster

# What the manifest repeats of the request, by its own names for it.
_REPEATED = {
    "model": "model_name",
    "version": "model_version",
    "run_id": "run_id",
    "replay": "replay",
    "input": "input",
}


def run(request: dict[str, Any], events: IO[str]) -> dict[str, Any]:
    """Do a job; return the manifest.

    Raises:
        ScoringError: if it can't be done; then OUTPUT is as it was.
        CallerGoneError: if the caller has ended; the same.

    """
    since, output = time.monotonic(), Path(request["output"])
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with staging(output) as directory:
        sources = find_sources(request["input"])
        config = request.get("model_config") or "{}"
        model, kept_open = load(request["model"], config)
        columns = check_columns(sources, model.metadata.get_input_schema())
        parts = parts_of(sources)
        rows = None if is_csv(sources[0].file) else sum(sum(source.row_groups) for source in sources)
        tell(events, rows=rows)
        job = Job(
            model=request["model"],
            model_config=config,
            directory=str(directory),
            model_name=request["model_name"],
            model_version=request["model_version"],
            columns=columns.input.serialize().to_pybytes(),
            given=columns.given.serialize().to_pybytes(),
        )
        with Pool(forked=not kept_open) as pool:
            schema = _output_schema(pool, job, parts, columns.input, model.metadata.get_output_schema())
            job = replace(job, schema=schema)
            written = list(_written(request, pool, job, parts, events))
        if {each.number for each in written} != set(range(len(parts))) or len(written) != len(parts):
            raise ScoringError(f"{len(written)} parts were written of {len(parts)}; run this again")
        check_caller()
        manifest = {name: request.get(wanted, "") for name, wanted in _REPEATED.items()} | {
            "input_files": len(sources),
            "engine": "spark" if request.get("spark") else "pool",
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - since, 3),
        }
        return commit(directory, output, written, rows, manifest)


def _written(
    request: dict[str, Any], pool: Pool, job: Job, parts: list[Part], events: IO[str]
) -> Iterator[Written]:
    """Score the parts, here or on Spark; nothing else knows which."""

    def on_rows(more: int) -> None:
        tell(events, done=more)

    if cluster := request.get("spark"):
        return spark.run(job, parts, Cluster(**cluster), on_rows, lambda text: tell(events, note=text))
    return pool.run(score_part, job, parts, request.get("workers") or available_cpus(), on_rows)


def _output_schema(
    pool: Pool, job: Job, parts: list[Part], columns: pa.Schema, outputs: Schema | None
) -> bytes:
    """Return the schema of the output, by what the model answers to the first rows.

    If these do not show it, and the signature does not say it, by those of the next parts.
    """
    found: dict[str, pa.Array] = {}
    for part in parts:
        for name, column in pool.ask(first_answers, job, part).items():
            if name not in found or not shows_type(found[name]):
                found[name] = column
        if found and (declared_types(outputs) or all(map(shows_type, found.values()))):
            break
    types = output_types(found, outputs)
    for name, kind in types.items():
        check_written(name, kind)
    if twice := next((name for name in types if name in columns.names or name in ADDED), None):
        raise ScoringError(f"the model answers with a column {twice!r}, which is there already; rename one")
    text = pa.dictionary(pa.int8(), pa.string())
    fields = [*columns, *types.items(), *((name, text) for name in ADDED)]
    return bytes(pa.schema(fields).serialize().to_pybytes())

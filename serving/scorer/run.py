"""One job, from the request to the output in its place."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from scorer.answers import as_columns, declared_types, output_types
from scorer.caller import check_caller, tell
from scorer.columns import ADDED, check_columns
from scorer.job import Job, Part, ScoringError, Written
from scorer.output import commit, staging
from scorer.parts import parts_of
from scorer.pool import Pool
from scorer.scoring import first_answers, load
from scorer.sources import find_sources, is_csv


def run(request: dict[str, Any], events: IO[str]) -> dict[str, Any]:
    """Do a job; return the manifest.

    Raises:
        ScoringError: if it can't be done; then OUTPUT is as it was.
        CallerGoneError: if the caller has ended; the same.

    """
    since, output = time.monotonic(), Path(request["output"])
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with ExitStack() as stack:
        directory = stack.enter_context(staging(output))
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
        pool = stack.enter_context(Pool(forked=not kept_open))
        job = replace(job, schema=_output_schema(pool, job, parts, columns.input, model.metadata.get_output_schema()))
        engine = _engine(request, job, parts, pool, events, stack)
        written = list(engine)
        if len({each.number for each in written}) != len(parts) or len(written) != len(parts):
            raise ScoringError(f"{len(written)} parts were written of {len(parts)}; run this again")
        check_caller()
        return commit(directory, output, written, rows, {
            "model": request["model_name"],
            "version": request["model_version"],
            "run_id": request.get("run_id", ""),
            "replay": request.get("replay", ""),
            "engine": "spark" if request.get("spark") else "pool",
            "input": request["input"],
            "input_files": len(sources),
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - since, 3),
        })


def _engine(
    request: dict[str, Any], job: Job, parts: list[Part], pool: Pool, events: IO[str], stack: ExitStack
) -> Iterator[Written]:
    """Score the parts, here or on Spark; this is the only place that knows of both."""
    if request.get("spark"):
        pool.__exit__()
        raise ScoringError("Spark is not built in yet")
    workers = request.get("workers") or len(os.sched_getaffinity(0))
    return pool.run(job, parts, workers, lambda done: tell(events, done=done))


def _output_schema(pool: Pool, job: Job, parts: list[Part], columns: pa.Schema, outputs: Any) -> bytes:  # noqa: ANN401
    """Return the schema of the output, by what the model answers to the first rows."""
    found = pool.ask(first_answers, job, parts[0])
    types = output_types(found, outputs) if found else declared_types(outputs)
    if twice := next((name for name in types if name in columns.names or name in ADDED), None):
        raise ScoringError(f"the model answers with a column {twice!r}, which the input has, too; rename one")
    text = pa.dictionary(pa.int8(), pa.string())
    fields = [*columns, *types.items(), *((name, text) for name in ADDED)]
    return bytes(pa.schema(fields).serialize().to_pybytes())

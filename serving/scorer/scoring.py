"""Score a part: read it, ask the model, write the answers beside the columns of the input, in batches."""

import gc
import json
import traceback
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.exceptions import MlflowException
from mlflow.models import validate_schema
from mlflow.pyfunc import PyFuncModel
from mlflow.types import Schema
from model_server.model_files import load_and_look
from pyarrow import parquet

from scorer.answer_types import fitted
from scorer.answers import as_columns
from scorer.columns import ADDED, as_frame
from scorer.job import Job, OnRows, Part, ScoringError, Written, ignore, place_of
from scorer.output import writing
from scorer.reading import batches
from scorer.sources import is_csv

# Of the quick codecs, the one with small files; see docs/measured.md.
_COMPRESSION = "snappy"
_FIRST_ROWS = 1000


@cache
def load(path: str, config: str) -> tuple[PyFuncModel, frozenset[str]]:
    """Load the model, once in a process; also return what it keeps open that a fork would break.

    Raises:
        ScoringError: if it can't be loaded.

    """
    try:
        values = dict(json.loads(config))
    except (TypeError, ValueError):
        raise ScoringError("SERVING_MODEL_CONFIG is no JSON object; correct it in model.env") from None
    try:
        model, kept_open = load_and_look(path, values)
    except Exception as error:
        traceback.print_exc()
        raise ScoringError(f"the model can't be loaded ({type(error).__name__}, see above)") from error
    gc.collect()
    gc.freeze()
    return model, kept_open


def score_part(job: Job, part: Part, on_rows: OnRows = ignore) -> Written:
    """Score a part, and write it into a file of the job's directory; the file is complete when this returns.

    Each attempt has a file of its own, so that one who is late, or is tried again, does no harm.

    Raises:
        ScoringError: if the file can't be read, the model fails, or there is no room.

    """
    schema = pa.ipc.read_schema(pa.BufferReader(job.schema))
    name, rows = f"{part.number:05d}-{uuid.uuid4().hex}.parquet", 0
    path = Path(job.directory, name)
    try:
        with (
            writing(path.parent),
            parquet.ParquetWriter(path, schema, compression=_COMPRESSION) as writer,
        ):
            for batch in batches(job, part):
                # One row group for each, so that none waits in memory.
                writer.write_table(_scored(job, part, batch, schema, rows), batch.num_rows)
                rows += batch.num_rows
                on_rows(batch.num_rows)
    except pa.ArrowException as error:
        raise ScoringError(
            f"rows of {part.file} can't be converted ({type(error).__name__}); leave it out"
        ) from error
    return Written(part.number, name, rows)


def first_answers(job: Job, part: Part, _on_rows: OnRows = ignore) -> dict[str, pa.Array]:
    """Return the model's answer to the first rows of a part; nothing if it has none."""
    batch = next(batches(job, part), None)
    return {} if batch is None else answered(job, part, batch.slice(0, _FIRST_ROWS), 0)


def answered(job: Job, part: Part, batch: pa.Table, before: int) -> dict[str, pa.Array]:
    """Return the model's answer to a batch; ``before`` is the number of rows of the part before it."""
    model, _ = load(job.model, job.model_config)
    given = pa.ipc.read_schema(pa.BufferReader(job.given))
    rows = as_frame(batch, given)
    try:
        predictions = model.predict(rows)
    except BaseException as error:  # sys.exit, too
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ScoringError(_failure(model, part, rows, before, error)) from error
    return as_columns(predictions, batch.num_rows)


def _failure(model: PyFuncModel, part: Part, rows: pd.DataFrame, before: int, error: BaseException) -> str:
    """Say on which rows the model failed, and where; whatever it says itself may hold data."""
    first = part.first + before + 1
    which = f"rows {first} to {first + len(rows) - 1} of {part.file}"
    if is_csv(part.file) and part.number:
        which += f" after byte {part.start}"
    schema = model.metadata.get_input_schema()
    if isinstance(error, MlflowException) and (column := _refused_column(schema, rows)):
        return f"column {column!r} has a value in {which} that the model's signature refuses; correct it"
    return f"the model fails on {which}: {place_of(error)}; correct the model or these rows"


def _refused_column(schema: Schema | None, rows: pd.DataFrame) -> str:
    """Name the first column of a batch that MLflow refuses."""
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return ""
    for spec in schema.inputs:
        try:
            if spec.name in rows:
                validate_schema(rows[[spec.name]], Schema([spec]))
        except Exception:  # MLflow's own, or those of pandas
            return str(spec.name)
    return ""


def _scored(job: Job, part: Part, batch: pa.Table, schema: pa.Schema, before: int) -> pa.Table:
    """Return a batch of the output."""
    found = answered(job, part, batch, before)
    names = schema.names[batch.num_columns : -len(ADDED)]
    if set(found) != set(names):
        raise ScoringError(
            f"the model answers some rows with other columns: expected {', '.join(names)}, found"
            f" {', '.join(found)}; correct the model"
        )
    columns = list(batch.columns)
    for name in names:
        wanted = schema.field(name).type
        try:
            columns.append(fitted(found[name], wanted))
        except pa.ArrowException:
            raise ScoringError(
                f"the model's answers for {name!r} change their type: {wanted} for the first rows, then"
                f" {found[name].type}; log the model with a signature that says it"
            ) from None
    columns += [_repeated(text, batch.num_rows) for text in (job.model_name, job.model_version)]
    return pa.Table.from_arrays(columns, schema=schema)


def _repeated(text: str, rows: int) -> pa.DictionaryArray:
    indices: Any = pa.repeat(pa.scalar(0, pa.int8()), rows)
    return pa.DictionaryArray.from_arrays(indices, pa.array([text]))

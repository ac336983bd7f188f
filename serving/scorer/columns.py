"""The columns of the input, checked against the model's signature before the first batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import validate_schema
from mlflow.types import DataType, Schema, TensorSpec

from scorer.job import ScoringError
from scorer.sources import Source, is_csv

ADDED = ("model_name", "model_version")
PREDICTION = "prediction"
# Marks a field of bools, some of which are missing.
AS_OBJECTS = {b"as": b"objects"}

TYPES = {
    DataType.boolean: pa.bool_(),
    DataType.integer: pa.int32(),
    DataType.long: pa.int64(),
    DataType.float: pa.float32(),
    DataType.double: pa.float64(),
    DataType.string: pa.string(),
    DataType.binary: pa.binary(),
    DataType.datetime: pa.timestamp("ns"),
}
"""The type of Arrow for each scalar type of a signature."""


@dataclass(frozen=True)
class Columns:
    """The columns of the input, and those that the model is given, each with its type."""

    input: pa.Schema
    given: pa.Schema


def check_columns(sources: Sequence[Source], schema: Schema | None) -> Columns:
    """Return the columns of all files; ``schema`` is that of the signature's inputs, if the model has one.

    Raises:
        ScoringError: if a file lacks a column, has one of a wrong type, or has other columns than the first.

    """
    first = sources[0]
    for name in (*ADDED, PREDICTION):
        if name in first.schema.names:
            raise ScoringError(f"{first.file} has a column {name!r}, which the output adds; rename it")
    for source in sources[1:]:
        _check_same(first, source)
    names = _given_names(first, schema)
    columns = _csv_types(first, schema, names) if is_csv(first.file) else first.schema
    given = []
    for place, name in enumerate(names):
        field = _given(columns.field(name), sources)
        if schema is not None and not schema.is_tensor_spec() and place < len(schema.inputs):
            spec = schema.input_dict()[name] if schema.has_input_names() else schema.inputs[place]
            for source in sources:
                _check_type(source, field, columns.field(name).type, spec)
        given.append(field)
    # Of pandas' own notes, and those of other writers, nothing holds for the output. Nor that a column of
    # the first file is never null.
    fields = [field.with_nullable(True) for field in columns]
    return Columns(pa.schema(fields), pa.schema(given))


def _check_same(first: Source, other: Source) -> None:
    """Raise ScoringError if two files differ in a column; the order may differ."""
    for one, two in ((first, other), (other, first)):
        for name in one.schema.names:
            if name not in two.schema.names:
                raise ScoringError(
                    f"{two.file} has no column {name!r}, which {one.file} has; score them apart"
                )
    for field in first.schema:
        found = other.schema.field(field.name).type
        if found != field.type:
            raise ScoringError(
                f"column {field.name!r} is {found} in {other.file}, and {field.type} in {first.file};"
                " write one of them anew, or score them apart"
            )


def _given_names(source: Source, schema: Schema | None) -> list[str]:
    """Return the names of the columns that the model is given, in the signature's order."""
    names: list[str] = source.schema.names
    if schema is None or not schema.has_input_names():
        index = (source.schema.pandas_metadata or {}).get("index_columns", [])
        names = [name for name in names if name not in index]
    if schema is None:
        if is_csv(source.file):
            raise ScoringError(
                "the model has no signature, so nothing says which columns of CSV hold numbers; use Parquet,"
                " or log the model with a signature"
            )
        return names
    if schema.has_input_names():
        for name in schema.required_input_names():
            if name not in names:
                raise ScoringError(f"{source.file} has no column {name!r}, which the model requires; add it")
        return [name for name in schema.input_names() if name in names]
    if schema.is_tensor_spec():
        return names
    if len(names) < len(schema.inputs):
        raise ScoringError(
            f"{source.file} has {len(names)} columns, and the model requires {len(schema.inputs)}; add them"
        )
    return names


def _csv_types(source: Source, schema: Schema | None, given: Iterable[str]) -> pa.Schema:
    """Give the columns of CSV the types that the signature says; others stay text."""
    types = dict.fromkeys(source.schema.names, pa.string())
    for place, name in enumerate(given):
        types[name] = _arrow_type(schema, place, name)
        if types[name] is None:
            raise ScoringError(f"the model wants column {name!r} of a type that CSV can't hold; use Parquet")
    return pa.schema(types.items())


def _arrow_type(schema: Any, place: int, name: str) -> pa.DataType | None:  # noqa: ANN401
    if schema.has_input_names():
        spec = schema.input_dict()[name]
    elif schema.is_tensor_spec():
        spec = schema.inputs[0]
    elif place < len(schema.inputs):
        spec = schema.inputs[place]
    else:
        return pa.string()
    if isinstance(spec, TensorSpec):
        kind = np.dtype(spec.type)
        return pa.string() if kind.kind in "OSU" else pa.from_numpy_dtype(kind)
    return None if spec.type == DataType.binary else TYPES.get(spec.type)


def _given(field: pa.Field, sources: Sequence[Source]) -> pa.Field:
    """Return what pandas would make of the whole column: whole numbers with nulls are floats, bools objects.

    Decided once, so that what the model is given for a row does not depend on the rows of its batch. For the
    same reason it gets the values of a dictionary, which each batch may number anew, and no category.
    """
    if pa.types.is_dictionary(field.type):
        return pa.field(field.name, field.type.value_type)
    wholes = [source.wholes.get(field.name) for source in sources]
    if not any(whole and whole.has_nulls for whole in wholes):
        return pa.field(field.name, field.type)
    if pa.types.is_boolean(field.type):
        return pa.field(field.name, field.type, metadata=AS_OBJECTS)
    return pa.field(field.name, pa.float64())


def as_frame(rows: pa.Table, given: pa.Schema) -> pd.DataFrame:
    """Return what the model is given of some rows."""
    # Not safe, as pandas rounds whole numbers beyond 2 ** 53, too, where others are missing.
    frame: pd.DataFrame = rows.select(given.names).cast(given, safe=False).to_pandas(use_threads=False)
    objects = [field.name for field in given if field.metadata == AS_OBJECTS]
    return frame.astype(dict.fromkeys(objects, "object")) if objects else frame


def _check_type(source: Source, field: pa.Field, found: pa.DataType, spec: Any) -> None:  # noqa: ANN401
    """Let MLflow say whether it would take such a column.

    It takes whole numbers for floats if each is 0 or 1, so it is shown the least and the greatest.
    """
    whole = source.wholes.get(field.name)
    bounds = [whole.least, whole.greatest] if whole and pa.types.is_integer(field.type) else []
    shown = pa.field(field.name, found) if pa.types.is_dictionary(found) else field
    column = pa.array([bound for bound in bounds if bound is not None], shown.type)
    sample = as_frame(pa.table([column], [field.name]), pa.schema([shown]))
    try:
        validate_schema(sample.set_axis([spec.name or 0], axis="columns"), Schema([spec]))
    except Exception:  # MLflow's own, or those of pandas
        nulls = " with missing values" if field.metadata or field.type == pa.float64() != found else ""
        raise ScoringError(
            f"column {field.name!r} of {source.file} is {found}{nulls}, and the model wants {spec.type};"
            " convert it"
        ) from None

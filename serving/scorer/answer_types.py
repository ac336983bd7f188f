"""Of what type the answers are, in all of the output, though each batch shows its own."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from mlflow.types import Schema
from pyarrow import compute, parquet

from scorer.columns import PREDICTION, TYPES
from scorer.job import ScoringError


def check_written(name: str, kind: pa.DataType) -> None:
    """Raise ScoringError if Parquet can't hold answers of a type, such as dicts that are all empty."""
    try:
        parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([(name, kind)])).close()
    except pa.ArrowException:
        raise ScoringError(
            f"the model's answers for {name!r} are of the type {kind}, which Parquet can't hold; correct the"
            " model"
        ) from None


def shows_type(column: pa.Array) -> bool:
    """Whether answers show of what type others will be; where all are missing, None or NaN, they do not."""
    missing = len(column) if _has_null(column.type) else column.null_count
    if pa.types.is_floating(column.type):
        missing = compute.is_null(column, nan_is_null=True).sum().as_py() or 0
    return bool(missing < len(column))


def fitted(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return the same answers as another type. NaN is null there, if it is no type of numbers.

    Raises:
        ArrowException: if an answer would change.

    """
    if pa.types.is_floating(column.type) and not shows_type(column) and not _is_number(wanted):
        return pa.nulls(len(column), wanted)
    if not _keeps(column.type, wanted):
        raise pa.ArrowInvalid
    return column.cast(wanted)  # it fails where a number does not fit


def _keeps(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast to another type keeps each value, or fails."""
    kinds = pa.types
    if found == wanted or kinds.is_null(found):
        return True
    if kinds.is_integer(found):
        return _is_number(wanted)
    if kinds.is_floating(found):
        return kinds.is_floating(wanted) and bool(wanted.bit_width > found.bit_width)
    if kinds.is_timestamp(found):
        return kinds.is_timestamp(wanted) and bool(wanted.tz == found.tz)
    if _is_list(found) and _is_list(wanted):
        return _keeps(found.value_type, wanted.value_type)
    if kinds.is_struct(found) and kinds.is_struct(wanted):
        names = [each.name for each in wanted]
        return all(each.name in names and _keeps(each.type, wanted.field(each.name).type) for each in found)
    return any(kind(found) and kind(wanted) for kind in (_is_text, _is_bytes, kinds.is_decimal))


def _has_null(kind: pa.DataType) -> bool:
    """Whether it is the type of None, or of lists that are all empty."""
    inner = (
        [kind.value_type]
        if _is_list(kind)
        else [each.type for each in kind.fields]
        if pa.types.is_struct(kind)
        else []
    )
    return bool(pa.types.is_null(kind)) or any(map(_has_null, inner))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def output_types(found: Mapping[str, pa.Array], outputs: Schema | None) -> dict[str, pa.DataType]:
    """Return the type of each column of the output, by the first answers and by the signature.

    The signature decides where the answers do not show it: all are missing, or whole numbers stand for
    floats. Without a row, it is null, if the signature says nothing.
    """
    declared = declared_types(outputs)
    if not found:
        return declared or {PREDICTION: pa.null()}
    if len(declared) == len(found) == 1:
        declared = dict(zip(found, declared.values(), strict=True))
    return {name: _wider(column, declared.get(name)) for name, column in found.items()}


def declared_types(outputs: Schema | None) -> dict[str, pa.DataType]:
    """Return the columns that the signature says, where each is a scalar."""
    if outputs is None or outputs.is_tensor_spec():
        return {}
    types: list[Any] = [TYPES.get(of.type) for of in outputs.inputs]  # type: ignore[arg-type]
    if None in types or not (outputs.has_input_names() or len(types) == 1):
        return {}
    names = map(str, outputs.input_names()) if outputs.has_input_names() else [PREDICTION]
    return dict(zip(names, types, strict=True))


def _wider(column: pa.Array, declared: pa.DataType | None) -> pa.DataType:
    found = column.type
    if declared is None:
        return found
    if pa.types.is_null(found) or (not shows_type(column) and not _is_number(declared)):
        return declared
    if not (_is_number(found) and _is_number(declared)):
        return found
    both = pa.unify_schemas(
        [pa.schema([("it", found)]), pa.schema([("it", declared)])], promote_options="permissive"
    )
    return declared if both.field("it").type == declared else found

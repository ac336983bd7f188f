"""Requests that lose nothing on their way to the model: each value as it was sent, or refused.

MLflow converts a column as a whole, by what the other rows hold: "false" becomes true, 3000000000 in a column
of integers -1294967296, a missing boolean true or false. Here each value is converted by itself, to the type
that the signature has.
"""

import base64
import binascii
import json
import re
from contextlib import suppress
from typing import Any

import pandas as pd
from mlflow.types import DataType

from model_server.refusal import (
    CSV_BOOLEANS,
    Misfit,
    Table,
    WrongError,
    has_half_of_a_pair,
    kind_of,
    misfit,
    no_csv_boolean,
    read_csv,
    read_json,
    read_table,
)
from model_server.signature import Column

_JSON = "application/json"
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_NUMBERS = (DataType.integer, DataType.long, DataType.float, DataType.double)
# What `pandas.read_csv` takes for a missing value, besides nothing at all: its parameter `na_values`.
_NOTHING_IN_CSV = frozenset(
    [
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    ]
)
_BOUNDS = {DataType.integer: 2**31, DataType.long: 2**63}
# What is rounded to a float32 that is infinite, from this number on.
_FLOAT_LIMIT = 3.4028235677973366e38


def exact(content_type: str, body: bytes, columns: list[Column]) -> tuple[str, bytes]:
    """Return the request in a format that MLflow reads without a loss; unchanged if it is not a table.

    In CSV, MLflow reads no dates and no base64; where there may be some, CSV becomes JSON. What is wrong with
    the shape of a request is for MLflow to refuse.

    Raises:
        Misfit: if a value can't be had in the type of its column; rows count from 1.

    """
    mime = content_type.partition(";")[0].strip()
    try:
        if mime == "text/csv":
            table = read_csv(body)
            if any(column.kind in (DataType.datetime, DataType.binary) for column in columns):
                return content_type.replace(mime, _JSON, 1), _as_split({}, table, columns, is_text=True)
            _exact_columns(table, columns, is_text=True)
        elif mime == _JSON:
            request = read_json(body)
            return content_type, _as_split(request, read_table(request, columns), columns, is_text=False)
    except Misfit:
        raise
    except (WrongError, RecursionError):  # of the shape
        pass
    return content_type, body


def _as_split(request: dict[str, Any], table: Table, columns: list[Column], *, is_text: bool) -> bytes:
    found = _exact_columns(table, columns, is_text=is_text)
    if not found or any(column.required and column.name not in table for column in columns):
        raise WrongError
    split: dict[str, Any] = {"columns": list(found), "data": list(zip(*found.values(), strict=True))}
    if "index" in request.get("dataframe_split", {}):
        split["index"] = request["dataframe_split"]["index"]
    others = {"params": request["params"]} if "params" in request else {}
    return json.dumps({"dataframe_split": split, **others}).encode()


def _exact_columns(table: Table, columns: list[Column], *, is_text: bool) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for column in columns:
        if column.name in table and column.kind is not None:
            values = found[column.name] = []
            for row, value in enumerate(table[column.name], 1):
                if _is_refused_by_mlflow(value, column.kind):
                    raise WrongError
                try:
                    values.append(_exact(value, column.kind, is_text=is_text))
                except WrongError as wrong:
                    raise Misfit(column, row, str(wrong)) from None
    return found


def _is_refused_by_mlflow(value: Any, kind: DataType) -> bool:  # noqa: ANN401 - JSON
    """Whether MLflow refuses the value in any format; it then says with which code."""
    if isinstance(value, list | dict):
        return kind in _NUMBERS or kind == DataType.datetime
    return kind == DataType.string and has_half_of_a_pair(value)


def _exact(value: Any, kind: DataType, *, is_text: bool) -> Any:  # noqa: ANN401 - JSON
    """Return the value in the type; ``is_text`` if all is text, as in CSV.

    Raises:
        WrongError: what it is, if it can't be in that type.

    """
    if is_text and value is not None:
        value = _from_csv(value, kind)
    if kind == DataType.datetime:
        return _moment(value)
    if found := misfit(value, kind):
        raise WrongError(found)
    if kind in _BOUNDS:
        return _whole(value, _BOUNDS[kind])
    if kind in (DataType.float, DataType.double):
        return _number(value, kind)
    if kind == DataType.boolean:
        return _boolean(value, is_text=is_text)
    if kind == DataType.string:
        if value is None or value != value:
            return None
        if not isinstance(value, str):
            raise WrongError(kind_of(value))
    if kind == DataType.binary:
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise WrongError("text that is not base64") from None
    return value


def _from_csv(text: str, kind: DataType) -> Any:  # noqa: ANN401
    """Return what pandas reads: None for a missing value, a number or a boolean, or else the text."""
    if text.strip() in _NOTHING_IN_CSV:
        return None
    if kind == DataType.boolean:
        return CSV_BOOLEANS.get(text.lower(), text)
    if kind not in _NUMBERS:
        return text
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        number = float(text)
        return number if number.is_integer() or kind not in _BOUNDS else text
    return text


def _boolean(value: Any, *, is_text: bool) -> bool:  # noqa: ANN401
    if value in (0, 1):  # or False or True, which are equal to these
        return bool(value)
    if is_text:
        raise WrongError(no_csv_boolean(value))
    raise WrongError("a number that is neither 0 nor 1" if isinstance(value, int | float) else kind_of(value))


def _moment(value: Any) -> str | None:  # noqa: ANN401
    """Return a date, or a date and a time, in UTC if it has a zone, all in the same form."""
    if value is None or value != value:
        return None
    if not isinstance(value, str):
        raise WrongError(kind_of(value))
    try:
        if not _ISO.fullmatch(value):
            raise ValueError
        moment = pd.Timestamp(value).as_unit("ns")
    except ValueError:
        raise WrongError("text that is no date as in ISO 8601, or none from 1678 to 2261") from None
    return str((moment if moment.tz is None else moment.tz_convert(None)).isoformat(timespec="nanoseconds"))


def _whole(value: Any, bound: int) -> int:  # noqa: ANN401
    if isinstance(value, float) and not value.is_integer():
        raise WrongError("a number with a fraction")
    number = int(value)
    if not -bound <= number < bound:
        raise WrongError("a number that is too large")
    return number


def _number(value: Any, kind: DataType) -> float | int | None:  # noqa: ANN401
    if isinstance(value, str):
        value = float(value)
    if value is not None and kind == DataType.float:
        value = float(value)
        if _FLOAT_LIMIT <= abs(value) < float("inf"):
            raise WrongError("a number that is too large")
    return value  # type: ignore[no-any-return]

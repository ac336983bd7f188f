"""What is wrong with a request that MLflow has refused: one sentence that names the place, not the data."""

import csv
import io
import json
import logging
from collections.abc import Sequence
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import validate_schema
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from model_server.mlflow_internals import CONTENT_TYPES, is_llm_request
from model_server.signature import Column

_logger = logging.getLogger(__name__)

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")
_NUMBERS = {DataType.integer, DataType.long, DataType.float, DataType.double}
_GENERAL = "the request does not fit the signature of the model; GET /docs shows it, with an example"
_ONE_FORMAT = f"expected a JSON object with exactly one of {', '.join(FORMATS)}"

# In lower case, what MLflow reads as a boolean in CSV.
CSV_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# A column: its name, and its values by row.
Table = dict[str, Sequence[Any]]


class WrongError(Exception):
    """The sentence."""


class Misfit(WrongError):  # noqa: N818 - it is one
    """A value that is not of the type of its column; ``row`` counts from 1."""

    def __init__(self, column: Column, row: int, found: str) -> None:
        """Make the sentence."""
        super().__init__(f"column {column.name!r}, row {row}: expected {column.type_name}, found {found}")


def explain(content_type: str, body: bytes, columns: list[Column], params: ParamSchema | None) -> str:
    """Return the first thing that is found wrong with a refused request; rows and values count from 1."""
    mime, *parameters = map(str.strip, content_type.split(";"))
    if mime not in CONTENT_TYPES:
        return f"expected a Content-Type of {', '.join(CONTENT_TYPES)}, found another"
    if any(parameter.lower() != "charset=utf-8" for parameter in parameters):
        return f"the Content-Type has a parameter that is not charset=utf-8; leave it at {mime}"
    try:
        if mime == "application/json":
            request = read_json(body)
            _check_columns(read_table(request, columns), columns)
            _check_params(request, params)
        elif mime == "text/csv":
            table = read_csv(body)
            _check_columns(table, columns)
            _check_csv_booleans(table, columns)
        else:
            _check_parquet(body, columns)
    except WrongError as wrong:
        return str(wrong)
    except RecursionError:
        return "the JSON is nested too deeply"
    except Exception:  # it was refused already, so the client is answered all the same
        _logger.exception("a refused request can't be explained")
    return _GENERAL


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object.

    Raises:
        WrongError: if it is none.

    """
    try:
        request = json.loads(body)
    except json.JSONDecodeError as error:
        raise WrongError(
            f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from None
    except UnicodeDecodeError as error:
        raise WrongError(f"the body is not UTF-8, from byte {error.start + 1} on") from None
    except ValueError:  # https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
        raise WrongError("a number in the JSON has too many digits") from None
    if not isinstance(request, dict):
        raise WrongError(f"{_ONE_FORMAT}, found {kind_of(request)}")
    return request


def read_table(request: dict[str, Any], columns: list[Column]) -> Table:
    """Return the columns of a request, in whichever format; none if they can't be told.

    Raises:
        WrongError: if it is in none of the formats.

    """
    if is_llm_request(request) and any(column.name in request for column in columns):
        raise WrongError(_GENERAL)
    found = [name for name in FORMATS if name in request]
    if len(found) != 1:
        raise WrongError(f"{_ONE_FORMAT}, found {' and '.join(found) or 'none of them'}")
    name, data = found[0], request[found[0]]
    if name == "dataframe_split":
        return _split(data, columns)
    if not columns and name != "dataframe_records":  # that may be a tensor
        return {}
    if isinstance(data, dict) and name != "dataframe_records":
        return _lists(name, data)
    if name != "dataframe_records" and len(columns) == 1 and _is_one_column(data):
        return {columns[0].name: data}
    if columns and not _is_named(columns) and _is_matrix(data, len(columns)):
        return {column.name: [row[position] for row in data] for position, column in enumerate(columns)}
    return _records(name, data)


def _split(data: Any, columns: list[Column]) -> Table:  # noqa: ANN401 - JSON
    is_named = _is_named(columns)
    if not is_named and isinstance(data, dict) and "columns" not in data:
        if not columns:
            return {}
        data = {"columns": [column.name for column in columns], **data}
    if not isinstance(data, dict) or not {"columns", "data"} <= data.keys() <= {"columns", "data", "index"}:
        raise WrongError("dataframe_split: expected an object with columns and data, and index if need be")
    names, rows = data["columns"], data["data"]
    for name, values in (("columns", names), ("data", rows)):
        if not isinstance(values, list):
            raise WrongError(f"dataframe_split: expected an array as {name}, found {kind_of(values)}")
    first: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        if not isinstance(name, str) and (is_named or isinstance(name, list | dict)):
            found = f"expected a string, found {kind_of(name)}"
            raise WrongError(f"dataframe_split: column name {position}: {found}")
        if first.setdefault(name, position) != position:
            raise WrongError(f"dataframe_split: the column names {first[name]} and {position} are equal")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list):
            raise WrongError(f"dataframe_split: row {number}: expected an array, found {kind_of(row)}")
        if len(row) != len(names):
            raise WrongError(f"dataframe_split: row {number}: expected {len(names)} values, found {len(row)}")
    if "index" in data and (not isinstance(data["index"], list) or len(data["index"]) != len(rows)):
        raise WrongError("dataframe_split: expected an array as index, with one value for each row")
    return {name: [row[position] for row in rows] for position, name in enumerate(names)}


def _records(name: str, data: Any) -> Table:  # noqa: ANN401 - JSON
    if not isinstance(data, list):
        raise WrongError(f"{name}: expected an array, found {kind_of(data)}")
    if not data:
        raise WrongError(f"{name}: expected one row or more, found none")
    for number, record in enumerate(data, 1):
        if not isinstance(record, dict):
            raise WrongError(f"{name}: row {number}: expected an object, found {kind_of(record)}")
        if name != "dataframe_records" and record.keys() != data[0].keys():
            raise WrongError(f"{name}: row {number}: expected the columns of row 1, found others")
    names = dict.fromkeys(name for record in data for name in record)
    return {name: [record.get(name) for record in data] for name in names}


def _is_named(columns: list[Column]) -> bool:
    """Whether there are columns with names; pandas numbers them where a model was not trained with names."""
    return bool(columns) and all(isinstance(column.name, str) for column in columns)


def _is_matrix(data: Any, width: int) -> bool:  # noqa: ANN401 - JSON
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(row, list) and len(row) == width for row in data)
    )


def _is_one_column(data: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether MLflow takes these for the values of the only column that the signature has."""
    return isinstance(data, list) and not any(isinstance(value, dict) for value in data)


def _lists(name: str, data: dict[str, Any]) -> Table:
    if not any(isinstance(values, list) for values in data.values()):
        return {name: [value] for name, value in data.items()}
    lengths = {len(values) if isinstance(values, list) else None for values in data.values()}
    if len(lengths) > 1:
        raise WrongError(
            f"{name}: expected as many values in each column, found columns that differ in length"
        )
    return data


def read_csv(body: bytes) -> Table:
    """Return the columns of CSV; None stands for a value that is empty.

    Raises:
        WrongError: if it is none.

    """
    try:
        text = body.decode()
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=None)))
    except UnicodeDecodeError as error:
        raise WrongError(f"the body is not UTF-8, from byte {error.start + 1} on") from None
    except csv.Error:  # a value is longer than the library's limit
        raise WrongError(_GENERAL) from None
    rows = [row for row in rows if row]
    if not rows:
        raise WrongError("expected CSV with a line of column names, found nothing")
    names, values = rows[0], rows[1:]
    for number, row in enumerate(values, 1):
        if len(row) > len(names):
            raise WrongError(f"CSV row {number}: expected {len(names)} values, found {len(row)}")
    padded = [[*row, *[""] * (len(names) - len(row))] for row in values]
    return {name: [row[position] or None for row in padded] for position, name in enumerate(names)}


def _check_columns(table: Table, columns: list[Column]) -> None:
    for column in columns:
        if column.required and column.name not in table:
            raise WrongError(f"the column {column.name!r} is missing")
        for row, value in enumerate(table.get(column.name, []), 1):
            if column.kind is not None and (found := misfit(value, column.kind)):
                raise Misfit(column, row, found)


def _check_csv_booleans(table: Table, columns: list[Column]) -> None:
    # In JSON, MLflow makes true or false of anything.
    for column in columns:
        values = table.get(column.name, []) if column.kind == DataType.boolean else []
        for row, value in enumerate(values, 1):
            if value is None or value.lower() not in CSV_BOOLEANS:
                raise Misfit(column, row, no_csv_boolean(value))
            if value.isdigit() != values[0].isdigit():
                raise Misfit(column, row, "digits and words in one column")


def no_csv_boolean(value: str | None) -> str:
    """Say what is in CSV in place of a boolean."""
    return "nothing" if value is None else "text that is neither true nor false"


def _check_parquet(body: bytes, columns: list[Column]) -> None:
    try:
        frame = pd.read_parquet(io.BytesIO(body))
    except Exception:
        raise WrongError("the body is not Parquet") from None
    for column in columns:
        if column.name not in frame:
            if column.required:
                raise WrongError(f"the column {column.name!r} is missing")
        elif column.kind is not None:
            values = frame[column.name]
            try:
                validate_schema(frame[[column.name]], Schema([ColSpec(column.kind)]))
            except Exception:
                raise WrongError(
                    f"column {column.name!r}: expected {column.type_name}, found {values.dtype}"
                ) from None


def misfit(value: Any, kind: DataType) -> str:  # noqa: ANN401 - JSON
    """Say what ``value`` is, if that can't be of the type; what MLflow converts is nothing to complain of."""
    if isinstance(value, list | dict):
        return kind_of(value)
    if value is None:
        return "null" if kind in (DataType.integer, DataType.long, DataType.binary) else ""
    if isinstance(value, str) and kind in _NUMBERS:
        is_whole = kind in (DataType.integer, DataType.long)
        try:
            value = int(value) if is_whole else float(value)
        except ValueError:
            return f"text that is not a {'whole ' if is_whole else ''}number"
    if isinstance(value, float | int) and kind in (DataType.integer, DataType.long):
        if value != value or value in (float("inf"), float("-inf")):
            return "a number that is not finite"
        if not -(2**63) <= value < 2**63:
            return "a number that is too large"
    if isinstance(value, int) and kind in (DataType.float, DataType.double):
        try:
            float(value)
        except OverflowError:
            return "a number that is too large"
    if kind == DataType.binary and not isinstance(value, str):
        return f"{kind_of(value)}, not text in base64"
    if kind == DataType.string and has_half_of_a_pair(value):
        return "text with half of a surrogate pair"
    if kind == DataType.datetime and isinstance(value, str):
        try:
            pd.to_datetime(value)
        except ValueError:
            return "text that is no date"
    return ""


def has_half_of_a_pair(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether this is text that can't be written in UTF-8."""
    if not isinstance(value, str) or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_params(request: dict[str, Any], schema: ParamSchema | None) -> None:
    given = request.get("params")
    if given is None or schema is None:
        return
    if not isinstance(given, dict):
        raise WrongError(f"params: expected an object, found {kind_of(given)}")
    for param in schema.params:
        if param.name in given:
            try:
                ParamSpec.validate_param_spec(given[param.name], param)
            except MlflowException:
                name = param.dtype.name if isinstance(param.dtype, DataType) else str(param.dtype)
                of = f" of shape {param.shape}" if param.shape else ""
                raise WrongError(f"the parameter {param.name!r}: expected {name}{of}") from None


def kind_of(value: Any) -> str:  # noqa: ANN401 - JSON
    """Say what kind of JSON a value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for kind, name in ((str, "text"), (int, "a number"), (float, "a number"), (list, "an array")):
        if isinstance(value, kind):
            return name
    return "an object"

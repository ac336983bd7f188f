"""The short path: from the JSON of a common request straight to the DataFrame that MLflow would make of it.

It leaves to MLflow whatever it is not sure of. MLflow's code for this is `scoring_server._parse_json_data`
(the formats), `proto_json_utils` (the types of each) and `models.utils._enforce_schema` (the signature).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pandas as pd
from mlflow.types import DataType

from model_server.signature import Column

# The types that a column's values may have. If there is another type, MLflow converts or refuses them.
_TYPES: dict[DataType, frozenset[type]] = {
    DataType.double: frozenset({float, int, type(None)}),
    DataType.float: frozenset({float, type(None)}),
    DataType.long: frozenset({int}),
    DataType.integer: frozenset({int}),
    DataType.boolean: frozenset({bool}),
    DataType.string: frozenset({str}),
}
# With NaN for null. What MLflow makes of null depends on whether there is text in another row.
_STRICT_TEXT = frozenset({str, type(None)})
# In a list of objects under `inputs`, MLflow converts values of these types one by one. It depends on pandas'
# version whether the columns then have these types or wider ones, which MLflow refuses.
_NOT_IN_INPUT_RECORDS = {DataType.float, DataType.integer}

Columns = list[Sequence[Any]]


class ShortPath:
    """Reads requests for one signature."""

    def __init__(self, columns: list[Column], *, strict: bool) -> None:
        """Take a signature's columns, for which `fits` must have returned True.

        If ``strict``, a text column has pandas' type for text, whether or not it has values; and a number
        that is infinite as a float32 is left to others to refuse.
        """
        self._strict = strict
        self._types = {**_TYPES, DataType.string: _STRICT_TEXT} if strict else _TYPES
        self._names = [column.name for column in columns]
        self._width = len(columns)
        self._set = set(self._names)
        kinds = [column.kind for column in columns if column.kind is not None]
        # The columns of one type go into one array.
        self._groups = [
            (kind, [position for position, of in enumerate(kinds) if of == kind])
            for kind in dict.fromkeys(kinds)
        ]
        self._input_records = not _NOT_IN_INPUT_RECORDS & set(kinds)
        self._strings = DataType.string in kinds
        self._index = pd.DataFrame({name: [] for name in self._names}).columns

    @staticmethod
    def fits(columns: list[Column]) -> bool:
        """Whether there are columns, named differently, all of scalars of the types that are read here.

        MLflow takes a column whose name is empty for one without a name.
        """
        names = {column.name for column in columns if column.name}
        return (
            bool(columns) and len(names) == len(columns) and all(column.kind in _TYPES for column in columns)
        )

    def read(self, body: bytes) -> pd.DataFrame | None:
        """Return the DataFrame, of one row or more, that MLflow would give to the model; None if not sure."""
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if type(request) is not dict or len(request) != 1:
            return None
        ((key, data),) = request.items()
        columns = self._columns(key, data, body)
        return None if columns is None else self._frame(columns)

    def _columns(self, key: str, data: Any, body: bytes) -> Columns | None:  # noqa: ANN401 - JSON
        if key == "dataframe_split":
            return self._split(data)
        if key == "dataframe_records":
            return self._records(data)
        if key not in ("inputs", "instances"):
            return None
        # These two go through NumPy's fixed-width strings, which lose zeros at the end.
        if self._strings and rb"\u0000" in body:
            return None
        if type(data) is dict:
            return self._lists(data)
        return self._records(data) if key == "instances" or self._input_records else None

    def _split(self, data: Any) -> Columns | None:  # noqa: ANN401
        if type(data) is not dict or data.keys() != {"columns", "data"}:
            return None
        names, rows = data["columns"], data["data"]
        if type(names) is not list or type(rows) is not list or len(names) != self._width:
            return None
        if set(map(type, rows)) != {list} or len(rows[0]) != self._width:
            return None
        try:
            columns: Columns = list(zip(*rows, strict=True))
        except ValueError:  # rows that differ in length
            return None
        if names == self._names:
            return columns
        if set(map(type, names)) != {str} or set(names) != self._set:
            return None
        by_name = dict(zip(names, columns, strict=True))
        return [by_name[name] for name in self._names]

    def _records(self, data: Any) -> Columns | None:  # noqa: ANN401
        if type(data) is not list or set(map(type, data)) != {dict}:
            return None
        if set(map(len, data)) != {self._width}:
            return None
        try:
            return [[record[name] for record in data] for name in self._names]
        except KeyError:
            return None

    def _lists(self, data: dict[str, Any]) -> Columns | None:
        if data.keys() != self._set or set(map(type, data.values())) != {list}:
            return None
        lengths = set(map(len, data.values()))
        if len(lengths) != 1 or lengths == {0}:
            return None
        return [data[name] for name in self._names]

    def _frame(self, columns: Columns) -> pd.DataFrame | None:
        arrays: list[Any] = [None] * self._width
        for kind, positions in self._groups:
            values = [columns[position] for position in positions] if len(self._groups) > 1 else columns
            types = set(map(type, chain.from_iterable(values)))
            if not types <= self._types[kind]:
                return None
            if kind == DataType.string:
                has_null = type(None) in types
                block: Any = [pd.array(column, dtype="str") for column in values] if has_null else values
            else:
                try:
                    # A row for each column, as pandas itself keeps them.
                    block = np.array(values, kind.to_numpy())
                except OverflowError:
                    return None
                if self._strict and kind == DataType.float and np.isinf(block).any():
                    return None
            if len(self._groups) == 1 and kind != DataType.string:
                # A view, because a model may set the name of the columns' index.
                return pd.DataFrame(block.T, columns=self._index.view(), copy=False)
            for position, array in zip(positions, block, strict=True):
                arrays[position] = array
        return pd.DataFrame(dict(zip(self._names, arrays, strict=True)))

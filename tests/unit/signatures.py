"""Signatures, models that remember what they are given, and MLflow's own answers to compare with."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model as Metadata
from mlflow.models import ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_JSON, invocations
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from model_server.signature import named_columns

_KINDS = [
    DataType.double,
    DataType.long,
    DataType.string,
    DataType.boolean,
    DataType.float,
    DataType.integer,
]


def _all(kind: DataType, count: int = 3) -> Schema:
    return Schema([ColSpec(kind, f"c{position}") for position in range(count)])


SCHEMAS = {
    **{f"{kind.name}s": _all(kind) for kind in _KINDS},
    "mixed": Schema([ColSpec(kind, kind.name) for kind in _KINDS]),
    "mixed, no narrow types": Schema([ColSpec(kind, kind.name) for kind in _KINDS[:4]]),
    "numbers and strings, two of each": Schema(
        [ColSpec(kind, f"{kind.name}{number}") for number in "12" for kind in _KINDS[:3]]
    ),
    "one double": _all(DataType.double, 1),
    "one string": _all(DataType.string, 1),
    "many": _all(DataType.double, 50),
    "odd names": Schema(
        [
            ColSpec(DataType.double, name)
            for name in ("größe", "a b", "日本", "🦆", " ", 'a"\\/', "0", "\u0000")
        ]
    ),
    "optional": Schema(
        [
            ColSpec(DataType.double, "a"),
            ColSpec(DataType.double, "b", required=False),
            ColSpec(DataType.string, "c", required=False),
            ColSpec(DataType.boolean, "d", required=False),
            ColSpec(DataType.long, "e", required=False),
        ]
    ),
    "all optional": Schema([ColSpec(DataType.double, name, required=False) for name in "ab"]),
}

PARAMS = ParamSchema(
    [
        ParamSpec("threshold", DataType.double, 0.5),
        ParamSpec("mode", DataType.string, "fast"),
        ParamSpec("weights", DataType.long, [1, 2], shape=(-1,)),
    ]
)


def kinds_of(schema: Schema) -> dict[str, DataType]:
    """Return the type of each column."""
    return {column.name: column.kind for column in named_columns(schema) if column.kind is not None}


@dataclass
class Remembering:
    """A model that answers what it was told to, and keeps what it was given."""

    answer: Any = None
    given: list[Any] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        self.given.append(data)
        self.params.append(params)
        return self.answer


def pyfunc(implementation: Any, inputs: Schema | None, params: ParamSchema | None = None) -> PyFuncModel:  # noqa: ANN401
    """Return ``implementation`` as MLflow loads a model with that signature."""
    metadata = Metadata(
        signature=None if inputs is None else ModelSignature(inputs, params=params),  # type: ignore[arg-type]
        flavors={"python_function": {"loader_module": "mlflow.pyfunc.model"}},
    )
    return PyFuncModel(metadata, implementation)


class RefusalError(Exception):
    """MLflow refused the request, or failed on it."""


class Reference:
    """MLflow's own scoring of the requests to a model with that signature."""

    def __init__(self, inputs: Schema, params: ParamSchema | None = None) -> None:
        self.model = Remembering()
        self._pyfunc = pyfunc(self.model, inputs, params)
        self._inputs = inputs

    def frame(self, body: bytes) -> pd.DataFrame:
        """Return what the model is given for a request."""
        self.answer(body)
        frame = self.model.given[-1]
        assert isinstance(frame, pd.DataFrame)
        return frame

    def answer(self, body: bytes) -> str:
        """Return the answer to a request."""
        self.model.given.clear()
        self.model.params.clear()
        try:
            with np.errstate(over="ignore"):
                response = invocations(body, CONTENT_TYPE_JSON, self._pyfunc, self._inputs)
        except Exception as error:
            raise RefusalError from error
        assert response.status == 200
        written: str = response.response
        return written


def assert_same_frame(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Assert that no model can tell the two apart: values to the bit, types, order, memory layout."""
    pd.testing.assert_frame_equal(
        found, expected, check_exact=True, check_index_type=True, check_column_type=True
    )
    assert type(found.index) is type(expected.index) is pd.RangeIndex
    assert type(found.columns) is type(expected.columns)
    assert found.columns.names == expected.columns.names
    assert [type(name) for name in found.columns] == [type(name) for name in expected.columns]
    _assert_same_array(found.to_numpy(), expected.to_numpy())
    for name in expected.columns:
        assert [type(value) for value in found[name]] == [type(value) for value in expected[name]]
        _assert_same_array(found[name].to_numpy(), expected[name].to_numpy())


def _assert_same_array(found: Any, expected: Any) -> None:  # noqa: ANN401
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    for flag in ("c_contiguous", "f_contiguous", "writeable", "aligned"):
        assert getattr(found.flags, flag) == getattr(expected.flags, flag), flag
    if found.dtype.kind == "f":
        assert found.tobytes() == expected.tobytes()

"""A model on the short path gets MLflow's params, and its answer is written as MLflow writes it."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.model import _PythonModelPyfuncWrapper
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_JSON, invocations, predictions_to_json
from mlflow.types import ParamSchema
from model_server.answers import without_nan
from model_server.mlflow_internals import as_json
from model_server.model import Model
from model_server.settings import load_settings

from tests.unit.requests_to_models import bounded
from tests.unit.signatures import PARAMS, SCHEMAS, Reference, RefusalError, Remembering, pyfunc

_SCHEMA = SCHEMAS["doubles"]
_BODY = b'{"inputs": {"c0": [1.5, 2.5], "c1": [1, 2], "c2": [3, null]}}'
_SETTINGS = load_settings({"__pyfunc_model_path__": "unused"})


def model(implementation: Remembering, params: ParamSchema | None = None) -> Model:
    return Model(pyfunc(implementation, _SCHEMA, params), _SETTINGS)


def test_a_model_with_type_hints_has_no_short_path() -> None:
    hinted = pyfunc(Remembering(), _SCHEMA)
    hinted.metadata.signature._is_signature_from_type_hint = True
    assert Model(hinted, _SETTINGS).answer(_BODY) is None


def test_the_models_params_are_their_defaults_as_from_mlflow() -> None:
    implementation, reference = Remembering([]), Reference(_SCHEMA, PARAMS)
    served = model(implementation, params=PARAMS)
    assert served.answer(_BODY) is not None
    reference.answer(_BODY)
    assert (
        implementation.params
        == reference.model.params
        == [{"threshold": 0.5, "mode": "fast", "weights": [1, 2]}]
    )
    assert served.answer(_BODY[:-1] + b', "params": {"mode": "slow"}}') is None


def test_what_a_model_does_to_its_params_is_not_seen_by_the_next_request() -> None:
    implementation = Remembering([])
    served = model(implementation, params=PARAMS)
    served.answer(_BODY)
    implementation.params[0]["mode"] = "slow"
    served.answer(_BODY)
    assert implementation.params[1]["mode"] == "fast"


def test_a_model_whose_signature_has_no_params_gets_none() -> None:
    implementation = Remembering([])
    model(implementation).answer(_BODY)
    assert implementation.params == [None]


class WithAll(PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:  # noqa: ANN401
        return [context, model_input.shape, params]


class WithParams(PythonModel):
    def predict(self, model_input: pd.DataFrame, params: Any = None) -> Any:  # type: ignore[override]  # noqa: ANN401
        return [model_input.shape, params]


class WithContext(PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame) -> Any:  # type: ignore[override]  # noqa: ANN401
        return [context, model_input.shape]


class WithRows(PythonModel):
    def predict(self, model_input: pd.DataFrame) -> Any:  # type: ignore[override]  # noqa: ANN401
        return [model_input.shape]


class WithRecords(PythonModel):
    def predict(self, model_input: list[dict[str, str]]) -> Any:  # type: ignore[override]  # noqa: ANN401
        return [model_input]


class Plain:
    def predict(self, rows: Any) -> Any:  # noqa: ANN401
        return [rows.shape]


class PlainWithNamed:
    def predict(self, rows: Any, **params: Any) -> Any:  # noqa: ANN401
        return [rows.shape, params]


@pytest.mark.parametrize("params", [None, PARAMS])
@pytest.mark.parametrize(
    "kind",
    [WithAll, WithParams, WithContext, WithRows, WithRecords, Plain, PlainWithNamed],
)
def test_predict_is_called_as_mlflow_calls_it(kind: Callable[[], Any], params: ParamSchema | None) -> None:
    implementation, schema = kind(), SCHEMAS["strings"]
    if isinstance(implementation, PythonModel):
        implementation = _PythonModelPyfuncWrapper(implementation, "the context", ModelSignature(schema))
    body = b'{"dataframe_split": {"columns": ["c2", "c0", "c1"], "data": [["z", "x", "y"]]}}'
    expected = invocations(body, CONTENT_TYPE_JSON, pyfunc(implementation, schema, params), schema)
    answered = Model(pyfunc(implementation, schema, params), _SETTINGS).answer(body)
    assert answered is not None
    assert answered[0].decode() == expected.response


_ANSWERS: list[Any] = [
    ["setosa", "größe 🦆", 'a"\\\n\u0000', "null"],
    [],
    [0.1, 1e16, 5e-324, -0.0, 1e308],
    [float("nan"), float("inf"), 1.0],
    [1, 2**63, 2**64, -(2**70)],
    [True, False],
    [1, "a", 2.5, True, None],
    ["\ud800"],
    [[1, 2.5], ["a", [None]]],
    (1, 2),
    {"a": [1, 2.5], "b": ["x", float("nan")]},
    [{"a": np.float32(0.1)}],
    [np.str_("a"), np.str_("b")],
    [np.float64(0.1), np.int64(3), np.bool_(True)],
    None,
    "text",
    1.5,
    float("nan"),
    np.array([1.5, np.nan, -np.inf]),
    np.array([[0.1, 0.2], [0.3, 1e300]]),
    np.array([0.1, 16777216.5, np.nan], np.float32),
    np.array([[0.1, 65504]], np.float16),
    np.array([2**64 - 1, 0], np.uint64),
    np.array([-(2**63)]),
    np.array([True, False]),
    np.array(["a", "größe", "null"]),
    np.array(["\udc80"]),
    np.array([b"\xff"]),
    np.array(["a", 1, None, 2.5], object),
    np.array(3.5),
    np.array([], float),
    np.array(["2024-01-31T12:00:00"], "datetime64[s]"),
    np.ma.masked_array([1.5, 2.5], [True, False]),
    pd.Series([1.5, None, 2.5], name="score"),
    pd.Series(["a", None]),
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, float("nan")]}),
    pd.DataFrame({"when": pd.to_datetime(["2024-01-31"])}),
]


@pytest.mark.parametrize("answer", _ANSWERS, ids=repr)
def test_the_answer_is_mlflows(answer: object) -> None:
    reference = Reference(_SCHEMA)
    reference.model.answer = answer
    answered = model(Remembering(answer)).answer(_BODY)
    assert answered is not None
    assert answered[0] == without_nan(reference.answer(_BODY).encode())
    assert answered[1] is answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([float("nan"), float("inf"), float("-inf"), 1.5], [None, None, None, 1.5]),
        (["NaN", 'a "NaN", -Infinity: \u00e9', float("nan")], ["NaN", 'a "NaN", -Infinity: \u00e9', None]),
        ({"NaN": [float("nan")], "a": 2**70}, {"NaN": [None], "a": 2**70}),
        (np.array([[0.1, np.nan], [np.inf, 1e300]]), [[0.1, None], [None, 1e300]]),
        (np.array([0.1, np.nan], np.float32), [float(np.float32(0.1)), None]),
        (pd.DataFrame({"a": [1.5, None]}), [{"a": 1.5}, {"a": None}]),
    ],
    ids=repr,
)
def test_null_stands_for_what_json_has_not(answer: object, expected: object) -> None:
    answered = model(Remembering(answer)).answer(_BODY)
    assert answered is not None
    assert json.loads(answered[0], parse_constant=pytest.fail) == {"predictions": expected}


def test_an_answer_without_nan_is_not_written_anew() -> None:
    written = b'{"predictions": [1.50, "Nan", null]}'
    assert without_nan(written) is written


@pytest.mark.parametrize(
    "answer", [{1, 2}, [1j], np.array([1j]), object()], ids=["set", "complex", "array", "object"]
)
def test_an_answer_that_is_not_written_by_mlflow_is_not_written_here(answer: object) -> None:
    reference = Reference(_SCHEMA)
    reference.model.answer = answer
    with pytest.raises(RefusalError):
        reference.answer(_BODY)
    with pytest.raises((TypeError, ValueError)):
        model(Remembering(answer)).answer(_BODY)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)
_arrays = stnp.arrays(
    stnp.boolean_dtypes() | stnp.integer_dtypes() | stnp.unsigned_integer_dtypes()
    | stnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)) | stnp.unicode_string_dtypes(max_len=4),
    stnp.array_shapes(max_dims=3, max_side=3, min_side=0),
)  # fmt: skip


@bounded(300)
@given(st.lists(st.floats()) | st.lists(st.text()) | st.lists(_scalars | st.lists(_scalars)) | _arrays)
def test_made_up_answers_are_written_as_mlflow_writes_them(answer: object) -> None:
    expected = io.StringIO()
    predictions_to_json(answer, expected)
    assert as_json(answer) == without_nan(expected.getvalue().encode())

"""The model that is served: its own predict, on either path, and what is known of it."""

import functools
import inspect
import json
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from mlflow.models.dependencies_schemas import _get_dependencies_schema_from_model
from mlflow.models.signature import _is_context_in_predict_function_signature
from mlflow.models.utils import _enforce_params_schema
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.context import Context, set_prediction_context
from mlflow.pyfunc.model import _PythonModelPyfuncWrapper
from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj
from mlflow.version import VERSION

from model_server.settings import Settings
from model_server.short_path import ShortPath
from model_server.signature import named_columns

_Predict = Callable[[pd.DataFrame, dict[str, Any] | None], Any]


@dataclass
class Outcome:
    """What became of one request in the model's own code, whichever path it took there."""

    failure: BaseException | None = None
    is_asked: bool = False
    predictions: Any = None


# MLflow runs predict in a thread, with the context of the request that asked for it.
outcome_of_request: ContextVar[Outcome] = ContextVar("outcome_of_request")


class Model:
    """A pyfunc model whose predict tells its own failures from refused requests."""

    def __init__(self, pyfunc: PyFuncModel, settings: Settings) -> None:
        """Take the model over: from now on its predict reports to `outcome_of_request`."""
        self.pyfunc = pyfunc
        metadata = pyfunc.metadata
        self.schema = metadata.get_input_schema()
        self.params_schema = metadata.get_params_schema()
        self._predict = _direct(pyfunc)
        self._dependencies = _get_dependencies_schema_from_model(metadata) or {}
        pyfunc._predict_fn = _reporting(pyfunc._predict_fn)
        by_hint = metadata._is_signature_from_type_hint() or metadata._is_type_hint_from_example()
        self.columns = named_columns(self.schema)
        is_short = ShortPath.fits(self.columns) and not by_hint
        self._short_path = ShortPath(self.columns) if is_short else None
        self.identity = {
            "name": settings.name,
            "version": settings.version,
            "run_id": metadata.run_id or "unknown",
            "image_id": settings.image_id,
            "mlflow_version": VERSION,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def answer(self, body: bytes) -> tuple[bytes, Any] | None:
        """Answer a JSON request, and return the predictions, too; None if the short path is not sure of it.

        Raises:
            Exception: whatever the model's own predict raises.

        """
        rows = self._short_path.read(body) if self._short_path else None
        if rows is None:
            return None
        # As PyFuncModel.predict does, which is not called, because it would check the schema.
        with set_prediction_context(Context(model_id=self.pyfunc.model_id, **self._dependencies)):
            predictions = self._predict(rows, _enforce_params_schema(None, self.params_schema))
        return as_json(predictions), predictions


def _direct(pyfunc: PyFuncModel) -> _Predict:
    """Return the model's own predict, called as PyFuncModel and its wrapper of a PythonModel would call it.

    They look at the signature of predict anew for each request: a tenth of the time of a small one.
    """
    wrapper = pyfunc._model_impl
    if type(wrapper) is _PythonModelPyfuncWrapper:
        hint = wrapper.python_model.predict_type_hints.input
        if hint is None or hint is pd.DataFrame:
            return _direct_python_model(wrapper)
    predict = pyfunc._predict_fn
    params = inspect.signature(predict).parameters.get("params")
    if params is not None and params.kind != inspect.Parameter.VAR_KEYWORD:
        return lambda rows, params: predict(rows, params=params)
    return lambda rows, _: predict(rows)


def _direct_python_model(wrapper: _PythonModelPyfuncWrapper) -> _Predict:
    predict: Callable[..., Any] = wrapper.python_model.predict
    parameters = inspect.signature(predict).parameters
    if _is_context_in_predict_function_signature(parameters=parameters):
        predict = functools.partial(predict, wrapper.context)
    if "params" in parameters:
        return lambda rows, params: predict(rows, params=params)
    return lambda rows, _: predict(rows)


def as_json(predictions: Any) -> bytes:  # noqa: ANN401 - whatever a model answers
    """Write the answer of the model, byte for byte as MLflow's `predictions_to_json`, but in one go."""
    return json.dumps({"predictions": _get_jsonable_obj(predictions)}, cls=NumpyEncoder).encode()


def _reporting(predict: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(predict)
    def reporting(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        outcome = outcome_of_request.get()
        outcome.is_asked = True
        try:
            outcome.predictions = predict(*arguments, **named)
        except BaseException as error:  # sys.exit, too, which would end the worker
            outcome.failure = error
            # Another, because MLflow puts the data into the message of this one.
            raise RuntimeError("the model failed") from None
        return outcome.predictions

    return reporting

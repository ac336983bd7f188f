"""The private parts of MLflow that the model server uses or replaces. No other module of it touches one.

Private is a name with an underscore before it, and what has no page in the reference of MLflow's Python API:
https://mlflow.org/docs/latest/api_reference/python_api/
"""

import functools
import inspect
import json
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pandas as pd
from mlflow.models import Model
from mlflow.models.dependencies_schemas import _get_dependencies_schema_from_model
from mlflow.models.signature import _is_context_in_predict_function_signature
from mlflow.pyfunc import PyFuncModel, scoring_server
from mlflow.pyfunc.context import Context, set_prediction_context
from mlflow.pyfunc.loaders import chat_agent, chat_model, responses_agent
from mlflow.pyfunc.model import _PythonModelPyfuncWrapper
from mlflow.pyfunc.utils import data_validation
from mlflow.pyfunc.utils.serving_data_parser import is_unified_llm_input
from mlflow.types import type_hints
from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

from model_server.answers import without_nan

PRIVATE = (
    "mlflow.models:Model._is_signature_from_type_hint",
    "mlflow.models:Model._is_type_hint_from_example",
    "mlflow.models.dependencies_schemas:_get_dependencies_schema_from_model",
    "mlflow.models.signature:_is_context_in_predict_function_signature",
    "mlflow.pyfunc:PyFuncModel._model_impl",
    "mlflow.pyfunc:PyFuncModel._predict_fn",
    "mlflow.pyfunc:PythonModel.predict_type_hints",
    "mlflow.pyfunc.context:Context",
    "mlflow.pyfunc.context:set_prediction_context",
    "mlflow.pyfunc.loaders.chat_agent:_ChatAgentPyfuncWrapper._convert_input",
    "mlflow.pyfunc.loaders.chat_model:_ChatModelPyfuncWrapper._convert_input",
    "mlflow.pyfunc.loaders.responses_agent:_ResponsesAgentPyfuncWrapper._convert_input",
    "mlflow.pyfunc.model:_PythonModelPyfuncWrapper",
    "mlflow.pyfunc.model:_PythonModelPyfuncWrapper._convert_input",
    "mlflow.pyfunc.model:_PythonModelPyfuncWrapper.context",
    "mlflow.pyfunc.model:_PythonModelPyfuncWrapper.python_model",
    "mlflow.pyfunc.scoring_server:CONTENT_TYPES",
    "mlflow.pyfunc.scoring_server:init",
    "mlflow.pyfunc.utils:data_validation",
    "mlflow.pyfunc.utils.serving_data_parser:is_unified_llm_input",
    "mlflow.types:type_hints",
    "mlflow.utils.proto_json_utils:NumpyEncoder",
    "mlflow.utils.proto_json_utils:_get_jsonable_obj",
)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""

CONTENT_TYPES: tuple[str, ...] = tuple(scoring_server.CONTENT_TYPES)
"""What MLflow's scoring server reads, as its own `CONTENT_TYPES` says.

Why: a refusal says which Content-Types there are, and that depends on MLflow's version. Nothing public would
do instead: they are named in MLflow's documentation only.
"""

_CHAT_WRAPPERS = (
    chat_agent._ChatAgentPyfuncWrapper,
    chat_model._ChatModelPyfuncWrapper,
    responses_agent._ResponsesAgentPyfuncWrapper,
)

Predict = Callable[[pd.DataFrame, dict[str, Any] | None], Any]


def application(pyfunc: PyFuncModel) -> Any:  # noqa: ANN401 - an ASGI application
    """Return MLflow's scoring server around a model, by its function `init`.

    Why: it answers, in this process, what the short path does not take. Nothing public would do instead:
    `mlflow models serve` and an image of `mlflow.models.build_docker` load the model in other processes.
    """
    return scoring_server.init(pyfunc)


def wrap_predict(pyfunc: PyFuncModel, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a function around the model's own predict, which `PyFuncModel.predict` keeps as `_predict_fn`.

    Why: the failures of the model must be told from refused requests, and `PyFuncModel.predict` raises both.
    A public hook around the call of the model would do instead. The public `PyFuncModel.unwrap_python_model`
    would not: it gives something for a PythonModel only.
    """
    pyfunc._predict_fn = wrap(pyfunc._predict_fn)


def direct_predict(pyfunc: PyFuncModel) -> Predict:
    """Return the model's own predict, called as `PyFuncModel` and its wrapper of a PythonModel would call it.

    Why: both look at the signature of predict anew for each request: a tenth of the time of a small one.
    Here that is done once. `_model_impl` says whether there is a `_PythonModelPyfuncWrapper`, and the model's
    `predict_type_hints` whether that would convert the rows; if so, and for any other model, `_predict_fn` is
    called. The public `PyFuncModel.predict` would do instead, if it looked once, and did not check again what
    has been checked.
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


def _direct_python_model(wrapper: _PythonModelPyfuncWrapper) -> Predict:
    """Return predict of the wrapper's `python_model`, as a function of the rows and the parameters.

    Why: `_is_context_in_predict_function_signature` is MLflow's rule for whether predict wants the `context`,
    and only the wrapper has that. The public `PyFuncModel.unwrap_python_model` would do for the model itself;
    for the context, nothing public would.
    """
    predict: Callable[..., Any] = wrapper.python_model.predict
    parameters = inspect.signature(predict).parameters
    if _is_context_in_predict_function_signature(parameters=parameters):
        predict = functools.partial(predict, wrapper.context)
    if "params" in parameters:
        return lambda rows, params: predict(rows, params=params)
    return lambda rows, _: predict(rows)


def is_typed_by_hint(metadata: Model) -> bool:
    """Whether requests are read by predict's type hints, and not, or not only, by the signature.

    Why: the short path can't read such requests. The public `Model.to_dict` would do instead, if its keys for
    `_is_signature_from_type_hint` and `_is_type_hint_from_example` were documented: one that is renamed would
    be taken for a no.
    """
    return bool(metadata._is_signature_from_type_hint() or metadata._is_type_hint_from_example())


def refused_by_hint(error: BaseException) -> bool:
    """Whether MLflow refused the data, as not being of predict's type hints, before the model got it.

    Why: MLflow checks that around the model's own predict, in its modules `type_hints` and `data_validation`,
    and raises an MlflowException, as the model itself may. Or it fails on the data in `_convert_input` of the
    wrapper around the model. A public exception for this refusal only would do instead.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = (type_hints.__name__, data_validation.__name__)
    if frames and frames[-1].f_globals.get("__name__") in modules:
        return True
    return any(frame.f_code is _PythonModelPyfuncWrapper._convert_input.__code__ for frame in frames)


def refused_as_chat(error: BaseException) -> bool:
    """Whether MLflow could not make of the data what a ChatModel, ChatAgent or ResponsesAgent is given.

    Why: the wrapper around such a model does that in a method of its own, `_convert_input`, and whatever is
    raised there comes out as if the model had raised it. A public exception for this refusal only would do
    instead.
    """
    codes = {wrapper._convert_input.__code__ for wrapper in _CHAT_WRAPPERS}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def prediction_contexts(pyfunc: PyFuncModel) -> Callable[[], AbstractContextManager[None]]:
    """Return what makes, for each request, the context in which `PyFuncModel.predict` calls the model.

    Why: by it, MLflow knows whose the traces are that predict writes. It is a `Context` with what
    `_get_dependencies_schema_from_model` finds, and is put in force by `set_prediction_context`. The public
    `PyFuncModel.predict` would do instead, if it did not check again what has been checked.
    """
    dependencies = _get_dependencies_schema_from_model(pyfunc.metadata) or {}
    return lambda: set_prediction_context(Context(model_id=pyfunc.model_id, **dependencies))


def as_json(predictions: Any) -> bytes:  # noqa: ANN401 - whatever a model answers
    """Write the answer of the model, byte for byte as MLflow's scoring server does, but in one go.

    Null stands for NaN and for what is infinite, as in `without_nan`. To look for them in what is written
    would take longer than the encoder's own check.

    Why: `_get_jsonable_obj` and `NumpyEncoder` make JSON of the types of pandas and NumPy there. Its own
    `predictions_to_json` is as private, and writes value by value, which takes longer. A public function that
    returns the answer as text would do instead.
    """
    answer = {"predictions": _get_jsonable_obj(predictions)}
    try:
        return json.dumps(answer, cls=NumpyEncoder, allow_nan=False).encode()
    except ValueError:  # or it has a cycle, which is found again
        return without_nan(json.dumps(answer, cls=NumpyEncoder).encode())


def is_llm_request(request: dict[str, Any]) -> bool:
    """Whether MLflow takes the whole JSON object as the data, by `is_unified_llm_input`.

    Why: what is wrong with a refused request depends on it. A public constant with the keys by which MLflow
    decides would do instead.
    """
    return bool(is_unified_llm_input(request))

"""Models of every kind, which tell in their answer what they were given: the yardstick asks them.

tests/unit/situations.py holds what they are asked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

_HEAD = '''
import datetime
import decimal
from typing import Any, Optional

import numpy as np
import pandas as pd
import pydantic
from mlflow.exceptions import MlflowException, RestException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.pyfunc import ChatAgent, ChatModel, PythonModel, ResponsesAgent
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage
from mlflow.types.responses import ResponsesAgentResponse
from mlflow.types.type_hints import TypeFromExample


def told(data):
    """Return all that a model can see of its data, in JSON without NaN."""
    if isinstance(data, pd.DataFrame):
        columns = [[repr(name), str(of.dtype), told(list(of))] for name, of in data.items()]
        return {"columns": columns, "index": repr(list(data.index))}
    if isinstance(data, np.ndarray):
        return [str(data.dtype), data.shape, told(data.tolist())]
    if isinstance(data, dict):
        return {repr(key): told(value) for key, value in data.items()}
    if isinstance(data, list):
        return [told(value) for value in data]
    return f"{type(data).__name__} {data!r}"


class Inner(pydantic.BaseModel):
    name: str
    tags: list[str] = []


class Message(pydantic.BaseModel):
    role: str
    weight: Optional[float] = None
    inner: Optional[Inner] = None


'''
_ECHO = """
class Echo(PythonModel):
    def predict(self, {arguments}):
        return {{"data": told(model_input), "params": told({params})}}


set_model(Echo())
"""
# Answers with the value of the expression that it is given, or raises that.
_TOLD = """
class Told(PythonModel):
    def predict(self, context, model_input, params=None):
        is_table = isinstance(model_input, pd.DataFrame)
        value = eval(model_input["it"].iloc[0] if is_table else model_input["input"])
        if isinstance(value, BaseException):
            raise value
        return value


set_model(Told())
"""
_CHATS = {
    "ChatModel": """
class Chat(ChatModel):
    def predict(self, context, messages, params):
        told = f"{[of.content for of in messages]} {params.temperature} {params.custom_inputs}"
        answer = ChatMessage(role="assistant", content=told)
        return ChatCompletionResponse(choices=[ChatChoice(message=answer)], created=1)
""",
    "ChatAgent": """
class Chat(ChatAgent):
    def predict(self, messages, context=None, custom_inputs=None):
        told = f"{[of.content for of in messages]} {context} {custom_inputs}"
        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content=told, id="1")])

    def predict_stream(self, messages, context=None, custom_inputs=None):
        yield from ()
""",
    "ResponsesAgent": """
class Chat(ResponsesAgent):
    def predict(self, request):
        told = f"{[of.content for of in request.input]} {request.custom_inputs}"
        content = [{"type": "output_text", "text": told, "annotations": []}]
        answer = {"type": "message", "id": "1", "status": "completed", "role": "assistant"}
        return ResponsesAgentResponse(output=[{**answer, "content": content}])

    def predict_stream(self, request):
        yield from ()
""",
}
HINTS = (
    "list[str]",
    "list[int]",
    "list[float]",
    "list[bool]",
    "list[bytes]",
    "list[datetime.datetime]",
    "list[list[int]]",
    "list[dict[str, int]]",
    "list[Any]",
    "list[Message]",
    "pd.DataFrame",
)
PARAMS = ParamSchema(
    [
        ParamSpec("threshold", DataType.double, 0.5),
        ParamSpec("count", DataType.integer, 3),
        ParamSpec("mode", DataType.string, "fast"),
        ParamSpec("loud", DataType.boolean, False),
        ParamSpec("since", DataType.datetime, np.datetime64("2024-01-31")),
        ParamSpec("stop", DataType.string, ["a"], (-1,)),
        ParamSpec("nothing", DataType.double, None),
        ParamSpec("options", Object([Property("depth", DataType.long)]), {"depth": 1}),
    ]
)


@dataclass(frozen=True)
class Kind:
    """A kind of model: its code, and its signature unless MLflow makes that from the code."""

    code: str
    signature: ModelSignature | None = None

    def save(self, directory: Path) -> Path:
        """Save a model of this kind."""
        directory.mkdir()
        (directory / "code.py").write_text(_HEAD + self.code)
        path = directory / "model"
        mlflow.pyfunc.save_model(
            path, python_model=str(directory / "code.py"), signature=self.signature, pip_requirements=[]
        )
        return path


def _echo(
    *inputs: Any,  # noqa: ANN401 - columns or tensors
    params: ParamSchema | None = None,
    arguments: str = "context, model_input, params=None",
) -> Kind:
    code = _ECHO.format(arguments=arguments, params="params" if "params" in arguments else None)
    if not inputs and params is None:
        return Kind(code)
    schema: Any = Schema(list(inputs)) if inputs else None
    return Kind(code, ModelSignature(schema, params=params))  # type: ignore[arg-type]


def _hinted(hint: str) -> Kind:
    return Kind(_ECHO.format(arguments=f"model_input: {hint}, params=None", params="params"))


_person = Object([Property("name", DataType.string), Property("age", DataType.long, required=False)])
COLUMNS = {
    **{kind.name: _echo(ColSpec(kind, "it")) for kind in DataType},
    **{f"{kind.name}, optional": _echo(ColSpec(kind, "it", required=False)) for kind in DataType},
    "every type": _echo(*(ColSpec(kind, kind.name) for kind in DataType), params=PARAMS),
    "some optional": _echo(
        ColSpec(DataType.double, "a"),
        ColSpec(DataType.string, "b", required=False),
        ColSpec(DataType.long, "c", required=False),
    ),
    "numbers as names": _echo(ColSpec(DataType.long, 0), ColSpec(DataType.double, 1)),  # type: ignore[arg-type]
    "no names": _echo(ColSpec(DataType.double), ColSpec(DataType.double), params=PARAMS),
    "one without a name": _echo(ColSpec(DataType.string)),
}
NESTED = {
    "array": _echo(ColSpec(Array(DataType.double), "it")),
    "array of arrays": _echo(ColSpec(Array(Array(DataType.long)), "it")),
    "object": _echo(ColSpec(_person, "it")),
    "array of objects": _echo(ColSpec(Array(_person), "it"), ColSpec(DataType.double, "weight")),
    "map": _echo(ColSpec(Map(DataType.long), "it")),
    "anything": _echo(ColSpec(AnyType(), "it")),
    "array, optional": _echo(ColSpec(Array(DataType.string), "it", required=False)),
    "array without a name": _echo(ColSpec(Array(DataType.double))),
}
TENSORS = {
    "tensor": _echo(TensorSpec(np.dtype("float64"), (-1, 2))),
    "tensor of whole numbers": _echo(TensorSpec(np.dtype("int32"), (-1, 2))),
    "tensor of bytes, 3D": _echo(TensorSpec(np.dtype("uint8"), (-1, 2, 2))),
    "tensor of text": _echo(TensorSpec(np.dtype("str"), (-1, 2))),
    "tensors": _echo(
        TensorSpec(np.dtype("float32"), (-1, 2), "a"),
        TensorSpec(np.dtype("int64"), (-1,), "b"),
        params=PARAMS,
    ),
}
FREE = {
    "no signature": _echo(),
    "no signature, no params": _echo(arguments="context, model_input"),
    "params alone": _echo(params=PARAMS),
    **{hint: _hinted(hint) for hint in HINTS},
}
CHATS = {kind: Kind(f"{code}\n\nset_model(Chat())\n") for kind, code in _CHATS.items()}
TOLD = {
    "told": Kind(_TOLD, ModelSignature(Schema([ColSpec(DataType.string, "it")]))),
    "told by chat": Kind(_TOLD),
}
ZOO = {**COLUMNS, **NESTED, **TENSORS, **FREE, **CHATS, **TOLD}

"""What the tests of the model server share: a model that does as it is told, a caller without a network."""

import asyncio
import io
import json
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc import PyFuncModel, scoring_server
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from model_server.app import Application
from model_server.handover import Message, Receive, Send
from model_server.settings import Settings
from prometheus_client.parser import text_string_to_metric_families

CODE = '''
import asyncio
import logging
import os
import sqlite3
import threading
import time
from contextvars import ContextVar

from mlflow.exceptions import MlflowException, RestException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INVALID_PARAMETER_VALUE as INVALID
from mlflow.pyfunc import PythonModel
from mlflow.pyfunc.context import get_prediction_context

seen = ContextVar("seen")


class Told(PythonModel):
    """Does what the column `task` says."""

    def load_context(self, context):
        self.begun, self.has_ended, self.counter = threading.Semaphore(0), False, None
        self.gate = threading.Event()
        self.depth = context.model_config["depth"]

    def predict(self, context, model_input, params=None):
        weights = model_input["weight"] if "weight" in model_input else [0.0] * len(model_input)
        return [self._do(*row, params) for row in zip(model_input["task"], model_input["age"], weights)]

    def _do(self, task, age, weight, params):
        if task == "fail":
            raise RuntimeError("no luck with zebra42")
        if task == "exit":
            raise SystemExit("no luck with zebra42")
        if task == "refuse":
            raise MlflowException("say so", error_code=BAD_REQUEST if params["limit"] == 1.5 else INVALID)
        if task == "wait":
            self.begun.release()
            self.gate.wait(10)
            self.has_ended = True
        if task == "sleep":
            time.sleep(1)
        if task == "ask":
            raise RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "no run zebra42"})
        if task == "loop":
            asyncio.run(asyncio.sleep(0))
            return "looped"
        if task == "context":
            was = seen.get(False)
            seen.set(True)
            return f"set: {was}"
        if task == "prediction context":
            return type(get_prediction_context()).__name__
        if task == "speak":
            print("printed by the model")
            logging.info("logged by the model")
            logging.getLogger(__name__).info("logged by its logger")
            logging.debug("no need to know")
        if task == "weigh":
            return f"{float(weight):.0f}" if weight == weight else f"{int(weight)}"
        if task == "no number":
            return float("nan")
        if task == "depth":
            return str(self.depth)
        if task == "pid":
            return str(os.getpid())
        if task == "thread":
            return threading.current_thread().name
        if task == "count":  # by what only the thread that made it can use
            self.counter = self.counter or sqlite3.connect(":memory:")
            return str(self.counter.execute("select 1").fetchone()[0])
        return "old" if age > params["limit"] else "young"


set_model(Told())
'''
INPUTS = Schema(
    [
        ColSpec(DataType.long, "age"),
        ColSpec(DataType.double, "bmi"),
        ColSpec(DataType.string, "task"),
        ColSpec(DataType.boolean, "smoker"),
        ColSpec(DataType.double, "weight", required=False),
    ]
)
ROW: dict[str, Any] = {"age": 50, "bmi": 22.5, "task": "predict", "smoker": True, "weight": 70.5}
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
# In what a client sends, to be looked for in what it is told.
MARK = "zebra42"

T = TypeVar("T")
ASGI = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]


def save_model(directory: Path) -> Path:
    """Save the model with a signature, a parameter and an input example, one value of which is missing."""
    code, path = directory / "told.py", directory / "model"
    code.write_text(CODE)
    signature = ModelSignature(
        INPUTS, Schema([ColSpec(DataType.string)]), ParamSchema([ParamSpec("limit", DataType.double, 40.0)])
    )
    example = pd.DataFrame([ROW, {**ROW, "age": 30, "weight": None}])
    mlflow.pyfunc.save_model(
        path,
        python_model=str(code),
        signature=signature,
        input_example=example,
        pip_requirements=[],
        model_config={"depth": 1},
    )
    return path


def settings_for(model: Path, name: str) -> Settings:
    """Return settings; metrics of one process are in one place, so each file of tests has its own name."""
    return Settings(
        model_path=str(model),
        host="127.0.0.1",
        port=1,
        own_port=0,
        workers=1,
        preload=None,
        threads=4,
        blas_threads=1,
        queue=8,
        max_body=1024 * 1024,
        timeout=60,
        request_log=False,
        strict=True,
        allowed_hosts=frozenset({"serving.example.com"}),
        cors_origins=frozenset(),
        model_config={},
        name=name,
        version="7",
        image_id="sha256:0",
    )


@dataclass
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The sentence of a refusal."""
        return str(json.loads(self.body)["message"])

    @property
    def code(self) -> str:
        """The error_code of a refusal."""
        return str(json.loads(self.body)["error_code"])


class Client:
    """Calls an application in this process, always from the same event loop."""

    def __init__(self, app: ASGI) -> None:
        self.app = app
        self._runner = asyncio.Runner()

    async def ask(
        self, method: str, path: str, *body: bytes, headers: Mapping[str, str], is_half_sent: bool = False
    ) -> Answer:
        """Send a request, its body in parts, after which more may be missing."""
        parts = list(body) or [b""]
        sent: list[Message] = []

        async def receive() -> Message:
            if not parts:
                return await asyncio.Future[Message]()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts) or is_half_sent}

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            await self.app(scope_of(method, path, headers), receive, send)
        except Exception:  # Starlette answers, then lets the server log it
            if not sent:
                raise
        names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent))

    async def predict(self, body: bytes, content_type: str | None = JSON) -> Answer:
        headers = {"content-length": str(len(body))}
        if content_type is not None:
            headers["content-type"] = content_type
        return await self.ask("POST", "/invocations", body, headers=headers)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def get(self, path: str, method: str = "GET") -> Answer:
        return self.run(self.ask(method, path, headers={}))

    def post(self, body: bytes, content_type: str | None = JSON) -> Answer:
        return self.run(self.predict(body, content_type))

    def close(self) -> None:
        self._runner.close()


def scope_of(method: str, path: str, headers: Mapping[str, str]) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
    }


@dataclass
class Served:
    """The same model three times: by the model server, by MLflow, and its own object in the model server."""

    model: Path
    settings: Settings
    ours: Client
    mlflow: Client
    python_model: Any

    @contextmanager
    def with_settings(self, **changes: Any) -> Iterator["Served"]:  # noqa: ANN401
        """Serve the model anew, with other settings."""
        settings = replace(self.settings, **changes)
        pyfunc = load(self.model)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", str(settings.timeout))
            ours = Client(Application(pyfunc, settings))
        try:
            yield replace(self, settings=settings, ours=ours, python_model=pyfunc.unwrap_python_model())
        finally:
            ours.close()


@contextmanager
def serve(directory: Path, name: str) -> Iterator[Served]:
    """Save the model and serve it."""
    model = save_model(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # which MLflow's server sets for good
        mlflow_client = Client(scoring_server.init(load(model)))
        served = Served(model, settings_for(model, name), mlflow_client, mlflow_client, None)
        try:
            with served.with_settings() as ours:
                yield ours
        finally:
            mlflow_client.close()


def samples(text: str, model: str, sample: str, label: str = "") -> dict[str, float]:
    """Return the values of one model's samples by one of their labels, from what /metrics says."""
    return {
        found.labels.get(label, ""): found.value
        for family in text_string_to_metric_families(text)
        for found in family.samples
        if found.name == sample and found.labels["model"] == model
    }


def load(model: Path) -> PyFuncModel:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Add type hints")
        pyfunc: PyFuncModel = mlflow.pyfunc.load_model(str(model))
    return pyfunc


def as_json(**request: object) -> bytes:
    """Write a request as JSON."""
    return json.dumps(request).encode()


def split(*rows: Mapping[str, Any], **others: object) -> bytes:
    """Write rows as dataframe_split."""
    return as_json(
        dataframe_split={"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}, **others
    )


def csv(*rows: Mapping[str, Any]) -> bytes:
    """Write rows as CSV."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(
        ",".join("" if value is None else str(value) for value in line) + "\n" for line in lines
    ).encode()


def parquet(*rows: Mapping[str, Any]) -> bytes:
    """Write rows as Parquet."""
    file = io.BytesIO()
    pd.DataFrame(list(rows)).to_parquet(file)
    return file.getvalue()

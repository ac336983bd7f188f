"""Requests to a model and its answers, as JSON, in the form that the model server uses.

The private parts of MLflow that the trainer uses are here, and not in a module of their own: this file also
runs by itself, and can import no module beside it then. No other module of the trainer uses a private part.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import convert_input_example_to_serving_input
from mlflow.pyfunc import PyFuncModel, load_model
from mlflow.pyfunc.scoring_server import _parse_json_data, predictions_to_json
from mlflow.types import DataType, Schema

PRIVATE = (
    "mlflow.pyfunc.scoring_server:_parse_json_data",
    "mlflow.pyfunc.scoring_server:predictions_to_json",
)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""

# So many rows are first asked one by one, as most clients ask.
ALONE = 8
# A request has at most so many rows and bytes, and takes the model about so many seconds: each of them less
# than the model server allows by default.
_MOST_ROWS = 500
_MOST_BYTES = 512 * 1024
_MOST_SECONDS = 5.0
# What is kept for the replay: the first rows, until there are so many, or the model needs so many seconds.
REPLAY_ROWS = 1000
REPLAY_SECONDS = 30.0


class SettingError(Exception):
    """A setting can't be used: its text says which, and what to do."""


class UnfitError(Exception):
    """What predict returned does not answer the request; the text goes on after "predict"."""


@dataclass(frozen=True)
class Exchange:
    """One request, and the model's answer to each of its rows; ``first`` is the number of the first row."""

    request: dict[str, Any]
    answers: list[Any]
    first: int


@dataclass
class Answered:
    """The model's answer to each row of the features, and the exchanges that the replay repeats."""

    answers: list[Any] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    is_single: bool = False
    """Whether the model answers with floats of single precision (32 bits) or less."""


def ask(model: PyFuncModel, features: pd.DataFrame, params: Mapping[str, Any] | None = None) -> Answered:
    """Ask a model in this process as clients of the model server do: some rows alone, then all, in batches.

    If there are ``params``, the rows that are asked alone are also asked once with these.

    Raises:
        UnfitError: if the model returns anything but a list, array, Series or DataFrame with one answer for
            each row.

    """
    asked = Answered()
    schema = model.metadata.get_input_schema()

    def exchange(first: int, size: int, params: Mapping[str, Any] | None = None) -> Exchange:
        """Ask for some rows in one request."""
        request = json.loads(as_request(schema, features.iloc[first : first + size]))
        if params:
            request["params"] = dict(params)
        predictions = _predict(model, json.dumps(request))
        asked.is_single = asked.is_single or _is_single(predictions)
        return Exchange(request, _as_read(predictions, size), first)

    alone = min(ALONE, len(features))
    paces = []
    for number in range(alone):
        since = time.monotonic()
        asked.exchanges.append(exchange(number, 1))
        paces.append(time.monotonic() - since)
    if params and model.metadata.get_params_schema() is not None:
        asked.exchanges.append(exchange(0, alone, params))
    pace = max(min(paces, default=0.0), 1e-6)  # seconds a row, at most: a batch is quicker
    kept = min(REPLAY_ROWS, max(ALONE, int(REPLAY_SECONDS / pace)))
    row_bytes = len(as_request(schema, features.head(ALONE))) // ALONE
    batch = max(1, min(int(_MOST_SECONDS / pace), _MOST_ROWS, _MOST_BYTES // max(1, row_bytes)))
    for first in range(0, len(features), batch):
        size = min(batch, len(features) - first)
        answered = exchange(first, size)
        asked.answers += answered.answers
        if first == 0 or first + size <= kept:
            asked.exchanges.append(answered)
    return asked


def as_request(schema: Schema | None, rows: pd.DataFrame) -> str:
    """Return the body of a request for predictions of these rows, in a format that fits the signature."""
    example: Any = rows
    if schema is not None and schema.is_tensor_spec():
        if schema.has_input_names():
            example = {spec.name: _tensor(spec, rows[[spec.name]])[:, 0] for spec in schema.inputs}
        else:
            [spec] = schema.inputs
            example = _tensor(spec, rows)
    return str(convert_input_example_to_serving_input(example))


def _tensor(spec: Any, rows: pd.DataFrame) -> Any:  # noqa: ANN401 - TensorSpec, ndarray
    """Return the rows as an array of the spec's type; each row gets the shape that the spec gives it."""
    values = rows.to_numpy(spec.type)
    shape = spec.shape[1:]
    return values.reshape(len(rows), *shape) if -1 not in shape and len(shape) > 1 else values


def _predict(model: PyFuncModel, body: str) -> Any:  # noqa: ANN401 - whatever a model answers
    """Give the model what the model server would make of the request.

    Why `_parse_json_data`: MLflow's scoring server reads a request by it. The public
    `mlflow.models.predict` would do instead, if it did not load the model anew for each request.
    """
    schema = model.metadata.get_input_schema()
    parsed = _parse_json_data(body, model.metadata, schema)
    if isinstance(parsed.data, pd.DataFrame) and schema is not None and schema.has_input_names():
        # As the model server does: otherwise, a missing text would differ in a request without a text.
        for column in schema.inputs:
            if column.type == DataType.string and column.name in parsed.data:
                parsed.data[column.name] = parsed.data[column.name].astype("str")
    return model.predict(parsed.data, params=parsed.params)


def _as_read(predictions: Any, rows: int) -> list[Any]:  # noqa: ANN401
    """Return the predictions for so many rows as a client reads them; UnfitError if they are no such.

    Why `predictions_to_json`: MLflow's scoring server makes JSON of an answer by it. The public
    `mlflow.models.predict` would do instead, if it did not load the model anew.
    """
    written = io.StringIO()
    predictions_to_json(predictions, written)
    # The model server writes null for what JSON can't write: NaN and infinite numbers.
    found = json.loads(written.getvalue(), parse_constant=lambda _: None)["predictions"]
    if not isinstance(found, list):
        raise UnfitError(f"returned {found!r}, expected a list with an answer for each row")
    if len(found) != rows:
        asked = "1 row" if rows == 1 else f"{rows} rows"
        raise UnfitError(f"gave {len(found)} answers to a request with {asked}, expected one for each row")
    return found


def _is_single(predictions: Any) -> bool:  # noqa: ANN401
    if isinstance(predictions, list):
        predictions = predictions[0] if predictions else None
    if isinstance(predictions, pd.DataFrame):
        types = list(predictions.dtypes)
    else:
        types = [getattr(predictions, "dtype", None)]
    return any(kind in (np.float16, np.float32) for kind in types if kind is not None)


def one_line(error: Exception) -> str:
    """Describe an error in one line, by its first paragraph; what follows that in MLflow's are examples."""
    return f"{type(error).__name__}: {first_paragraph(error)}"


def first_paragraph(error: Exception) -> str:
    """Return the first paragraph of an error's text, as one line."""
    return " ".join(str(error).strip().partition("\n\n")[0].split())


def load(model_uri: str) -> PyFuncModel:
    """Load a model as the model server does, with the values that replace those of its own model_config.

    Raises:
        SettingError: if they are no JSON object.

    """
    try:
        config = dict(json.loads(os.environ.get("SERVING_MODEL_CONFIG") or "{}"))
    except (TypeError, ValueError) as error:
        raise SettingError("SERVING_MODEL_CONFIG is no JSON object; correct it in model.env") from error
    # Without its warnings, which nobody would read.
    return load_model(model_uri, suppress_warnings=True, model_config=config)


def answer_elsewhere(model_uri: str, features: pd.DataFrame) -> list[Any]:
    """Return the answers of a model that is loaded by a process of its own.

    Two versions of a model have modules of the same names, and one process can import only one of each.

    Raises:
        RuntimeError: if it returns none; the text says why, in one line.

    """
    with tempfile.TemporaryDirectory() as directory:
        rows, answers = Path(directory) / "rows.pickle", Path(directory) / "answers.json"
        features.to_pickle(rows)
        command = [sys.executable, "-P", __file__, model_uri, str(rows), str(answers)]
        done = subprocess.run(command, cwd=directory, capture_output=True)
        if not answers.exists():
            raise RuntimeError(f"its process ended with status {done.returncode}")
        found = json.loads(answers.read_text())
        if "error" in found:
            raise RuntimeError(found["error"])
        return list(found["answers"])


def main(model_uri: str, rows: str, answers: str) -> None:
    """Run in that process: write the model's answers, or its error, to the file ``answers``."""
    found: dict[str, Any]
    try:
        model = load(model_uri)
        found = {"answers": ask(model, pd.read_pickle(rows)).answers}  # noqa: S301 - our own file
    except Exception as error:
        found = {"error": one_line(error)}
    Path(answers).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

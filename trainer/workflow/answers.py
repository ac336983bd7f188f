"""Requests to a model and its answers, as JSON, in the form that the model server uses.

The private part of MLflow that the trainer uses is here, and not in a module of its own: this file also runs
by itself, and can import no module beside it then. No other module of the trainer uses a private part.
"""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import convert_input_example_to_serving_input
from mlflow.pyfunc import PyFuncModel, load_model
from mlflow.pyfunc.scoring_server import predictions_to_json

PRIVATE = ("mlflow.pyfunc.scoring_server:predictions_to_json",)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""


def as_request(features: pd.DataFrame) -> str:
    """Return the body of a request for predictions of these rows."""
    return str(convert_input_example_to_serving_input(features))


def answer(model: PyFuncModel, features: pd.DataFrame) -> list[Any]:
    """Return the answers of a model in this process, as a client of the model server reads them.

    Why `predictions_to_json`: MLflow's scoring server makes JSON of an answer by it. The public
    `mlflow.models.predict` would do instead, if it did not load the model anew.

    Raises:
        TypeError: if it returns anything but a list, array, Series or DataFrame.

    """
    written = io.StringIO()
    predictions_to_json(model.predict(features), written)
    found = json.loads(written.getvalue())["predictions"]
    if not isinstance(found, list):
        raise TypeError(f"expected a list with an answer for each row, found {found!r}")
    return found


def one_line(error: Exception) -> str:
    """Describe an error in one line, by its first paragraph; what follows that in MLflow's are examples."""
    return f"{type(error).__name__}: {first_paragraph(error)}"


def first_paragraph(error: Exception) -> str:
    """Return the first paragraph of an error's text, as one line."""
    return " ".join(str(error).strip().partition("\n\n")[0].split())


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
        model = load_model(model_uri, suppress_warnings=True)  # nobody would read them
        found = {"answers": answer(model, pd.read_pickle(rows))}  # noqa: S301 - our own file
    except Exception as error:
        found = {"error": one_line(error)}
    Path(answers).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

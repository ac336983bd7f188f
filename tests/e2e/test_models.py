"""Models that are right, and unlike the two that come with the stack, from the training to an answer."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from stack.config import CHECKOUT
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import Stack, new_stack, removed

TRAIN = """
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from workflow import Data, Gate, Training, main, requirements

HERE = Path(__file__).parent


def load_data():
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(1300, 2)), columns=["x", "y"])
    rows["target"] = rows["x"] + 2 * rows["y"]
    return Data(rows.head(200), rows.tail(1100), target="target")


def store_pyfunc_model(_, example):
    return mlflow.pyfunc.log_model(
        name="artifacts",
        python_model=str(HERE / "model.py"),
        signature=SIGNATURE,
        input_example=EXAMPLE(example),
        pip_requirements=requirements("mlflow", "pandas", "numpy"),
    )


def evaluate(rows, answers):
    values = [answer["value"] if isinstance(answer, dict) else answer for answer in answers]
    return {"error": float(np.abs(rows["target"].to_numpy() - values).max())}


TRAINING = Training(
    directory=HERE,
    parameters={},
    gate=Gate("error", threshold=0.001, tolerance=0.001, greater_is_better=False),
    load_data=load_data,
    initialize_and_train=lambda rows: None,
    store_pyfunc_model=store_pyfunc_model,
    evaluate=evaluate,
)

if __name__ == "__main__":
    sys.exit(main(TRAINING))
"""
# It ranks the rows of a request, joins a frame to them, computes with 32 bits, and has a parameter.
BY_COLUMN = (
    """
SIGNATURE = ModelSignature(
    Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.double, "y")]),
    Schema([ColSpec(DataType.float, "value"), ColSpec(DataType.long, "rank")]),
    ParamSchema([ParamSpec("scale", DataType.double, 1.0)]),
)
EXAMPLE = lambda rows: (rows, {"scale": 3.0})
""",
    """
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        rows = pd.concat([model_input, pd.DataFrame({"factor": [2.0] * len(model_input)})], axis=1)
        value = (rows["x"] + rows["factor"] * rows["y"]).astype("float32") * np.float32(params["scale"])
        return pd.DataFrame({"value": value, "rank": value.rank().astype("int64")})


set_model(Model())
""",
)
BY_TENSOR = (
    """
SIGNATURE = ModelSignature(
    Schema([TensorSpec(np.dtype("float32"), (-1, 2))]), Schema([TensorSpec(np.dtype("float32"), (-1,))])
)
EXAMPLE = lambda rows: rows.to_numpy("float32")
""",
    """
import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input @ np.array([1.0, 2.0], "float32")


set_model(Model())
""",
)

# A thread answers, which a fork would not copy.
WITH_THREAD = (
    """
SIGNATURE = ModelSignature(
    Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.double, "y")]), Schema([ColSpec(DataType.double)])
)
EXAMPLE = lambda rows: rows
""",
    """
import queue
import threading

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    def load_context(self, context):
        self.asked, self.answered = queue.Queue(), queue.Queue()
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        while True:
            rows = self.asked.get()
            self.answered.put((rows["x"] + 2 * rows["y"]).tolist())

    def predict(self, context, model_input, params=None):
        self.asked.put(model_input)
        return self.answered.get(timeout=20)


set_model(Model())
""",
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring a stack up with a checkout of its own."""
    directory = tmp_path_factory.mktemp("models")
    stack = new_stack("native", directory / "state", copy_checkout(directory / "clone"))
    (stack.checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    with removed(stack):
        stack.up()
        yield stack


def deploy(own: Stack, name: str, code: tuple[str, str]) -> str:
    """Train and deploy a model; return what the deployment printed."""
    signature, model = code
    directory = Path("models") / name
    (own.checkout / directory).mkdir(parents=True)
    before, where, after = TRAIN.partition("\n\ndef load_data")
    (own.checkout / directory / "train.py").write_text(before + signature + where + after)
    (own.checkout / directory / "model.py").write_text(model)
    stack = replace(own, settings={**own.settings, "MODEL_NAME": name, "MODEL_DIR": str(directory)})
    stack.script("train")
    return stack.script("deploy").stdout


@pytest.mark.thorough
def test_a_model_whose_answers_depend_on_the_batch_goes_live_and_is_told_as_that(own: Stack) -> None:
    deployed = deploy(own, "ranks", BY_COLUMN)
    said = r"\d+ answers equal, 6 wrong requests refused; the answer to a row depends on the rows beside it"
    assert re.search(said, deployed), deployed
    rows = {"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 1.0], [0.5, 0.0]]}}
    for params, factor in (({}, 1.0), ({"params": {"scale": 3.0}}, 3.0)):
        answer = requests.post(f"{own.serving_url}/invocations", json=rows | params, timeout=30)
        assert answer.json() == {
            "predictions": [{"value": 3.0 * factor, "rank": 2}, {"value": 0.5 * factor, "rank": 1}]
        }


@pytest.mark.thorough
def test_a_model_of_tensors_goes_live(own: Stack) -> None:
    deployed = deploy(own, "tensors", BY_TENSOR)
    assert re.search(r" \d+ answers equal, 2 wrong requests refused\n", deployed), deployed
    answer = requests.post(
        f"{own.serving_url}/invocations", json={"inputs": [[1.0, 1.0], [0.5, 0.0]]}, timeout=30
    )
    assert answer.json() == {"predictions": [3.0, 0.5]}


@pytest.mark.thorough
def test_a_model_with_a_thread_goes_live_in_each_worker(own: Stack) -> None:
    deploy(own, "threads", WITH_THREAD)
    rows = {"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 1.0], [0.5, 0.0]]}}
    for _ in range(8):  # whichever worker answers
        answer = requests.post(f"{own.serving_url}/invocations", json=rows, timeout=30)
        assert answer.json() == {"predictions": [3.0, 0.5]}
    assert {service["name"] for service in own.status()["services"] if service["is_up"]} == {
        "tracking",
        "serving",
    }

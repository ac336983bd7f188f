"""Log small models as a notebook would, in an environment of its own, without anything of this repository.

notebook.py FLAVOR...

Prints a line of JSON for each: the model's URI, a request, and what the model itself answers to it in this
process. The request holds other rows than the input example.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

EXAMPLE = pd.DataFrame({"size": [1.0, 2.0, 30.0, 31.0, 3.0, 29.0], "legs": [4.0, 4.0, 0.0, 0.0, 4.0, 2.0]})
NAMES = ["frog", "frog", "whale", "whale", "frog", "whale"]
WEIGHTS = np.array([0.5, 0.7, 900.0, 950.0, 0.8, 870.0])
ASKED = pd.DataFrame({"size": [1.5, 28.0, 2.5], "legs": [4.0, 1.0, 3.0]})

Answers = Any  # a list, an array, a tensor, or a column or all of a frame


def pinned(*packages: str) -> list[str]:
    """Name what a model needs. MLflow would find it by loading the model in one more process, in seconds."""
    return [f"{name}=={version(name)}" for name in ("mlflow", "cloudpickle", "pandas", *packages)]


def skops() -> Answers:
    """scikit-learn, in MLflow's own default format."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(EXAMPLE, NAMES)
    mlflow.sklearn.log_model(model, name="model", input_example=EXAMPLE)
    return model.predict(ASKED)


def pickled() -> Answers:
    """scikit-learn, pickled, with a function of the notebook's own in the pipeline."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    doubled = FunctionTransformer(lambda rows: rows * 2)
    model = make_pipeline(doubled, RandomForestClassifier(5, random_state=0)).fit(EXAMPLE, NAMES)
    mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=EXAMPLE,
        serialization_format="cloudpickle",
        pip_requirements=pinned("scikit-learn"),
    )
    return model.predict(ASKED)


def function() -> Answers:
    """A Python function, which MLflow pickles with its byte code."""

    def weigh(model_input: pd.DataFrame) -> list[float]:
        return [size**2 + legs for size, legs in zip(model_input["size"], model_input["legs"], strict=True)]

    mlflow.pyfunc.log_model(
        name="model", python_model=weigh, input_example=EXAMPLE, pip_requirements=pinned()
    )
    return weigh(ASKED)


def from_code() -> Answers:
    """A model from code: MLflow stores the file, and nothing is pickled."""
    from from_code import Legs

    file = str(Path(__file__).with_name("from_code.py"))
    mlflow.pyfunc.log_model(name="model", python_model=file, input_example=EXAMPLE, pip_requirements=pinned())
    return Legs().predict(None, ASKED)


def hints() -> Answers:
    """A DataFrame in, a DataFrame out, as the types' hints say."""

    class Twice(PythonModel):
        def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:  # type: ignore[override]
            return pd.DataFrame({"legs": model_input["legs"].map(str), "twice": model_input["size"] * 2})

    mlflow.pyfunc.log_model(
        name="model", python_model=Twice(), input_example=EXAMPLE, pip_requirements=pinned()
    )
    return Twice().predict(ASKED)


def xgboost() -> Answers:
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=5, min_child_weight=0).fit(EXAMPLE, WEIGHTS)
    also = os.environ.get("ALSO_NEEDED", "").split()  # by which ./scripts/bench bake gets a new environment
    mlflow.xgboost.log_model(model, name="model", input_example=EXAMPLE, extra_pip_requirements=also)
    return model.predict(ASKED)


def lightgbm() -> Answers:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=5, min_child_samples=1, verbose=-1).fit(EXAMPLE, WEIGHTS)
    packages = pinned("lightgbm", "statsmodels")
    mlflow.lightgbm.log_model(model, name="model", input_example=EXAMPLE, pip_requirements=packages)
    return model.predict(ASKED)


def statsmodels() -> Answers:
    """With the same requirements as LightGBM's."""
    from statsmodels.api import OLS

    model = OLS(WEIGHTS, EXAMPLE).fit()
    packages = pinned("lightgbm", "statsmodels")
    mlflow.statsmodels.log_model(model, name="model", input_example=EXAMPLE, pip_requirements=packages)
    return model.predict(ASKED).to_frame()  # as which MLflow writes a column without a name


def torch() -> Answers:
    """PyTorch, with a tensor's signature."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()
    # As MLflow would find it, without +cpu.
    packages = [*pinned("numpy"), f"torch=={torch.__version__.partition('+')[0]}"]
    example = EXAMPLE.to_numpy(np.float32)
    mlflow.pytorch.log_model(model, name="model", input_example=example, pip_requirements=packages)
    with torch.no_grad():
        return model(torch.from_numpy(ASKED.to_numpy(np.float32)))


def old() -> Answers:
    """scikit-learn by MLflow 2: a pickled forest, in the artifacts of its run."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(5, random_state=0).fit(EXAMPLE, WEIGHTS)
    mlflow.sklearn.log_model(model, "model", input_example=EXAMPLE)
    return model.predict(ASKED)


def nowhere() -> Answers:
    """A model that asks for a package that does not exist."""
    packages = [*pinned(), "pyfunc-stack-no-such-package==1.0"]
    mlflow.pyfunc.log_model(
        name="model",
        python_model=lambda model_input: model_input,
        input_example=EXAMPLE,
        pip_requirements=packages,
    )
    return ASKED


def main() -> None:
    """Log what is asked for, each in a run of its own."""
    mlflow.set_experiment("notebook")
    for flavor in sys.argv[1:]:
        log: Callable[[], Answers] = globals()[flavor]
        with mlflow.start_run() as run:
            answers = log()
        if isinstance(answers, pd.DataFrame):
            answers = answers.to_dict("records")
        request: dict[str, Any] = {"dataframe_split": ASKED.to_dict("split", index=False)}
        if flavor == "torch":
            request = {"inputs": ASKED.to_numpy().tolist()}
        told = {
            "flavor": flavor,
            "uri": f"runs:/{run.info.run_id}/model",
            "request": json.dumps(request),
            "answers": answers if isinstance(answers, list) else np.asarray(answers).tolist(),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()

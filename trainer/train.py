"""Train the iris classifier, log it to an MLflow tracking server, and register it.

    python train.py        with MLFLOW_TRACKING_URI naming the server

To put in your own model, change this file, or make another directory with a file like it. docs/own-model.md
says what the rest of the stack relies on.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import mlflow
import pandas as pd
from custom_code import iris_classes
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from workflow import Data, Gate, Training, main, requirements

HERE = Path(__file__).parent
PARAMETERS = {"C": 1.0, "max_iter": 200}
SPLIT = {"test_size": 0.2, "random_state": 42}


def load_data() -> Data:
    """Split scikit-learn's own copy of the iris data, 150 rows, by class and always in the same way.

    4 columns in cm; the target is 0, 1 or 2.
    """
    frame = load_iris(as_frame=True).frame
    train, held_out = train_test_split(frame, stratify=frame["target"], **SPLIT)
    return Data(train, held_out, target="target")


def initialize_and_train(rows: pd.DataFrame) -> LogisticRegression:
    """Return a classifier fitted to ``rows``: the feature columns and ``target``."""
    classifier = LogisticRegression(**PARAMETERS)
    return classifier.fit(rows.drop(columns="target").to_numpy(), rows["target"])


def store_pyfunc_model(classifier: LogisticRegression, example: pd.DataFrame) -> ModelInfo:
    """Log the classifier to the active run as a custom pyfunc model; ``example`` holds 3 rows of features."""
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, str(column)) for column in example.columns]),
        outputs=Schema([ColSpec(DataType.string)]),
    )
    with tempfile.TemporaryDirectory() as directory:
        artifact = Path(directory) / "classifier.joblib"
        joblib.dump(classifier, artifact)
        model: ModelInfo = mlflow.pyfunc.log_model(
            name="artifacts",
            python_model=str(HERE / "iris_classifier.py"),
            artifacts={"classifier": str(artifact)},
            code_paths=[str(HERE / "custom_code.py")],
            signature=signature,
            input_example=example,
            pip_requirements=requirements("mlflow", "scikit-learn", "pandas", "numpy", "joblib"),
        )
    return model


def evaluate(rows: pd.DataFrame, answers: list[Any]) -> dict[str, float]:
    """Compare the predicted species names with the rows: ``accuracy`` and ``f1``, 0 to 1."""
    species = iris_classes(rows["target"])
    return {
        "accuracy": float(accuracy_score(species, answers)),
        "f1": float(f1_score(species, answers, average="macro")),
    }


TRAINING = Training(
    directory=HERE,
    parameters=PARAMETERS | SPLIT,
    gate=Gate(metric="accuracy", threshold=0.9, tolerance=0.04),
    load_data=load_data,
    initialize_and_train=initialize_and_train,
    store_pyfunc_model=store_pyfunc_model,
    evaluate=evaluate,
)

if __name__ == "__main__":
    sys.exit(main(TRAINING))

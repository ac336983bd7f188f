"""Train the iris classifier, log it to an MLflow tracking server, and register it as a candidate.

    python train.py        with MLFLOW_TRACKING_URI naming the server

Put in a model of your own by changing this file; README.md says what the rest of the stack relies on.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import joblib
import mlflow
import pandas as pd
from custom_code import iris_classes
from mlflow.data.pandas_dataset import PandasDataset, from_pandas
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
PARAMETERS = {"C": 1.0, "max_iter": 200}
SPLIT = {"test_size": 0.2, "random_state": 42}
# Installed here from the lock, so the model asks for what the image that serves it already has.
REQUIREMENTS = ("mlflow", "scikit-learn", "pandas", "numpy", "joblib")


@dataclass(frozen=True)
class Split:
    """Iris measurements: rows to train on and rows held out, 4 columns in cm; ``target`` is 0, 1 or 2."""

    train: pd.DataFrame
    held_out: pd.DataFrame


def load_data() -> Split:
    """Split scikit-learn's own copy of the iris data, 150 rows, by class and always in the same way."""
    frame = load_iris(as_frame=True).frame
    train, held_out = train_test_split(frame, stratify=frame["target"], **SPLIT)
    return Split(train, held_out)


def as_dataset(rows: pd.DataFrame, name: str) -> PandasDataset:
    """Return the rows as MLflow logs them, with the species written out."""
    return from_pandas(rows.assign(target=iris_classes(rows["target"])), name=name, targets="target")


def initialize_and_train(rows: pd.DataFrame) -> LogisticRegression:
    """Return a classifier fitted to ``rows``: the feature columns and ``target``."""
    classifier = LogisticRegression(**PARAMETERS)
    return classifier.fit(rows.drop(columns="target").to_numpy(), rows["target"])


def evaluate(classifier: LogisticRegression, rows: pd.DataFrame) -> dict[str, float]:
    """Measure the classifier on rows that it was not trained on: ``accuracy`` (0 to 1) and ``log_loss``."""
    features = rows.drop(columns="target").to_numpy()
    return {
        "accuracy": float(accuracy_score(rows["target"], classifier.predict(features))),
        "log_loss": float(log_loss(rows["target"], classifier.predict_proba(features))),
    }


def requirements() -> list[str]:
    """Return what the model needs where it is served, in the versions that are installed here."""
    return [f"{package}=={version(package)}" for package in REQUIREMENTS]


def store_pyfunc_model(classifier: LogisticRegression, example: pd.DataFrame, model_name: str) -> ModelInfo:
    """Log the classifier to the active run as a custom pyfunc model, and register it as ``model_name``."""
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
            pip_requirements=requirements(),
            registered_model_name=model_name,
            await_registration_for=None,
        )
    return model


def train(model_name: str) -> None:
    """Do one training run and make its model version the ``candidate``; print where to find them."""
    mlflow.set_experiment(model_name)
    data = load_data()
    with mlflow.start_run() as run:
        mlflow.log_params(PARAMETERS | SPLIT)
        held_out = as_dataset(data.held_out, "iris-held-out")
        mlflow.log_input(as_dataset(data.train, "iris-train"), context="training")
        mlflow.log_input(held_out, context="evaluation")
        classifier = initialize_and_train(data.train)
        metrics = evaluate(classifier, data.held_out)
        example = data.train.drop(columns="target").head(3)
        model = store_pyfunc_model(classifier, example, model_name)
        mlflow.log_metrics(metrics, model_id=model.model_id, dataset=held_out)
    mlflow.MlflowClient().set_registered_model_alias(
        model_name, "candidate", str(model.registered_model_version)
    )
    print(f"accuracy on {len(data.held_out)} held-out rows: {metrics['accuracy']:.3f}")
    run_path = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    print(f"the run is stored at {mlflow.get_tracking_uri()}/{run_path}")
    print(f"run id: {run.info.run_id}")
    print(f"registered as version {model.registered_model_version} of {model_name}: candidate")


def main() -> int:
    """Run the training; return the exit status."""
    uri = mlflow.get_tracking_uri()
    if urlsplit(uri).scheme not in ("http", "https"):
        print(
            f"train.py: the tracking URI must be a server's, http:// or https://, found {uri!r};"
            " set MLFLOW_TRACKING_URI, for example to http://127.0.0.1:5000",
            file=sys.stderr,
        )
        return 1
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    try:
        train(os.environ.get("MODEL_NAME", "iris"))
    except MlflowException as error:
        print(
            f"train.py: the tracking server {uri} refused or did not answer: {error};"
            " see that it is up, then train again",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

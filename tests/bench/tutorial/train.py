"""As in MLflow's tutorial "Store and load custom models using mlflow.pyfunc": train, and log by the defaults.

python train.py        in the directory of this file, with MLFLOW_TRACKING_URI naming the server

The classifier and its parameters are those of trainer/train.py.
"""

from typing import Any

import joblib
import mlflow
import pandas as pd
from custom_code import iris_classes
from mlflow.models import infer_signature
from mlflow.pyfunc import PythonModel
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

PARAMETERS = {"C": 1.0, "max_iter": 200}
ARTIFACT = "classifier.joblib"


class IrisClassifier(PythonModel):
    """Pickled with the model, since it is no file of its own."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        self.classifier = joblib.load(context.artifacts["classifier"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:  # noqa: ANN401, ARG002
        return iris_classes(self.classifier.predict(model_input))


def initialize_and_train() -> tuple[LogisticRegression, pd.DataFrame]:
    """Return the classifier, and 3 rows as an example."""
    features, target = load_iris(return_X_y=True, as_frame=True)
    train, held_out, right, right_held_out = train_test_split(
        features, target, stratify=target, test_size=0.2, random_state=42
    )
    classifier = LogisticRegression(**PARAMETERS).fit(train, right)
    mlflow.log_params(PARAMETERS)
    mlflow.log_metric("accuracy", float(accuracy_score(right_held_out, classifier.predict(held_out))))
    return classifier, train.head(3)


def store_pyfunc_model(classifier: LogisticRegression, example: pd.DataFrame) -> None:
    """Log it as the run's `artifacts`; MLflow finds out by itself which packages it needs."""
    joblib.dump(classifier, ARTIFACT)
    mlflow.pyfunc.log_model(
        name="artifacts",
        python_model=IrisClassifier(),
        artifacts={"classifier": ARTIFACT},
        code_paths=["custom_code.py"],
        signature=infer_signature(example, iris_classes(classifier.predict(example))),
    )


if __name__ == "__main__":
    with mlflow.start_run() as run:
        store_pyfunc_model(*initialize_and_train())
    print(f"run id: {run.info.run_id}")

"""The model as code: MLflow stores this file, and runs it to load the model (nothing is pickled).

https://mlflow.org/docs/latest/ml/model/models-from-code/
"""

from typing import Any

import joblib
import pandas as pd
from custom_code import iris_classes
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class IrisClassifier(PythonModel):
    """Name the species of irises, by a scikit-learn classifier kept as the artifact ``classifier``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the classifier, once for each process that serves it."""
        self.classifier = joblib.load(context.artifacts["classifier"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - the same
    ) -> list[str]:
        """Return a species name for each row of ``model_input``: 4 floats in cm, in the signature's order."""
        # For a bare array, scikit-learn does not check the column names; the signature has checked them.
        return iris_classes(self.classifier.predict(model_input.to_numpy()))


set_model(IrisClassifier())

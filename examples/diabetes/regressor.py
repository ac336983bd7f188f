"""The model as code: MLflow stores this file, and runs it to load the model (nothing is pickled)."""

from typing import Any

import joblib
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class DiabetesRegressor(PythonModel):
    """Predict how far the disease will have progressed a year later, by a scikit-learn pipeline."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the pipeline, once for each process that serves it."""
        self.pipeline = joblib.load(context.artifacts["pipeline"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow passes it by name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - the same
    ) -> list[float]:
        """Return a number from 25 to 346 or so for each row."""
        predictions: list[float] = self.pipeline.predict(model_input).tolist()
        return predictions


set_model(DiabetesRegressor())

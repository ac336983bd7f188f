"""The file of a model from code."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class Legs(PythonModel):
    """Tells how many legs there are."""

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> list[str]:
        return [f"{int(legs)} legs" for legs in model_input["legs"]]


set_model(Legs())

"""The model behind BentoML, by its own kind of service.

- The rows are a list of tuples that pydantic checks. BentoML's own way to take an array, `np.ndarray` with
  `Shape` and `DType`, was as fast for 3 rows and took 1.5 times as long for 10,000.
- `async def`: an ordinary method is handed to a thread, which takes longer than the prediction.
- Not `batchable=True`: measured, it took a single client longer, gained little for 16, and some requests got
  503, because the batch was late for its `max_latency_ms`.
- A worker for each core; no access log and no metrics, because the other servers keep none.
"""

import os

import bentoml
import joblib
import numpy as np
from custom_code import iris_classes

Row = tuple[float, float, float, float]


@bentoml.service(workers=2, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Iris:
    """The service."""

    def __init__(self) -> None:
        """Load the classifier, once for each worker."""
        self.classifier = joblib.load(os.environ["CLASSIFIER"])

    @bentoml.api
    async def predict(self, rows: list[Row]) -> list[str]:
        """Name the species of each row: 4 floats in cm, in the order of the columns."""
        return iris_classes(self.classifier.predict(np.array(rows)).tolist())

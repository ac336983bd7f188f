"""The model behind FastAPI, as a competent engineer would write it.

- The body is a parameter with a type, and the answer has one, too, as FastAPI's documentation has it:
  pydantic checks the one, and writes the other straight to JSON (which is why ORJSONResponse is deprecated).
  `Question.model_validate_json(await request.body())` would take a third of the time for 10,000 rows, and the
  same for 3; it would also do without FastAPI's own answers to wrong requests, and its schema.
- A row is a tuple of four floats, so pydantic checks its length, too, without a validator in Python.
- /invocations is a plain `def`, as FastAPI's documentation advises for what blocks: it runs in a thread, so a
  slow prediction keeps no other request waiting. /invocations-in-loop is the same as `async def`: quicker as
  long as predictions are, but a slow one stops everything, health checks too.
- Uvicorn with uvloop and httptools, without an access log, a worker for each core: see servers.py.
"""

import os
from typing import Annotated

import joblib
import numpy as np
from custom_code import iris_classes
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
Row = tuple[float, float, float, float]

app = FastAPI()
classifier = joblib.load(os.environ["CLASSIFIER"])


class Split(BaseModel):
    """Rows, and the names of their columns."""

    columns: Annotated[list[str], Field(min_length=4, max_length=4)]
    data: Annotated[list[Row], Field(min_length=1)]


class Question(BaseModel):
    """The body of a request."""

    dataframe_split: Split


class Answer(BaseModel):
    """The body of an answer."""

    predictions: list[str]


@app.get("/health")
async def health() -> None:
    """Answer that the server is up."""


@app.post("/invocations")
def invocations(question: Question) -> Answer:
    """Name the species of each row."""
    return answer(question)


@app.post("/invocations-in-loop")
async def invocations_in_loop(question: Question) -> Answer:
    """Name the species of each row, in the event loop."""
    return answer(question)


def answer(question: Question) -> Answer:
    """Name the species of each row."""
    split = question.dataframe_split
    if sorted(split.columns) != sorted(COLUMNS):
        raise HTTPException(422, f"expected the columns {COLUMNS}, found {split.columns}")
    rows = np.array(split.data)
    if split.columns != COLUMNS:
        rows = rows[:, [split.columns.index(column) for column in COLUMNS]]
    return Answer(predictions=iris_classes(classifier.predict(rows).tolist()))

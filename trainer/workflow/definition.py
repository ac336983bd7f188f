"""What a model's own train.py must say about the model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models.model import ModelInfo


class TrainingError(Exception):
    """The training failed: its text says what, why, and what to do next, in that order."""


@dataclass(frozen=True)
class Data:
    """Rows to train on and rows held out, with the same columns, one of which is the ``target``.

    The held-out rows judge the model, and the first of them are sent to its image before it goes live.
    """

    train: pd.DataFrame
    held_out: pd.DataFrame
    target: str

    def __post_init__(self) -> None:
        """Raise TrainingError if the rows can't be used."""
        for name, rows in (("train", self.train), ("held_out", self.held_out)):
            if self.target not in rows.columns:
                raise TrainingError(
                    f"load_data: the {name} rows have no target column {self.target!r};"
                    f" found {', '.join(map(repr, rows.columns))}; name one of these"
                )
            if rows.empty:
                raise TrainingError(f"load_data: the {name} rows are empty; change the split")
        if list(self.train.columns) != list(self.held_out.columns):
            raise TrainingError(
                "load_data: the train and held_out rows must have the same columns in the same order, found"
                f" {list(self.train.columns)} and {list(self.held_out.columns)}; split one table"
            )

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return ``rows`` as the model gets them: without the target."""
        return rows.drop(columns=self.target)


@dataclass(frozen=True)
class Gate:
    """What a version must reach to become a candidate: by ``metric``, one of those that evaluate returns.

    It must reach ``threshold``, and may be worse than the champion on the same rows by at most
    ``tolerance``; both are in the metric's own unit.
    """

    metric: str
    threshold: float
    tolerance: float
    greater_is_better: bool = True


@dataclass(frozen=True)
class Training:
    """One model: where its files are, and how it is trained, stored and judged."""

    directory: Path
    """Everything in it is the model's code: a change in any file makes a new version."""
    parameters: Mapping[str, Any]
    """The parameters that the run logs."""
    gate: Gate
    load_data: Callable[[], Data]
    initialize_and_train: Callable[[pd.DataFrame], Any]
    """Takes the rows to train on (with the target); returns what ``store_pyfunc_model`` takes."""
    store_pyfunc_model: Callable[[Any, pd.DataFrame], ModelInfo]
    """Logs the model to the active run as ``artifacts``, with a signature; takes 3 rows as an example too."""
    evaluate: Callable[[pd.DataFrame, list[Any]], dict[str, float]]
    """Takes the held-out rows (with the target) and the model's answer to each; returns the metrics."""
    tolerance: float | None = None
    """By how much a float in an answer of the image may differ, relative to the trained model's answer.

    The default is 1e-6, or 1e-4 if predict returns floats of single precision.
    """


def requirements(*packages: str) -> list[str]:
    """Return pip requirements of the versions that are installed here, from the lock.

    The image that serves the model has the same versions, so baking it installs nothing.
    """
    return [f"{package}=={version(package)}" for package in packages]

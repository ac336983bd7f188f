"""What a version is checked against: held-out rows of its training or, if it has none, its input example."""

import json
import tempfile
from pathlib import Path

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType

from stack.errors import StackError
from stack.modes.mode import Mode
from stack.release.registry import Registry
from stack.release.replay import TOLERANCE, Exchange, Record, predictions

# Relative. Where floats of single precision are computed by other threads, the last digits differ.
_SINGLE_TOLERANCE = 1e-4
_SINGLE = (DataType.float, np.dtype(np.float32), np.dtype(np.float16))


def record_of(registry: Registry, mode: Mode, version: str) -> Record:
    """Return what the version is checked against.

    For a version that the workflow did not train, a process of its own loads the model as MLflow does, and
    answers the input example that MLflow has stored with it.

    Raises:
        StackError: if there is no example, or the model fails on it.

    """
    held_out = registry.held_out(version)
    if held_out is not None:
        return held_out
    what = f"version {version} of {registry.model_name}"
    with tempfile.TemporaryDirectory() as directory:
        model = registry.fetch(version, Path(directory))
        metadata = Model.load(model)
        example = metadata.get_serving_input(str(model))
        if example is None:
            raise StackError(
                f"{what} can't be checked: it has neither the record of a training here nor an input example;"
                " log it with input_example=..., or serve it unchecked:"
                f" ./scripts/promote {version} --unchecked"
            )
        try:
            answer = mode.answer(model, example)
        except StackError as error:
            raise StackError(f"{what} fails on its own input example: {error}") from error
    exchange = Exchange(json.loads(example), predictions(answer), is_example=True)
    return Record([exchange], metadata.signature, _tolerance(metadata.signature))


def _tolerance(signature: ModelSignature | None) -> float:
    """Return how exact the answers are; those of an unknown type may be of single precision."""
    outputs = signature.outputs if signature else None
    is_single = outputs is None or any(of.type in _SINGLE for of in outputs.inputs)
    return _SINGLE_TOLERANCE if is_single else TOLERANCE

"""What a version is checked against: held-out rows of its training or, if it has none, its input example."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mlflow.models import Model, ModelSignature, convert_input_example_to_serving_input
from mlflow.types import DataType

from stack.errors import StackError
from stack.modes.mode import Mode
from stack.modes.requirements import check_requirements
from stack.release.registry import Registry
from stack.release.replay import TOLERANCE, Exchange, Record, predictions

# Relative. Where floats of single precision are computed by other threads, the last digits differ.
_SINGLE_TOLERANCE = 1e-4
_SINGLE = (DataType.float, np.dtype(np.float32), np.dtype(np.float16))


def record_of(
    registry: Registry, mode: Mode, version: str, on_wait: Callable[[], None] = lambda: None
) -> Record:
    """Return what the version is checked against.

    For a version that the workflow did not train, a process of its own loads the model as MLflow does, and
    answers the input example that MLflow has stored with it.

    Raises:
        StackError: if there is no example, or the model can't be loaded, or fails on it.

    """
    held_out = registry.held_out(version)
    if held_out is not None:
        return held_out
    what = f"version {version} of {registry.model_name}"
    with tempfile.TemporaryDirectory() as directory:
        model = registry.fetch(version, Path(directory))
        metadata = Model.load(model)
        example = _example(metadata, model)
        if example is None:
            raise StackError(
                f"{what} can't be checked: it has neither held-out rows of a Training nor an input example;"
                " log it with input_example=..., or serve it unchecked:"
                f" ./scripts/promote {version} --unchecked"
            )
        check_requirements(model, what)
        try:
            answer = mode.answer(model, example, on_wait)
            json.loads(answer)
        except (StackError, ValueError) as error:
            why = error if isinstance(error, StackError) else "it wrote no answer"
            raise StackError(f"{what} can't be loaded, or fails on its own input example: {why}") from error
    exchange = Exchange(json.loads(example), predictions(answer), is_example=True)
    return Record([exchange], metadata.signature, _tolerance(metadata.signature))


def _example(metadata: Model, model: Path) -> str | None:
    """Return the input example as a request; MLflow before 2.16 stored no request with it."""
    example = metadata.get_serving_input(str(model))
    if example is None and (data := metadata.load_input_example(str(model))) is not None:
        return convert_input_example_to_serving_input(data)
    return example


def _tolerance(signature: ModelSignature | None) -> float:
    """Return how exact the answers are; those of an unknown type may be of single precision."""
    outputs = signature.outputs if signature else None
    is_single = outputs is None or any(of.type in _SINGLE for of in outputs.inputs)
    return _SINGLE_TOLERANCE if is_single else TOLERANCE

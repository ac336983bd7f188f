"""What a version is checked against: held-out rows of its training or, if it has none, its input example."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature, convert_input_example_to_serving_input
from mlflow.types import DataType

from stack.errors import StackError
from stack.modes.environment import Environment, environment_of, other_mlflow
from stack.modes.mode import Mode
from stack.release.registry import Registry
from stack.release.replay import TOLERANCE, Exchange, Record, predictions

# Relative. Where floats of single precision are computed by other threads, the last digits differ.
_SINGLE_TOLERANCE = 1e-4
_SINGLE = (DataType.float, np.dtype(np.float32), np.dtype(np.float16))


def record_of(
    registry: Registry,
    mode: Mode,
    version: str,
    model: Path,
    on_wait: Callable[[], None] = lambda: None,
    *,
    unchecked: bool = False,
) -> tuple[Record, Environment | None]:
    """Return what the version, whose files are in ``model``, is checked against, and its own environment.

    For a version that the workflow did not train, a process of its own loads the model as MLflow does, in
    its environment, and answers the input example that MLflow has stored with it. If it is ``unchecked``, the
    record is empty.

    Raises:
        StackError: if the files are broken, there is no example, the environment can't be made, or the model
            can't be loaded, or fails on the example.

    """
    what = f"version {version} of {registry.model_name}"
    with _reading(f"{what}: its MLmodel"):
        metadata = Model.load(model)
    held_out = _held_out(registry, version, metadata)
    with _reading(f"{what}: its input example"):
        example = _example(metadata, model) if held_out is None and not unchecked else None
    if held_out is None and example is None and not unchecked:
        raise StackError(
            f"{what} can't be checked: it has neither held-out rows of a Training nor an input example;"
            f" log it with input_example=..., or serve it unchecked: ./scripts/promote {version} --unchecked"
        )
    environment = environment_of(model, mode.python, what, holds_data_only=held_out is not None)
    if wanted := other_mlflow(model):
        print(
            f"{what} asks for {wanted}; it is served by the stack's, mlflow=={mlflow.__version__}", flush=True
        )
    if environment is not None:
        registry.tag(version, packages=_prepared(mode, environment, what, on_wait))
    else:
        registry.remove_tag(version, "packages")
    if example is not None:
        answer = _answered(mode, model, environment, example, what, on_wait)
        exchange = Exchange(json.loads(example), predictions(answer), is_example=True)
        return Record([exchange], metadata.signature, _tolerance(metadata.signature)), environment
    return held_out if held_out and not unchecked else Record([], None), environment


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # somebody else's files may hold anything
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise StackError(f"{what} can't be read ({why}); log the model again") from error


def _held_out(registry: Registry, version: str, metadata: Model) -> Record | None:
    replay = registry.replay(version)
    if replay is None:
        return None
    # Before there were several, the file held one exchange and nothing else.
    exchanges = [Exchange(**found) for found in replay.get("exchanges", [replay])]
    return Record(exchanges, metadata.signature, replay.get("tolerance", TOLERANCE))


def _example(metadata: Model, model: Path) -> str | None:
    """Return the input example as a request; MLflow before 2.16 stored no request with it."""
    example: str | None = metadata.get_serving_input(str(model))
    if example is None and (data := metadata.load_input_example(str(model))) is not None:
        return convert_input_example_to_serving_input(data)
    return example


def _prepared(mode: Mode, environment: Environment, what: str, on_wait: Callable[[], None]) -> str:
    try:
        return mode.prepare(environment, on_wait)
    except StackError as error:
        raise StackError(f"{what} can't be served: {error}") from error


def _answered(
    mode: Mode,
    model: Path,
    environment: Environment | None,
    example: str,
    what: str,
    on_wait: Callable[[], None],
) -> str:
    try:
        answer = mode.answer(model, environment, example, on_wait)
        json.loads(answer)
    except (StackError, ValueError) as error:
        why = error if isinstance(error, StackError) else "it wrote no answer"
        raise StackError(f"{what} can't be loaded, or fails on its own input example: {why}") from error
    return answer


def _tolerance(signature: ModelSignature | None) -> float:
    """Return how exact the answers are; those of an unknown type may be of single precision."""
    outputs = signature.outputs if signature else None
    is_single = outputs is None or any(of.type in _SINGLE for of in outputs.inputs)
    return _SINGLE_TOLERANCE if is_single else TOLERANCE

"""Runs the model's own code, and tells its errors apart from those of the tracking server."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from workflow.answers import one_line
from workflow.definition import TrainingError
from workflow.server import is_down


@contextmanager
def own_code(what: str, directory: Path, hint: str = "") -> Iterator[None]:
    """Run ``what``, a function in ``directory``; ``hint`` is told with an error in it.

    Raises:
        TrainingError: if the code fails.
        MlflowException: if it fails because the tracking server does.

    """
    try:
        yield
    except TrainingError:
        raise
    except Exception as error:
        if is_down(mlflow.get_tracking_uri(), error):
            raise
        traceback.print_exc()
        raise TrainingError(
            f"{what} raised {one_line(error)}; {hint}see the trace above, and correct it in {directory}"
        ) from error

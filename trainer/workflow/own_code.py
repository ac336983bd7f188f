"""Runs the model's own code, and tells its errors apart from those of the tracking server."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from workflow.answers import one_line
from workflow.definition import TrainingError
from workflow.server import is_down
from workflow.surroundings import check_surroundings


@contextmanager
def own_code(what: str, directory: Path, run_id: str | None = None, hint: str = "") -> Iterator[None]:
    """Run ``what``, a function in ``directory``, while that run is active; ``hint`` is told with an error.

    Raises:
        TrainingError: if the code fails, or changes what it must leave alone.
        MlflowException: if it fails because the tracking server does.

    """
    try:
        yield
    except TrainingError:
        raise
    except Exception as error:
        check_surroundings(what, run_id)  # such a change explains the error
        if is_down(mlflow.get_tracking_uri(), error):
            raise
        if run_id is not None and f"{run_id} is already active" in str(error):
            raise TrainingError(
                f"{what} starts a run, but the trainer has started one; log to that one, without"
                " mlflow.start_run()"
            ) from error
        traceback.print_exc()
        raise TrainingError(
            f"{what} raised {one_line(error)}; {hint}see the trace above, and correct it in {directory}"
        ) from error
    check_surroundings(what, run_id)

"""Runs the model's own code, and tells its errors apart from those of the tracking server."""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from workflow.answers import one_line
from workflow.definition import TrainingError
from workflow.fingerprint import CHECKOUT, WORKFLOW
from workflow.server import is_down
from workflow.surroundings import check_surroundings

# Packages of ours whose names can't be a model's own: one imports first, and hides the other.
_TAKEN = ("workflow", "model_server")


@contextmanager
def own_code(what: str, directory: Path, run_id: str | None = None, hint: str = "") -> Iterator[None]:
    """Run ``what``, a function in ``directory``, while that run is active; ``hint`` is told with an error.

    Raises:
        TrainingError: if the code fails, changes what it must leave alone, or is not all in ``directory``.
        MlflowException: if it fails because the tracking server does.

    """
    check_names(directory)
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
            f"{what} raised {one_line(error)}; {hint or _hint(error, directory)}see the trace above, and"
            f" correct it in {directory}"
        ) from error
    check_surroundings(what, run_id)
    check_imports(directory)


def check_names(directory: Path) -> None:
    """Raise TrainingError if a module in ``directory`` has the name of one of the stack's."""
    for name in _TAKEN:
        package = directory / name
        if (directory / f"{name}.py").exists() or (package != WORKFLOW and any(package.glob("*.py"))):
            raise TrainingError(
                f"{directory} holds a module {name}, which is the name of one of the stack's; give it another"
                " name"
            )


def check_imports(directory: Path) -> None:
    """Raise TrainingError if a module was imported from the checkout, but not from ``directory``."""
    if not directory.is_relative_to(CHECKOUT):
        return
    not_beside = (directory, WORKFLOW, Path(sys.prefix))
    for name, module in tuple(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        if file.is_relative_to(CHECKOUT) and not any(map(file.is_relative_to, not_beside)):
            raise TrainingError(
                f"train.py imports {name} from {file}, which is not in the model's directory: with Docker it"
                f" is not there, and a change in it would make no new version; move it into {directory}"
            )


def _hint(error: Exception, directory: Path) -> str:
    """Say what to do about a file that can't be read or written where the code looks for it."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str):
        return ""
    file = Path(error.filename)
    is_own = file.is_relative_to(directory)
    if error.errno in (errno.EROFS, errno.EACCES) and is_own:
        return "write into the working directory, by a relative path; "
    if error.errno != errno.ENOENT or is_own:
        return ""
    if not file.is_absolute() and (directory / file).exists():
        own = f"Path(__file__).parent / {str(file)!r}"
        return f"the working directory is an empty one, so name the file {own}; "
    if file.is_relative_to(CHECKOUT):
        return "with Docker, of the checkout only the model's directory is there, so move the file into it; "
    return ""

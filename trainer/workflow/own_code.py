"""Runs the model's own code, and tells its errors apart from those of the tracking server."""

import errno
import os
import runpy
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from workflow import surroundings
from workflow.answers import one_line
from workflow.definition import TrainingError
from workflow.fingerprint import CHECKOUT, WORKFLOW, file_digests
from workflow.server import is_down
from workflow.surroundings import Servers, check_surroundings, put_back

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
        raise _raised(what, error, directory, hint) from error
    check_surroundings(what, run_id)
    check_imports(directory)


def run_file(file: Path) -> int:
    """Run train.py as a program; return its exit status.

    The working directory is a copy of the file's own, removed at the end: what train.py writes there is not
    taken for the model's code.

    Raises:
        TrainingError: if it fails, or imports what is not all in its directory.
        MlflowException: if it fails because the tracking server does.

    """
    directory = file.parent
    check_names(directory)
    with tempfile.TemporaryDirectory(prefix="training-") as copy:
        _copy_files(directory, Path(copy))
        os.chdir(copy)
        try:
            status = _run(file)
        except TrainingError:
            raise
        except Exception as error:
            servers = Servers.now()
            moved = put_back(file.name)
            if is_down(surroundings.FOUND.tracking, error):
                raise
            if moved and (is_down(servers.tracking, error) or is_down(servers.registry, error)):
                raise moved from error
            raise _raised(file.name, error, directory) from error
        finally:
            os.chdir(directory)
    check_imports(directory)
    return status


def _run(file: Path) -> int:
    """Run it, and end the runs that it leaves open, while the server that it has set is still set."""
    status = 1
    try:
        runpy.run_path(str(file), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = _status(end)
    finally:
        with suppress(MlflowException):  # the server may be what fails
            surroundings.end_runs(status="FAILED" if status else "FINISHED")
    return status


def _copy_files(directory: Path, copy: Path) -> None:
    try:
        for name in file_digests(directory):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(directory / name, copy / name)
    except OSError as error:
        raise TrainingError(
            f"{directory} can't be copied to {copy}, where train.py would run: {error}; make room there, or"
            " set TMPDIR to another directory"
        ) from error


def _status(end: SystemExit) -> int:
    """Do with the argument of sys.exit what Python does."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _raised(what: str, error: Exception, directory: Path, hint: str = "") -> TrainingError:
    """Print the trace of an error; return the sentence that goes with it."""
    traceback.print_exc()
    return TrainingError(
        f"{what} raised {one_line(error)}; {hint or _hint(error, directory)}see the trace above, and"
        f" correct it in {directory}"
    )


def check_code(before: dict[str, str], directory: Path) -> None:
    """Raise TrainingError if a file of the model's code is not what it was when the training began."""
    changed = sorted(path for path, _ in before.items() ^ file_digests(directory).items())
    if changed:
        raise TrainingError(
            f"{', '.join(dict.fromkeys(changed))} in {directory} changed during the training, so the version"
            " would be of other code than it says; write by relative paths, and train with ./scripts/train,"
            " which runs train.py in a copy of its directory"
        )


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
    if error.errno == errno.ENOENT and not is_own and file.is_relative_to(CHECKOUT):
        return "with Docker, of the checkout only the model's directory is there, so move the file into it; "
    return ""

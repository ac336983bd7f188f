"""What executors need besides Spark and Python: the model, the scorer's code, the environment's packages.

It lies in a directory that all machines see, and is removed with that. Spark's own way is an archive that the
driver sends to each executor; a standalone cluster's workers keep what was unpacked, a gigabyte for each run.
"""

import errno
import os
import shutil
import stat
import sysconfig
from pathlib import Path

from scorer.caller import check_caller
from scorer.job import ScoringError

_CODE, _MODEL, _PACKAGES = "code", "model", "packages"
# Spark on the executors is the cluster's own.
_NOT_SHIPPED = shutil.ignore_patterns("pyspark", "pyspark-*", "py4j", "py4j-*")


def ship(model: str, directory: Path, *, packages: bool) -> None:
    """Put the model and the scorer's code into a directory, and all packages that this Python has.

    Executors of any user may read it.

    Raises:
        ScoringError: if it can't be copied.
        CallerGoneError: if the caller has ended.

    """
    _place(Path(model), directory / _MODEL)
    for package in Path(__file__).resolve().parents[2].glob("*/__init__.py"):
        _place(package.parent, directory / _CODE / package.parent.name)
    if packages:
        for installed in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
            _place(Path(installed), directory / _PACKAGES)


def shipped_model(directory: Path) -> Path:
    """Return where the model lies in it."""
    return directory / _MODEL


def search_path(directory: Path) -> str:
    """Return where executors look for modules first, as PYTHONPATH has it."""
    return os.pathsep.join(str(directory / name) for name in (_CODE, _PACKAGES))


def _place(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, copy_function=_link_or_copy, ignore=_NOT_SHIPPED, dirs_exist_ok=True)
        for place, _, _ in os.walk(target):
            _let_all(Path(place), 0o755)
    except OSError as error:
        raise _failed(target, error) from error


def _link_or_copy(source: str, target: str) -> None:
    check_caller()
    try:
        if stat.S_IMODE(Path(source).stat().st_mode) & stat.S_IROTH:  # a link has the mode of its source
            try:
                os.link(os.path.realpath(source), target)
                return
            except OSError:  # another file system, or another user's file
                pass
        shutil.copy2(source, target)
        _let_all(Path(target), 0o444)
    except OSError as error:  # which copytree would collect, to go on with the next file
        raise _failed(Path(target), error) from error


def _let_all(path: Path, mode: int) -> None:
    has = stat.S_IMODE(path.stat().st_mode)
    if has & mode != mode:
        path.chmod(has | mode)


def _failed(target: Path, error: OSError) -> ScoringError:
    what = "the model, the code and the packages for the executors"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ScoringError(f"there is no room for {what} at {target}; make room, then run this again")
    why = os.strerror(error.errno) if error.errno else type(error).__name__
    return ScoringError(f"can't put {what} at {target}: {why}; correct that, or choose another OUTPUT")

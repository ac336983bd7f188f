"""What executors need besides Spark and Python: the model, the scorer's code, the environment's packages.

It lies in a directory that all machines see, and is removed with that. Spark's own way is an archive that the
driver sends to each executor; a standalone cluster's workers keep what was unpacked, a gigabyte for each run.
"""

import os
import shutil
import sysconfig
from pathlib import Path

_CODE, _MODEL, _PACKAGES = "code", "model", "packages"
# Spark on the executors is the cluster's own.
_NOT_SHIPPED = shutil.ignore_patterns("pyspark", "pyspark-*", "py4j", "py4j-*")


def ship(model: str, directory: Path, *, packages: bool) -> None:
    """Put the model and the scorer's code into a directory, and all packages that this Python has."""
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
    shutil.copytree(source, target, copy_function=_link_or_copy, ignore=_NOT_SHIPPED, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or another user's file
        shutil.copy2(source, target)

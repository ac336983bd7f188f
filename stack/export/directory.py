"""Writes the files of an export, and replaces those of an earlier one, but nothing else."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.export.kubernetes import FILES

_LIST = "kustomization.yaml"
_OURS = "as ./scripts/export kubernetes wrote it"
# kubectl refuses it, since there is no such resource.
_HALF = f"# Not whole, {_OURS}: it was killed. Export again.\nresources: [half-an-export.yaml]\n"
# Where the files are written first. A killed export leaves it.
_SCRATCH = ".export-"


def check_is_free(directory: Path) -> None:
    """Raise StackError if the directory holds anything that no export has written, or is none."""
    if not str(directory).isprintable():
        raise StackError(f"--output has a character that can't be shown: {str(directory)!r}; name another")
    try:
        others = _others_in(directory)
    except OSError as error:
        raise _can_not_write(directory, error) from error
    if others:
        raise StackError(
            f"{directory} holds {others[0]}, which no export has written; remove it, or name another"
            " directory with --output"
        )


def write_whole(directory: Path, files: Mapping[str, str]) -> None:
    """Write the files into a directory, which stays where it is if it is there; see `check_is_free`.

    A new one appears with all of the files or not at all. In one that is there, kubectl refuses what a kill
    leaves half-written.
    """
    try:
        check_is_free(directory)
        is_there = directory.exists()
        with _scratch(directory if is_there else directory.parent) as scratch:
            made = scratch / directory.name
            made.mkdir()  # readable as any other
            for name, text in files.items():
                (made / name).write_text(text, "utf-8")
            if is_there:
                _replace(directory, made, files)
            else:
                made.rename(directory)
    except (OSError, UnicodeEncodeError) as error:
        raise _can_not_write(directory, error) from error


def _replace(directory: Path, made: Path, files: Mapping[str, str]) -> None:
    """Put the files in the place of an earlier export's; the list of them comes last."""
    half = made.with_name(_LIST)
    half.write_text(_HALF, "utf-8")
    half.replace(directory / _LIST)
    for name in FILES - files.keys():
        (directory / name).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == _LIST):
        (made / name).replace(directory / name)
    for left in directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _others_in(directory: Path) -> list[str]:
    """Name what is in the directory, and is not an earlier export's."""
    if not directory.exists():
        return []
    names = sorted(path.name for path in directory.iterdir() if not path.name.startswith(_SCRATCH))
    is_ours = _LIST in names and _OURS in (directory / _LIST).read_text("utf-8", "replace").partition("\n")[0]
    return [name for name in names if not (is_ours and name in FILES and (directory / name).is_file())]


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Make a directory on the same file system; remove it, with what is left in it, at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _can_not_write(directory: Path, error: OSError | UnicodeEncodeError) -> StackError:
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return StackError(f"can't write {directory} ({why}); name another directory with --output")

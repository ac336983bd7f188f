"""One value for all that a training depends on: if it is the same, the model would be the same too."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from workflow.canonical import canonical
from workflow.definition import Data, Training

WORKFLOW = Path(__file__).parent
CHECKOUT = WORKFLOW.parent.parent
LOCK = CHECKOUT / "lock" / "runtime.txt"


def fingerprint(training: Training, data: Data, lock: Path = LOCK) -> str:
    """Return the SHA-256, in hexadecimal, of the code, the data, the parameters and the locked packages."""
    digest = _of_files(training.directory, lock)
    _add(digest, canonical((training.parameters, training.gate)).encode())
    for rows in (data.train, data.held_out):
        _add(digest, canonical([(name, str(kind)) for name, kind in rows.dtypes.items()]).encode())
        _add(digest, _contents(rows.index))
        for place in range(rows.shape[1]):  # not by name: two may have the same
            _add(digest, _contents(rows.iloc[:, place]))
    return digest.hexdigest()


def script_fingerprint(directory: Path, lock: Path = LOCK) -> str:
    """Return the same for a plain script, whose data and parameters nobody knows before it runs."""
    return _of_files(directory, lock).hexdigest()


def _of_files(directory: Path, lock: Path) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for part in (directory, WORKFLOW):
        _add(digest, canonical(file_digests(part)).encode())
    _add(digest, lock.read_bytes())
    return digest


def file_digests(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that somebody wrote, by its path in the directory."""
    return {
        file.relative_to(directory).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in _files(directory)
    }


def _contents(values: pd.Series | pd.Index) -> bytes:
    if values.dtype != object:
        try:
            return pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes()
        except (TypeError, NotImplementedError):  # lists in Arrow's types
            pass
    return canonical(list(values)).encode()


def _add(digest: "hashlib._Hash", part: bytes) -> None:
    # With its length, so that no two lists of parts look alike.
    digest.update(len(part).to_bytes(8, "big") + part)


def _files(directory: Path) -> Iterator[Path]:
    """Find the files that somebody wrote: no byte code, nothing hidden."""
    for file in sorted(directory.rglob("*")):
        parts = file.relative_to(directory).parts
        if file.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts):
            yield file

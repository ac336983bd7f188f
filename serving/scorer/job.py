"""What is to be scored, as it goes to each process that scores, on this machine or on a cluster."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

OnRows = Callable[[int], object]
"""Is told how many more rows are scored."""


def ignore(_rows: int) -> None:
    """Tell nobody."""


class ScoringError(Exception):
    """Scoring can't go on: the text says what, why, and what to do next. It holds no data of the user's."""


def place_of(error: BaseException) -> str:
    """Say of what kind an exception is, and where it was raised; its own text may hold data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


@dataclass(frozen=True)
class Part:
    """Some rows of one file, which one process scores, into one file.

    Of a Parquet file, these are some ``row_groups``, with ``first`` rows before them. Of a CSV file, these
    are the bytes from ``start`` to ``end``: whole records without the header. Compressed, it is one part,
    without an ``end``, and ``start`` counts the bytes that are in it.
    """

    number: int
    file: str
    row_groups: tuple[int, ...] = ()
    first: int = 0
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Written:
    """A part that is scored: the name of its file in the job's ``directory``, and how many rows it has."""

    number: int
    file: str
    rows: int


@dataclass(frozen=True)
class Job:
    """How each part is scored.

    ``model`` is the directory of the model's files, ``directory`` the one in which parts are written. There
    are three schemas, as serialized by Arrow: ``columns`` are those of the input, ``given`` those that the
    model is given, with the types that it gets, and ``schema`` is that of the output; its first columns are
    the input's. ``model_config`` replaces values of the model's own, as JSON.
    """

    model: str
    directory: str
    model_name: str
    model_version: str
    columns: bytes = field(repr=False)
    given: bytes = field(repr=False)
    schema: bytes = field(default=b"", repr=False)
    model_config: str = "{}"
    batch_rows: int = 65_536

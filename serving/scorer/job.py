"""What is to be scored, as it goes to each process that scores, on this machine or on a cluster."""

from dataclasses import dataclass, field


class ScoringError(Exception):
    """Scoring can't go on: the text says what, why, and what to do next. It holds no data of the user's."""


@dataclass(frozen=True)
class Part:
    """Some rows of one file, which one process scores, into one file.

    Of a Parquet file, these are some ``row_groups``; of a CSV file, the bytes from ``start`` to ``end``, which are
    whole records without the header. ``keys`` are the columns that stand in directory names (key=value).
    """

    number: int
    file: str
    row_groups: tuple[int, ...] = ()
    start: int = 0
    end: int = 0
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Written:
    """A part that is scored: the name of its file in the job's ``directory``, and how many rows it has."""

    number: int
    file: str
    rows: int


@dataclass(frozen=True)
class Job:
    """How each part is scored.

    ``model`` is the directory of the model's files, ``directory`` the one in which parts are written. ``columns``
    are those of the input, in order, and ``schema`` is the schema of the output, both as serialized Arrow schemas.
    """

    model: str
    directory: str
    model_name: str
    model_version: str
    columns: bytes
    schema: bytes = field(repr=False)
    batch_rows: int = 65_536

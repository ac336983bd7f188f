"""The files of INPUT, and what each says of itself: Parquet in its footer, CSV in its header."""

import csv
import glob
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, parquet

from scorer.job import ScoringError
from scorer.records import end_of_record

_PARQUET, _CSV = (".parquet", ".pq"), (".csv", ".csv.gz")
_KINDS = f"{', '.join(_PARQUET + _CSV[:-1])} or {_CSV[-1]}"
_LONGEST_HEADER = 1024 * 1024


@dataclass(frozen=True)
class Whole:
    """The least and the greatest value of a column of whole numbers or bools; None if it has none."""

    least: int | None
    greatest: int | None
    has_nulls: bool


@dataclass(frozen=True)
class Source:
    """One file: its columns, and where its rows are.

    ``row_groups`` are the numbers of rows in those of a Parquet file; ``header`` is how many bytes the
    header of a CSV file has, whose columns all count as text here. ``wholes`` are the columns of whole
    numbers and bools, by name.
    """

    file: str
    schema: pa.Schema
    row_groups: tuple[int, ...] = ()
    header: int = 0
    wholes: dict[str, Whole] = field(default_factory=dict)


def is_hidden(file: str) -> bool:
    """Whether a file is none of the data, as a manifest or a mark; its name begins with _ or a dot."""
    return Path(file).name.startswith(("_", "."))


def is_csv(file: str) -> bool:
    """Whether a file is CSV, by its name."""
    return file.endswith(_CSV)


def is_compressed(file: str) -> bool:
    """Whether a CSV file is compressed, by its name."""
    return file.endswith(".gz")


def find_sources(pattern: str) -> list[Source]:
    """Return the files of INPUT: one file, those of a directory, or those that a glob finds; sorted by name.

    Raises:
        ScoringError: if there is none, they are of several kinds, or one can't be read.

    """
    files = _files(pattern)
    kinds = {is_csv(file) for file in files}
    if len(kinds) > 1:
        raise ScoringError(f"{pattern} holds CSV and Parquet files; name those of one kind, by a glob")
    return [_source(file) for file in files]


def _files(pattern: str) -> list[str]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(str(each) for each in path.iterdir() if not is_hidden(each.name))
    elif path.exists():
        found = [pattern]
    else:
        found = sorted(each for each in glob.glob(pattern) if not is_hidden(each))  # noqa: PTH207 - it is absolute
    if not found:
        what = f"{pattern} holds no files" if path.is_dir() else f"there is no file {pattern}"
        raise ScoringError(f"{what}; name a file, a directory or a glob, of {_KINDS} files")
    for file in found:
        if Path(file).is_dir():
            raise ScoringError(
                f"{file} is a directory, and names of directories are not read as columns; name its files by"
                f" a glob, such as {path if path.is_dir() else path.parent}/*/*.parquet"
            )
        if not file.endswith(_PARQUET + _CSV):
            raise ScoringError(f"{file} is of no known kind: expected {_KINDS}; leave it out by a glob")
    return found


def _source(file: str) -> Source:
    try:
        source = _csv_source(file) if is_csv(file) else _parquet_source(file)
    except (OSError, EOFError) as error:
        # Arrow's own texts name the file, too, and are long.
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is damaged"
        raise ScoringError(f"{file} can't be read: {why}; repair it, or leave it out") from error
    except pa.ArrowInvalid as error:
        raise ScoringError(
            f"{file} can't be read: it is no Parquet file, or damaged; repair it, or leave it out"
        ) from error
    names = source.schema.names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ScoringError(f"{file} has two columns {twice!r}; rename one")
    return source


def _parquet_source(file: str) -> Source:
    with parquet.ParquetFile(file) as opened:
        metadata, schema = opened.metadata, opened.schema_arrow
        # Where columns are nested, those of the file are more than those of the schema.
        places = {metadata.schema.column(place).path: place for place in range(len(metadata.schema))}
        wholes = {
            each.name: _whole(opened, each.name, places[each.name])
            for each in schema
            if (pa.types.is_integer(each.type) or pa.types.is_boolean(each.type)) and each.name in places
        }
        rows = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
        return Source(file, schema, rows, wholes=wholes)


def _whole(file: parquet.ParquetFile, name: str, place: int) -> Whole:
    """Ask the footer about a column of whole numbers or bools; where that does not say, the column itself."""
    bounds: list[int] = []
    has_nulls = False
    for number in range(file.metadata.num_row_groups):
        told = file.metadata.row_group(number).column(place).statistics
        if told is not None and told.has_null_count and (told.has_min_max or told.num_values == 0):
            has_nulls |= told.null_count > 0
            bounds += [told.min, told.max] if told.has_min_max else []
        else:
            column = file.read_row_group(number, [name], use_threads=False).column(0)
            has_nulls |= column.null_count > 0
            bounds += [each.as_py() for each in compute.min_max(column).values() if each.is_valid]
    return Whole(min(bounds, default=None), max(bounds, default=None), has_nulls)


def open_csv(file: str) -> pa.NativeFile:
    """Open a CSV file, compressed or not."""
    opened = pa.OSFile(file)
    return pa.CompressedInputStream(opened, "gzip") if is_compressed(file) else opened


def read_header(file: str) -> tuple[list[str], int]:
    """Return the names of the columns of a CSV file, and how many bytes its header has."""
    with open_csv(file) as opened:
        start = opened.read(_LONGEST_HEADER)
    end = end_of_record(start) or len(start)
    if end == _LONGEST_HEADER:
        raise ScoringError(f"{file} can't be read: its header is longer than {end} bytes; correct it")
    try:
        names = next(csv.reader(io.StringIO(start[:end].decode("utf-8-sig"), newline=""), strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScoringError(f"{file} can't be read: its header is no CSV in UTF-8; correct it") from error
    return names, end


def _csv_source(file: str) -> Source:
    names, end = read_header(file)
    if not names:
        raise ScoringError(f"{file} is empty: expected a header with the names of the columns; leave it out")
    return Source(file, pa.schema([(name, pa.string()) for name in names]), header=end)

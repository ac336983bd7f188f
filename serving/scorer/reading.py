"""The rows of a part, in batches."""

import re
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import csv, parquet

from scorer.job import Job, Part, ScoringError
from scorer.sources import is_compressed, is_csv, open_csv, read_header

_BLOCK = 4 * 1024 * 1024  # bytes of CSV that are read at once
_BUFFER = 256 * 1024  # bytes of a column of Parquet that are read at once
# The words of Arrow 25; what follows them is data.
_ROW = re.compile(r"Row #(\d+): (?:CSV conversion|Expected)")
_WRONG_VALUE = re.compile(r"In CSV column #(\d+): .*?CSV conversion error to ([^:]+):")
_WRONG_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")
_TOO_LONG = "straddles two block boundaries"
_EMPTY = "Empty CSV file"


def batches(job: Job, part: Part) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, at most ``job.batch_rows`` at once, with the columns of the input.

    Raises:
        ScoringError: if the file can't be read.

    """
    columns = pa.ipc.read_schema(pa.BufferReader(job.columns))
    try:
        if is_csv(part.file):
            found = _csv_batches(part, columns)
        else:
            found = _parquet_batches(part, columns, job.batch_rows)
        for batch in found:
            for first in range(0, batch.num_rows, job.batch_rows):
                yield batch.slice(first, job.batch_rows)
    except (OSError, pa.ArrowException) as error:
        raise ScoringError(_damaged(part, str(error))) from error


def _parquet_batches(part: Part, columns: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    # Neither threads nor read-ahead: memory stays bounded, and each process has one core's work.
    with parquet.ParquetFile(part.file, pre_buffer=False, buffer_size=_BUFFER) as file:
        for batch in file.iter_batches(rows, part.row_groups, use_threads=False):
            yield batch.select(columns.names).replace_schema_metadata(None)


def _csv_batches(part: Part, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    names, _ = read_header(part.file)
    stream = open_csv(part.file)
    if is_compressed(part.file):
        stream.read(part.start)
    else:
        stream = stream.get_stream(part.start, part.end - part.start)
    convert = csv.ConvertOptions(
        column_types=columns,
        include_columns=columns.names,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    read = csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=names)
    try:
        reader = csv.open_csv(stream, read, csv.ParseOptions(newlines_in_values=True), convert)
    except pa.ArrowInvalid as error:
        if _EMPTY in str(error):
            return
        raise
    with reader:
        yield from reader


def _damaged(part: Part, why: str) -> str:
    """Say what is wrong with a file, without what stands in it."""
    if not is_csv(part.file):
        return f"{part.file} can't be read: it is damaged, or was changed meanwhile; repair it, or leave it out"
    names, header = read_header(part.file)
    row = _ROW.search(why)
    at = f"{part.file}, row {row[1]}" if row else part.file
    if row and part.start != header:
        at += f" after byte {part.start}"
    if found := _WRONG_COUNT.search(why):
        return f"{at} has {found[2]} fields, and the header has {found[1]}; correct it"
    if found := _WRONG_VALUE.search(why):
        what = "text that is not UTF-8" if "UTF8" in why else f"a value that is no {found[2]}"
        return f"column {names[int(found[1])]!r} of {at} has {what}; correct it"
    if _TOO_LONG in why:
        return f"{part.file} has a row longer than {_BLOCK} bytes; correct it, or use Parquet"
    return f"{part.file} can't be read: it is damaged, or was changed meanwhile; repair it, or leave it out"

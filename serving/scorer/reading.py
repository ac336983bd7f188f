"""The rows of a part, in batches."""

import re
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import csv, parquet

from scorer.job import Job, Part, ScoringError
from scorer.sources import is_compressed, is_csv, open_csv, read_header

_BLOCK = 4 * 1024 * 1024  # bytes of CSV that are read at once
_BUFFER = 256 * 1024  # bytes of a column of Parquet that are read at once
_STEP = 4096  # rows of Parquet that are read at once; how wide these are, only reading them shows
_BATCH_BYTES = 64 * 1024 * 1024
# The words of Arrow 25; what follows them is data.
_ROW = re.compile(r"Row #(\d+): (?:CSV conversion|Expected)")
_WRONG_VALUE = re.compile(r"In CSV column #(\d+): .*?CSV conversion error to ([^:]+):")
_WRONG_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")
_TOO_LONG = "straddles two block boundaries"
_EMPTY = "Empty CSV file"
_NULL_IN_FIXED = "Expected all lists to be of size"


def batches(job: Job, part: Part) -> Iterator[pa.Table]:
    """Yield the rows of a part, with the columns of the input: ``job.batch_rows`` at once, fewer if wide.

    Raises:
        ScoringError: if the file can't be read.

    """
    columns = pa.ipc.read_schema(pa.BufferReader(job.columns))
    try:
        if is_csv(part.file):
            found = _csv_batches(part, columns)
        else:
            found = _parquet_batches(part, columns, min(job.batch_rows, _STEP))
        yield from _gathered(found, job.batch_rows)
    except (OSError, pa.ArrowException) as error:
        raise ScoringError(_damaged(part, str(error))) from error


def _gathered(found: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.Table]:
    """Yield tables of so many rows, or of fewer that fill the memory that a batch may have."""
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in found:
        at = 0
        while at < batch.num_rows:
            fit = max(1, (_BATCH_BYTES - size) * batch.num_rows // max(1, batch.nbytes))
            piece = batch.slice(at, min(most - rows, fit))
            gathered.append(piece)
            at, rows, size = at + piece.num_rows, rows + piece.num_rows, size + piece.nbytes
            if rows == most or size >= _BATCH_BYTES:
                yield pa.Table.from_batches(gathered)
                gathered, rows, size = [], 0, 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def _parquet_batches(part: Part, columns: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    # Neither threads nor read-ahead: memory stays bounded, and each process has one core's work.
    with parquet.ParquetFile(part.file, pre_buffer=False, buffer_size=_BUFFER) as file:
        for batch in file.iter_batches(rows, part.row_groups, use_threads=False):
            yield batch.select(columns.names).replace_schema_metadata(None)


def _csv_batches(part: Part, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of CSV; an empty text in quotes is null, except where the column is text."""
    texts = [field.name for field in columns if pa.types.is_string(field.type)]
    others = [name for name in columns.names if name not in texts]
    # Arrow takes quotes in all columns in one way, so where there are both kinds, two readers go in step.
    readers = [_read_csv(part, columns, names, names is others) for names in (texts, others) if names]
    for batches in zip(*readers, strict=True):
        found = {
            name: column
            for batch in batches
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        yield pa.RecordBatch.from_arrays([found[name] for name in columns.names], schema=columns)


def _read_csv(
    part: Part, columns: pa.Schema, wanted: list[str], quoted_is_null: bool
) -> Iterator[pa.RecordBatch]:
    names, _ = read_header(part.file)
    stream = open_csv(part.file)
    if is_compressed(part.file):
        stream.read(part.start)
    else:
        stream = stream.get_stream(part.start, part.end - part.start)
    convert = csv.ConvertOptions(
        column_types=columns,
        include_columns=wanted,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=quoted_is_null,
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
    damaged = f"{part.file} can't be read: it is damaged, or has changed; repair it, or leave it out"
    if _NULL_IN_FIXED in why:
        return (
            f"{part.file} has a column of lists of a fixed size, where one is null, which Arrow can't read;"
            " write it with lists of any size"
        )
    if not is_csv(part.file):
        return damaged
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
    return damaged

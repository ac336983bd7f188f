"""The rows of a part, in batches."""

import re
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import csv, parquet

from scorer.job import Job, Part, ScoringError
from scorer.sources import is_csv, read_header

_BLOCK = 4 * 1024 * 1024  # bytes of CSV that are read at once
_WRONG_VALUE = re.compile(r"In CSV column #(\d+): CSV conversion error to ([^:]+):")
_WRONG_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")


def batches(job: Job, part: Part) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, at most ``job.batch_rows`` at once, with the columns of the input.

    Raises:
        ScoringError: if the file can't be read.

    """
    columns = pa.ipc.read_schema(pa.BufferReader(job.columns))
    read = _csv_batches if is_csv(part.file) else _parquet_batches
    try:
        for batch in read(job, part, columns):
            for first in range(0, batch.num_rows, job.batch_rows):
                yield batch.slice(first, job.batch_rows)
    except pa.ArrowInvalid as error:
        raise ScoringError(_damaged(part, columns, str(error))) from error
    except OSError as error:
        raise ScoringError(f"{part.file} can't be read any more ({type(error).__name__}); run this again") from error


def _parquet_batches(job: Job, part: Part, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    if not part.row_groups:
        return
    # Neither threads nor read-ahead: memory stays bounded, and each process has one core's work.
    with parquet.ParquetFile(part.file, pre_buffer=False) as file:
        for batch in file.iter_batches(job.batch_rows, part.row_groups, use_threads=False):
            yield batch.select(columns.names).replace_schema_metadata(None)


def _csv_batches(_job: Job, part: Part, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    if part.file.endswith(".gz"):
        stream = pa.CompressedInputStream(pa.OSFile(part.file), "gzip")
        stream.read(part.start)
    else:
        stream = pa.OSFile(part.file).get_stream(part.start, part.end - part.start)
    # Of an empty range, the reader would say that it is no CSV.
    if part.end == part.start and not part.file.endswith(".gz"):
        return
    names, _ = read_header(part.file)
    with csv.open_csv(
        stream,
        csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=names),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=columns,
            include_columns=columns.names,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ) as reader:
        yield from reader


def _damaged(part: Part, columns: pa.Schema, why: str) -> str:
    """Say what is wrong with a file, without what stands in it."""
    if found := _WRONG_VALUE.search(why):
        name = read_header(part.file)[0][int(found[1])]
        return f"column {name!r} of {part.file} has a value that is no {found[2]}; correct it"
    if found := _WRONG_COUNT.search(why):
        return f"{part.file} has a row with {found[2]} fields, and its header has {found[1]}; correct it"
    if "UTF8" in why:
        return f"{part.file} holds text that is not UTF-8; convert it"
    return f"{part.file} can't be read: it is damaged; repair it, or leave it out"

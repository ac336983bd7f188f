"""The files, cut into parts of about a million rows, which processes score one at a time."""

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path

from scorer.job import Part, ScoringError
from scorer.records import Scan
from scorer.sources import Source, is_compressed, is_csv

PART_ROWS = 1_000_000
PART_BYTES = 32 * 1024 * 1024
_CHUNK = 4 * 1024 * 1024


def parts_of(sources: Sequence[Source]) -> list[Part]:
    """Return the parts of all files, in order; at least one, so that no rows give an output, too."""
    numbers = count()
    found = [
        part
        for source in sources
        for part in (_csv_parts(source, numbers) if is_csv(source.file) else _parquet_parts(source, numbers))
    ]
    return found or [Part(0, sources[0].file, start=sources[0].header, end=sources[0].header)]


def _parquet_parts(source: Source, numbers: Iterator[int]) -> Iterator[Part]:
    """Yield consecutive row groups until there are enough rows."""
    groups: list[int] = []
    first = rows = 0
    for group, of in enumerate(source.row_groups):
        if groups and rows + of > PART_ROWS:
            yield Part(next(numbers), source.file, tuple(groups), first)
            first, groups, rows = first + rows, [], 0
        if of:
            groups.append(group)
            rows += of
    if groups:
        yield Part(next(numbers), source.file, tuple(groups), first)


def _csv_parts(source: Source, numbers: Iterator[int]) -> Iterator[Part]:
    """Yield ranges of bytes that end where a record ends; the file as one, if that is not sure."""
    if is_compressed(source.file):
        yield Part(next(numbers), source.file, start=source.header)
        return
    size = Path(source.file).stat().st_size
    bounds = [source.header, *_cuts(source, size), size]
    for start, end in pairwise(bounds):
        if start < end:
            yield Part(next(numbers), source.file, start=start, end=end)


def _cuts(source: Source, size: int) -> list[int]:
    cuts: list[int] = []
    scan, at, since = Scan(), source.header, source.header
    with Path(source.file).open("rb") as file:
        file.seek(at)
        while chunk := file.read(_CHUNK):
            end = scan.last_end(chunk)
            if not scan.is_sure:
                return []
            if end is not None and at + end - since >= PART_BYTES and at + end < size:
                cuts.append(since := at + end)
            at += len(chunk)
    if scan.is_quoted:
        raise ScoringError(f"{source.file} has a quote that is not closed; correct it")
    return cuts

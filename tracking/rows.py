"""Rows of SQLite and of PostgreSQL in one form, so that they can be copied and compared.

A row is a tuple of what Python's sqlite3 makes of its values. psycopg2 is imported only for PostgreSQL.
"""

import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

Batches = Iterator[list[tuple[Any, ...]]]

_BATCH = 5_000  # rows
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*")
_INTEGERS = range(-(2**63), 2**63)
# Of the format of COPY: https://www.postgresql.org/docs/17/sql-copy.html
_NULL = r"\N"
_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))


@dataclass
class Digest:
    """The number of rows, and a hash of them that does not depend on their order."""

    count: int = 0
    total: int = 0

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add some rows."""
        for row in rows:
            # Half of a surrogate pair is no text, but SQLite keeps it.
            told = repr(row).encode("utf-8", "surrogatepass")
            self.total += int.from_bytes(blake2b(told, digest_size=16).digest(), "big")
            self.count += 1
        self.total %= 2**128


def digest_of(batches: Batches) -> Digest:
    """Return the digest of all rows."""
    digest = Digest()
    for rows in batches:
        digest.add(rows)
    return digest


def quote(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Return names as SQL lists them."""
    return ", ".join(map(quote, names))


def sqlite_rows(connection: sqlite3.Connection, table: str, columns: Iterable[str]) -> Batches:
    """Yield the rows of a table."""
    cursor = connection.execute(f"SELECT {listed(columns)} FROM {quote(table)}")  # noqa: S608
    while rows := cursor.fetchmany(_BATCH):
        yield rows


def postgres_rows(connection: Any, table: str, columns: Iterable[str]) -> Batches:  # noqa: ANN401
    """Yield the rows of a table as SQLite would have them. ``connection`` is psycopg2's."""
    from psycopg2.extensions import register_type

    with connection.cursor(name="copier") as cursor:
        for kind in _types():
            register_type(kind, cursor)
        cursor.execute(f"SELECT {listed(columns)} FROM {quote(table)}")  # noqa: S608
        while rows := cursor.fetchmany(_BATCH):
            yield rows


def copy_into_postgres(connection: Any, table: str, columns: Iterable[str], batches: Batches) -> Digest:  # noqa: ANN401
    """Append rows to a table; return their digest. ``connection`` is psycopg2's."""
    digest = Digest()

    def lines() -> Iterator[bytes]:
        for rows in batches:
            digest.add(rows)
            yield "".join(map(_line, rows)).encode()

    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {quote(table)} ({listed(columns)}) FROM STDIN", _Readable(lines()))
    return digest


class _Readable:
    """A file for psycopg2: each read returns one batch, of any size."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, _: int) -> bytes:
        return next(self._parts, b"")


def _line(row: tuple[Any, ...]) -> str:
    return "\t".join(map(_field, row)) + "\n"


def _field(value: object) -> str:
    if isinstance(value, str):
        for plain, escaped in _ESCAPES:
            if plain in value:
                value = value.replace(plain, escaped)
        return value
    if value is None:
        return _NULL
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    return repr(value)


def _types() -> list[Any]:
    """Return how psycopg2 reads what SQLite has in another form; all other types are the same in both."""
    import psycopg2
    from psycopg2.extensions import new_type

    readers: dict[tuple[int, ...], Callable[[str], object]] = {
        (16,): lambda text: int(text == "t"),  # boolean
        (700, 701): _float,
        (114, 3802): _number_or_text,  # json and jsonb
        (1082, 1083, 1114, 1184, 1266, 1700): str,  # of time, and numeric
    }

    def reader(read: Callable[[str], object]) -> Callable[[Any, Any], object]:
        return lambda text, _: None if text is None else read(text)

    def to_bytes(text: Any, cursor: Any) -> bytes | None:  # noqa: ANN401
        read = psycopg2.BINARY(text, cursor)
        return None if read is None else bytes(read)

    return [
        new_type((17,), "BYTES", to_bytes),
        *(new_type(codes, "AS_IN_SQLITE", reader(read)) for codes, read in readers.items()),
    ]


def _float(text: str) -> float | str:
    value = float(text)
    return "NaN" if math.isnan(value) else value + 0.0  # SQLite has no NaN, and no zero below zero


def _number_or_text(text: str) -> float | str:
    """Return what SQLite makes of a text in a column of JSON, which has for it the affinity NUMERIC."""
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    whole = (
        int(text) if text.strip().removeprefix("-").isdigit() else int(value) if value.is_integer() else None
    )
    return whole if whole is not None and whole in _INTEGERS else value

"""What SQLite holds and PostgreSQL would refuse: found, with its place, before anything is copied."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from rows import quote
from sqlalchemy import types

_SHOWN = 60  # characters of a value
_BYTES = {types.SmallInteger: 2, types.BigInteger: 8, types.Integer: 4}  # the special ones first


def find(connection: sqlite3.Connection, tables: list[sqlalchemy.Table]) -> str | None:
    """Return what is wrong with the first row that these tables of PostgreSQL would refuse, if any."""
    connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)
    connection.text_factory = lambda read: read.decode(errors="replace")
    return next(filter(None, (_in_table(connection, table) for table in tables)), None)


def _in_table(connection: sqlite3.Connection, table: sqlalchemy.Table) -> str | None:
    wrong = [pair for column in table.columns if column.computed is None for pair in _of_column(column)]
    wrong += [_of_reference(reference) for reference in table.foreign_key_constraints]
    key = [column.name for column in table.primary_key] or [column.name for column in table.columns]
    cases = " ".join(f"WHEN {condition} THEN ?" for condition, _ in wrong)
    found = connection.execute(
        f"SELECT CASE {cases} END AS reason, {', '.join(map(quote, key))} FROM {quote(table.name)} AS own"  # noqa: S608
        " WHERE reason IS NOT NULL LIMIT 1",
        [reason for _, reason in wrong],
    ).fetchone()
    if found is None:
        return None
    place = ", ".join(f"{name} {_shown(value)}" for name, value in zip(key, found[1:], strict=True))
    return f"table {table.name}, row {place}, {found[0]}"


def _shown(value: object) -> str:
    told = repr(value)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}..."


def _of_column(column: "sqlalchemy.Column[Any]") -> Iterator[tuple[str, str]]:
    """Yield conditions in SQLite's SQL, and what is wrong where one is true."""
    name, named = quote(column.name), f"column {column.name}"
    if not column.nullable:
        yield f"{name} IS NULL", f"{named}: it is empty (NULL), and may not be"
    is_right, expected = _right(column.type, name)
    # A condition about NULL is NULL, which is not true.
    yield f"NOT ({is_right})", f"{named}: it is not {expected}"
    if isinstance(column.type, (types.String, types.JSON)):
        is_text = f"typeof({name}) = 'text' AND"
        yield f"{is_text} instr(CAST({name} AS BLOB), x'00')", f"{named}: it has a character NUL in it"
        yield f"{is_text} NOT is_utf8(CAST({name} AS BLOB))", f"{named}: it is no text in UTF-8"
    if isinstance(column.type, types.String) and column.type.length:
        longest = column.type.length
        yield f"length({name}) > {longest}", f"{named}: it is longer than {longest} characters"


def _right(kind: "types.TypeEngine[Any]", name: str) -> tuple[str, str]:
    """Return a condition for values of a type of PostgreSQL, and what they are."""
    is_kind = f"{name} IS NULL OR typeof({name})"
    if isinstance(kind, types.String):
        return f"{is_kind} = 'text'", "a text"
    if isinstance(kind, types.Boolean):
        return f"{is_kind} = 'integer' AND {name} IN (0, 1)", "0 or 1"
    if isinstance(kind, types.Float):
        return f"{is_kind} IN ('real', 'integer') OR {name} = 'NaN'", "a number"
    if isinstance(kind, types.LargeBinary):
        return f"{is_kind} = 'blob'", "bytes"
    if isinstance(kind, types.JSON):
        return f"{is_kind} IN ('real', 'integer') OR typeof({name}) = 'text' AND json_valid({name})", "JSON"
    if isinstance(kind, types.Date):
        return f"{is_kind} = 'text' AND date({name}, '+0 days') IS {name}", "a date"
    for type_, size in _BYTES.items():
        if isinstance(kind, type_):
            most = 2 ** (8 * size - 1)
            return (
                f"{is_kind} = 'integer' AND {name} BETWEEN {-most} AND {most - 1}",
                f"a whole number of {size} bytes",
            )
    return "true", ""


def _of_reference(reference: sqlalchemy.ForeignKeyConstraint) -> tuple[str, str]:
    pairs = [(own.parent.name, own.column.name) for own in reference.elements]
    is_set = " AND ".join(f"own.{quote(own)} IS NOT NULL" for own, _ in pairs)
    same = " AND ".join(f"other.{quote(other)} = own.{quote(own)}" for own, other in pairs)
    other = reference.referred_table.name
    columns = ", ".join(own for own, _ in pairs)
    return (
        f"{is_set} AND NOT EXISTS (SELECT 1 FROM {quote(other)} AS other WHERE {same})",  # noqa: S608
        f"column {columns}: it refers to a row that {other} does not have",
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True

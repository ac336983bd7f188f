"""Where a record of CSV ends: at a line's end outside of quotes. A quote opens only where a field begins."""

import re

import numpy as np

_QUOTE, _NEWLINE = b'"'[0], b"\n"[0]
_BEFORE_QUOTED = np.frombuffer(b',\n\r"', np.uint8)
_FIELD = rb'(?:"(?:[^"]++|"")*+")?+[^,\r\n]*+'
_RECORD = re.compile(rb"(?:\xef\xbb\xbf)?+%b(?:,%b)*+(?:\r\n|\r|\n)" % (_FIELD, _FIELD))


def end_of_record(data: bytes) -> int | None:
    """Return how many bytes the first record has, with the end of its line; None if that is not there."""
    found = _RECORD.match(data)
    return found.end() if found else None


class Scan:
    """Finds ends of records in a file that is read chunk by chunk, by whether it ``is_quoted`` there.

    In a file where a quote stands inside a field that is not quoted, that says nothing: ``is_sure`` is
    false then.
    """

    def __init__(self) -> None:
        """Start at the beginning of a record."""
        self.is_sure = True
        self.is_quoted = False
        self._last = _NEWLINE

    def last_end(self, chunk: bytes) -> int | None:
        """Go on by a chunk; return how many bytes it has up to its last end of a record, None without one."""
        if b'"' not in chunk:
            self._last = chunk[-1]
            return None if self.is_quoted else chunk.rfind(b"\n") + 1 or None
        data = np.frombuffer(chunk, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        opening = quotes[int(self.is_quoted) :: 2]
        before = np.where(opening > 0, data[opening - 1], self._last)
        self.is_sure = self.is_sure and bool(np.isin(before, _BEFORE_QUOTED).all())
        newlines = np.flatnonzero(data == _NEWLINE)
        outside = newlines[(np.searchsorted(quotes, newlines) + self.is_quoted) % 2 == 0]
        self.is_quoted ^= bool(len(quotes) % 2)
        self._last = chunk[-1]
        return int(outside[-1]) + 1 if len(outside) else None

"""Requests to a model, as hypothesis makes them up: valid ones, and ones that are not quite."""

import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from mlflow.types import DataType, Schema

from tests.unit.signatures import kinds_of

# Numbers that json.dumps does not write; in the text they replace a string.
_LITERALS = (
    "-0",
    "1e400",
    "-1e400",
    "1e-400",
    "1E5",
    "1.0e+2",
    "0.1000000000000000055511151231257827",
    "9" * 400,
)
_EDGES = [
    0,
    1,
    -1,
    2**31 - 1,
    2**31,
    -(2**31),
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64 - 1,
    2**64,
    10**30,
]
_floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1e308, 5e-324, 0.1, 3.4e38, 16777217.0, 1e-46]
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    [
        "",
        "a",
        "a\u0000",
        "\u0000",
        "a\u0000b",
        " ",
        "NaN",
        "null",
        "2024-01-31",
        "1",
        "é\u0301",
        "🦆",
        "x" * 50,
    ]
)
_PLAIN: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.double: _floats | st.integers(-(2**70), 2**70) | st.sampled_from(_EDGES) | st.none(),
    DataType.float: _floats | st.none(),
    DataType.long: st.integers(-(2**63), 2**63 - 1),
    DataType.integer: st.integers(-(2**31), 2**31 - 1),
    DataType.boolean: st.booleans(),
    DataType.string: _texts,
}
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(_EDGES),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), 1.0, 2.5]),
    st.sampled_from(["1", "1.5", "true", "NaN", "\ud800", "2024-01-31T00:00:00", "\u0000"]),
    st.sampled_from([f"@{literal}@" for literal in _LITERALS]),
    st.sampled_from([[], [1], [[1.5]], {}, {"a": 1}, {"0": None}]),
)
_EXTRA = st.sampled_from(
    [
        ("params", {"threshold": 0.25}),
        ("params", None),
        ("params", {"unknown": 1}),
        ("signature_name", "serving_default"),
        ("instances", [1]),
        ("inputs", {}),
        ("messages", []),
        ("input", "x"),
        ("other", 1),
    ]
)

# Of so many columns values are made up; of more, all of doubles, it is the order that may go wrong.
_WIDE = 10

Rows = list[dict[str, Any]]
FORMS: dict[str, Callable[[list[str], Rows], tuple[str, Any]]] = {
    "split": lambda names, rows: (
        "dataframe_split",
        {"columns": names, "data": [[row[name] for name in names] for row in rows]},
    ),
    "records": lambda _, rows: ("dataframe_records", rows),
    "lists of inputs": lambda names, rows: ("inputs", {name: [row[name] for row in rows] for name in names}),
    "records of inputs": lambda _, rows: ("inputs", rows),
    "lists of instances": lambda names, rows: (
        "instances",
        {name: [row[name] for row in rows] for name in names},
    ),
    "records of instances": lambda _, rows: ("instances", rows),
    "scalars": lambda names, rows: ("inputs", {name: rows[0][name] for name in names}),
    "matrix": lambda names, rows: ("inputs", [[row[name] for name in names] for row in rows]),
    "instances matrix": lambda names, rows: ("instances", [[row[name] for name in names] for row in rows]),
}
COMMON = tuple(FORMS)[:6]


def bounded(examples: int) -> settings:
    """Return hypothesis' settings: so many examples, always the same ones."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def request(form: str, names: list[str], rows: Rows) -> dict[str, Any]:
    """Return the rows as a request in one of the forms."""
    key, data = FORMS[form](names, [{name: row[name] for name in names} for row in rows])
    return {key: data}


@st.composite
def bodies(draw: st.DrawFn, schema: Schema) -> bytes:
    """Return the body of a request for a model with that signature."""
    kinds = kinds_of(schema)
    names, is_wide = list(kinds), len(kinds) > _WIDE
    rows = [
        {
            name: draw(_PLAIN[kind]) if not is_wide or position < _WIDE else float(position)
            for position, (name, kind) in enumerate(kinds.items())
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    if is_wide:
        names = draw(st.sampled_from([names, names[::-1]]))
    else:
        names = draw(st.sampled_from([names, names]) | st.permutations(names))
    odd = draw(st.integers(0, 9)) >= 4
    if odd and draw(st.booleans()):
        draw(st.sampled_from(rows))[draw(st.sampled_from(names))] = draw(_ODD)
    made = request(draw(st.sampled_from(tuple(FORMS) if odd else COMMON)), names, rows)
    if odd:
        for _ in range(draw(st.integers(0, 2))):
            made = draw(_misshapen(made))
    return _as_text(draw, made, odd and draw(st.booleans()))


@st.composite
def _misshapen(draw: st.DrawFn, made: Any) -> Any:  # noqa: ANN401
    """Change the shape somewhere in a request."""
    if not isinstance(made, dict) or draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from([[made], made, {}, "request", None, 1]))
    if draw(st.integers(0, 4)) == 0:
        return {**made, **dict([draw(_EXTRA)])}
    key = draw(st.sampled_from(sorted(made))) if made else ""
    if not made or draw(st.integers(0, 9)) == 0:
        return {
            draw(st.sampled_from(["inputs", "instances", "dataframe_records", "dataframe_split"])): made.get(
                key
            )
        }
    return {**made, key: draw(_changed(made[key], 3))}


@st.composite
def _changed(draw: st.DrawFn, value: Any, depth: int) -> Any:  # noqa: ANN401
    """Drop, repeat, swap, add or replace something in a JSON value, or in one that it holds."""
    if depth and value and isinstance(value, dict | list) and draw(st.booleans()):
        if isinstance(value, dict):
            key = draw(st.sampled_from(sorted(value)))
            return {**value, key: draw(_changed(value[key], depth - 1))}
        position = draw(st.integers(0, len(value) - 1))
        return [*value[:position], draw(_changed(value[position], depth - 1)), *value[position + 1 :]]
    what = draw(st.integers(0, 5))
    if isinstance(value, list) and what:
        position = draw(st.integers(0, max(0, len(value) - 1)))
        return {
            1: value[:position] + value[position + 1 :],
            2: value[: position + 1] + value[position:],
            3: value[::-1],
            4: [*value[:position], draw(_ODD), *value[position:]],
            5: [],
        }[what]
    if isinstance(value, dict) and what:
        items = draw(st.permutations(list(value.items())))
        return {
            1: dict(items[1:]),
            2: dict(items),
            3: dict([*items, (draw(st.sampled_from(["extra", "index", "", "c0", "a"])), draw(_ODD))]),
            4: dict([*items[1:], *[(f"{name} ", of) for name, of in items[:1]]]),
            5: {},
        }[what]
    return draw(_ODD)


def _as_text(draw: st.DrawFn, made: Any, odd: bool) -> bytes:  # noqa: ANN401
    ascii_only = draw(st.booleans())
    text = json.dumps(made, ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, None, 1])))
    text = re.sub(r'"@([^"]*)@"', r"\1", text)
    if not odd:
        return text.encode(errors="surrogatepass")
    changes: list[Callable[[], bytes]] = [
        lambda: f" \t\r\n{text}\n".encode(errors="surrogatepass"),
        lambda: text.encode("utf-8-sig", errors="surrogatepass"),
        lambda: text.encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32"])), errors="surrogatepass"),
        lambda: (text + draw(st.sampled_from(["x", "}", "{}", ",", "\u0000"]))).encode(
            errors="surrogatepass"
        ),
        lambda: text[: draw(st.integers(0, len(text)))].encode(errors="surrogatepass"),
        lambda: text.encode("latin-1", errors="replace"),
        lambda: _with_repeated_keys(draw, text).encode(errors="surrogatepass"),
        lambda: text.replace('"', "'").encode(errors="surrogatepass"),
        lambda: text.replace("]", ",]", 1).encode(errors="surrogatepass"),
        lambda: text.replace("1", "01", 1).encode(errors="surrogatepass"),
    ]
    return draw(st.sampled_from(changes))()


def _with_repeated_keys(draw: st.DrawFn, text: str) -> str:
    """Repeat the first key of an object, here before and there after its other value."""
    objects = list(re.finditer(r'\{\s*("(?:[^"\\]|\\.)*"):', text))
    if not objects:
        return text
    match = draw(st.sampled_from(objects))
    other = draw(st.sampled_from(["null", "1", "[]", "NaN"]))
    return f"{text[: match.start() + 1]}{match[1]}: {other}, {text[match.start() + 1 :]}"

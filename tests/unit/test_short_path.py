"""The short path changes nothing: what it takes over, MLflow gives to the model just so, and answers so.

Whatever MLflow refuses, or reads in any other way, the short path must hand over.
"""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from model_server.short_path import ShortPath
from model_server.signature import named_columns

from tests.unit.requests_to_models import COMMON, bodies, bounded, request
from tests.unit.signatures import SCHEMAS, Reference, assert_same_frame, kinds_of

# An infinite float32, of a number that is too large for it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in cast")

_VALUES: dict[DataType, list[Any]] = {
    DataType.double: [1.5, -2, None, 5e-324],
    DataType.float: [1.5, -2.25, None, 0.1],
    DataType.long: [1, -2, 2**63 - 1, 0],
    DataType.integer: [1, -2, 2**31 - 1, 0],
    DataType.boolean: [True, False, True, True],
    DataType.string: ["a", "größe 🦆", "", "2024-01-31"],
}
# For columns of one type: values in JSON that the short path takes over, and ones that it hands over.
_CELLS = {
    "doubles": (
        "0 -0 -0.0 1 1.0 1E5 1e308 5e-324 1e-400 9007199254740993 18446744073709551616 null",
        '1e400 -1e400 NaN Infinity -Infinity true "1" "NaN" [1] {} [] {"a":1} 01 1. .5 0x1',
    ),
    "floats": (
        "0.1 -0.0 16777217.0 1e39 3.4028235677973366e38 1e-46 null",
        '1 16777217 1e400 NaN true "1.5" [1.5]',
    ),
    "longs": (
        "0 -0 9223372036854775807 -9223372036854775808",
        '1.0 1.5 1e3 9223372036854775808 18446744073709551616 null NaN true "1" [1]',
    ),
    "integers": (
        "0 -0 2147483647 -2147483648",
        '2147483648 -2147483649 9223372036854775808 1.0 null true "1"',
    ),
    "booleans": ("true false", 'null 1 0 1.0 "true" "" []'),
    "strings": (
        r'"\ud83e\udd86" "日本" "é" "" "a\u0000" "\u0000" "1" "null"',
        r'"\ud800" "\udd86\ud83e" null 1 true NaN ["a"] {}',
    ),
}
# For three columns of doubles: whole requests that are not quite the common ones.
_REQUESTS = {
    "a missing column": '{"dataframe_split": {"columns": ["c0", "c1"], "data": [[1, 2]]}}',
    "an extra column": '{"dataframe_split": {"columns": ["c0", "c1", "c2", "x"], "data": [[1, 2, 3, 4]]}}',
    "a repeated column": '{"dataframe_split": {"columns": ["c0", "c1", "c1"], "data": [[1, 2, 3]]}}',
    "one too many": '{"dataframe_split": {"columns": ["c0", "c1", "c2", "c2"], "data": [[1, 2, 3, 4]]}}',
    "names that are not text": '{"dataframe_split": {"columns": [0, 1, 2], "data": [[1, 2, 3]]}}',
    "names of names": '{"dataframe_split": {"columns": [["c0"], "c1", "c2"], "data": [[1, 2, 3]]}}',
    "no names": '{"dataframe_split": {"data": [[1, 2, 3]]}}',
    "an index": '{"dataframe_split": {"columns": ["c0", "c1", "c2"], "index": [7], "data": [[1, 2, 3]]}}',
    "a short row": '{"dataframe_split": {"columns": ["c0", "c1", "c2"], "data": [[1, 2, 3], [1, 2]]}}',
    "a long row": '{"dataframe_split": {"columns": ["c0", "c1", "c2"], "data": [[1, 2, 3, 4]]}}',
    "no rows": '{"dataframe_split": {"columns": ["c0", "c1", "c2"], "data": []}}',
    "rows that are none": '{"dataframe_split": {"columns": ["c0", "c1", "c2"], "data": [1, 2, 3]}}',
    "no records": '{"dataframe_records": []}',
    "an empty record": '{"dataframe_records": [{}]}',
    "records that differ": '{"dataframe_records": [{"c0": 1, "c1": 2, "c2": 3}, {"c0": 1, "c1": 2, "x": 3}]}',
    "records in lists": '{"dataframe_records": {"c0": [1], "c1": [2], "c2": [3]}}',
    "a record among others": '{"instances": [{"c0": 1, "c1": 2, "c2": 3}, [1, 2, 3]]}',
    "instances that differ": '{"instances": [{"c0": 1, "c1": 2, "c2": 3}, {"c0": 1, "c1": 2}]}',
    "inputs that are empty": '{"inputs": {"c0": [], "c1": [], "c2": []}}',
    "inputs that differ in length": '{"inputs": {"c0": [1], "c1": [1, 2], "c2": [3]}}',
    "inputs of scalars": '{"inputs": {"c0": 1, "c1": 2, "c2": 3}}',
    "inputs, some of scalars": '{"inputs": {"c0": [1], "c1": 2, "c2": [3]}}',
    "a matrix of inputs": '{"inputs": [[1, 2, 3]]}',
    "a matrix of instances": '{"instances": [[1, 2, 3], [4, 5, 6]]}',
    "an extra input": '{"inputs": {"c0": [1], "c1": [2], "c2": [3], "x": [4]}}',
    "two formats": '{"inputs": {"c0": [1], "c1": [2], "c2": [3]}, "instances": []}',
    "params": '{"inputs": {"c0": [1], "c1": [2], "c2": [3]}, "params": {"a": 1}}',
    "a signature's name": '{"instances": [{"c0": 1, "c1": 2, "c2": 3}], "signature_name": "a"}',
    "a chat": '{"inputs": {"c0": [1], "c1": [2], "c2": [3]}, "messages": []}',
    "an unknown format": '{"dataframe": {"c0": [1], "c1": [2], "c2": [3]}}',
    "a list": '[{"c0": 1, "c1": 2, "c2": 3}]',
    "nothing": "",
    "an empty object": "{}",
    "garbage after it": '{"inputs": {"c0": [1], "c1": [2], "c2": [3]}} x',
    "a comma too many": '{"inputs": {"c0": [1], "c1": [2], "c2": [3],}}',
}
_BODY = b'{"inputs": {"c0": [1.5, 2.5], "c1": [1, 2], "c2": [3, null]}}'


def short_path(schema: Schema, *, strict: bool = False) -> ShortPath:
    columns = named_columns(schema)
    assert ShortPath.fits(columns)
    return ShortPath(columns, strict=strict)


def assert_nothing_changes(short: ShortPath, reference: Reference, body: bytes) -> bool:
    """Return whether the short path took the request over."""
    found = short.read(body)
    # Where it is strict, it reads null in a column of text on its own; tests/unit/test_strict.py has that.
    if found is not None and not found.select_dtypes("str").isna().to_numpy().any():
        assert_same_frame(found, reference.frame(body))
    return found is not None


def bodies_of(schema: Schema, rows: int) -> list[bytes]:
    kinds = kinds_of(schema)
    names = list(kinds)
    values = [_VALUES[kind][:rows] for kind in kinds.values()]
    records = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    requests = [request(form, order, records) for form in COMMON for order in (names, names[::-1])]
    return [
        json.dumps(made, ensure_ascii=ascii_only).encode()
        for made in requests
        for ascii_only in (True, False)
    ]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("name", SCHEMAS)
def test_common_requests_take_the_short_path_and_reach_the_model_as_from_mlflow(
    name: str, rows: int, strict: bool
) -> None:
    schema = SCHEMAS[name]
    short, reference = short_path(schema, strict=strict), Reference(schema)
    narrow = {DataType.float, DataType.integer} & set(kinds_of(schema).values())
    for body in bodies_of(schema, rows):
        taken = assert_nothing_changes(short, reference, body)
        assert taken or (narrow and body.startswith(b'{"inputs": [')), body


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", SCHEMAS)
def test_made_up_requests_are_read_as_mlflow_reads_them_or_handed_over(name: str, strict: bool) -> None:
    schema = SCHEMAS[name]
    short, reference = short_path(schema, strict=strict), Reference(schema)
    taken: Counter[bool] = Counter()

    @bounded(150)
    @given(bodies(schema))
    def check(body: bytes) -> None:
        taken[assert_nothing_changes(short, reference, body)] += 1

    check()
    assert taken[True] > taken.total() / 4
    assert taken[False] > taken.total() / 10


@pytest.mark.parametrize(
    ("name", "cell", "taken"),
    [
        (name, cell, taken)
        for name, cells in _CELLS.items()
        for taken, written in zip((True, False), cells, strict=True)
        for cell in written.split()
    ],
)
def test_each_value_is_read_as_mlflow_reads_it(name: str, cell: str, taken: bool) -> None:
    schema = SCHEMAS[name]
    short, reference = short_path(schema), Reference(schema)
    plain = _VALUES[kinds_of(schema)["c0"]][0]
    rows = [{"c0": plain, "c1": "the cell", "c2": plain}, {"c0": plain, "c1": plain, "c2": plain}]
    for form in COMMON:
        body = json.dumps(request(form, ["c0", "c1", "c2"], rows)).replace('"the cell"', cell).encode()
        found = assert_nothing_changes(short, reference, body)
        assert found == taken or form not in ("split", "records")


@pytest.mark.parametrize("what", _REQUESTS)
def test_what_is_not_quite_a_common_request_is_handed_over(what: str) -> None:
    assert short_path(SCHEMAS["doubles"]).read(_REQUESTS[what].encode()) is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_what_is_not_plain_utf_8_is_handed_over(encoding: str) -> None:
    assert short_path(SCHEMAS["doubles"]).read(_BODY.decode().encode(encoding)) is None


def test_of_a_repeated_key_the_last_value_counts_as_for_mlflow() -> None:
    body = b'{"inputs": 1, "inputs": {"c0": null, "c0": [1], "c1": [2], "c2": [3], "c1": [4]}}'
    assert assert_nothing_changes(short_path(SCHEMAS["doubles"]), Reference(SCHEMAS["doubles"]), body)


def test_what_one_model_does_to_its_frame_is_not_seen_in_the_next_request() -> None:
    for schema in (SCHEMAS["doubles"], SCHEMAS["mixed, no narrow types"]):
        short, reference, body = short_path(schema), Reference(schema), bodies_of(schema, 2)[0]
        frame = short.read(body)
        assert frame is not None
        frame.columns.name = frame.index.name = "changed"
        frame["new"] = frame.iloc[:, 0]
        frame.iloc[0, 0] = None
        assert assert_nothing_changes(short, reference, body)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.datetime, "b")]),
        Schema([ColSpec(DataType.binary, "a")]),
        Schema([ColSpec(DataType.double)]),
        Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "")]),
        Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "a")]),
        Schema([ColSpec(Array(DataType.double), "a")]),
        Schema([ColSpec(Object([Property("b", DataType.double)]), "a")]),
        Schema([ColSpec(Map(DataType.double), "a")]),
        Schema([ColSpec(AnyType(), "a")]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3))]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 3), "a")]),
    ],
    ids=str,
)
def test_other_signatures_have_no_short_path(schema: Schema | None) -> None:
    assert not ShortPath.fits(named_columns(schema))

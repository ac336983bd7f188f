"""Strict: no value is changed on its way to the model, and none depends on the rows beside it."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.types import ColSpec, DataType, Schema
from model_server.answers import Answer
from model_server.handover import Handover
from model_server.model import Model
from model_server.settings import load_settings

from tests.unit.model_servers import CSV, JSON, as_json, csv, scope_of
from tests.unit.requests_to_models import COMMON, bounded, request
from tests.unit.signatures import PARAMS, SCHEMAS, Reference, RefusalError, Remembering, kinds_of, pyfunc

_SETTINGS = load_settings({"__pyfunc_model_path__": "unused"})
_PLAIN: dict[DataType, Any] = {
    DataType.double: 1.5,
    DataType.float: 1.5,
    DataType.long: 1,
    DataType.integer: 1,
    DataType.boolean: True,
    DataType.string: "text",
}
_LOSSY: list[tuple[DataType, Any, str]] = [
    (DataType.boolean, "false", "text"),
    (DataType.boolean, "true", "text"),
    (DataType.boolean, "", "text"),
    (DataType.boolean, 2, "a number that is neither 0 nor 1"),
    (DataType.boolean, 0.5, "a number that is neither 0 nor 1"),
    (DataType.boolean, float("nan"), "a number that is neither 0 nor 1"),
    (DataType.boolean, None, "null"),
    (DataType.boolean, [], "an array"),
    (DataType.boolean, {"a": 1}, "an object"),
    (DataType.integer, 3_000_000_000, "a number that is too large"),
    (DataType.integer, "3000000000", "a number that is too large"),
    (DataType.integer, -(2**31) - 1, "a number that is too large"),
    (DataType.integer, 59.9, "a number with a fraction"),
    (DataType.long, 59.9, "a number with a fraction"),
    (DataType.long, -0.5, "a number with a fraction"),
    (DataType.float, 1e39, "a number that is too large"),
    (DataType.float, "-1e39", "a number that is too large"),
    (DataType.string, 5, "a number"),
    (DataType.string, True, "true or false"),
    (DataType.string, ["a"], "an array"),
]
_KEPT: list[tuple[DataType, Any, Any]] = [
    (DataType.boolean, 1, True),
    (DataType.boolean, 0.0, False),
    (DataType.long, 5.0, 5),
    (DataType.long, "59", 59),
    (DataType.long, True, 1),
    (DataType.long, 2**53 + 1, 2**53 + 1),
    (DataType.long, -(2**63), -(2**63)),
    (DataType.integer, -(2.0**31), -(2**31)),
    (DataType.double, "1.5", 1.5),
    (DataType.double, False, 0.0),
    (DataType.double, 1e39, 1e39),
    (DataType.float, 3, 3.0),
]


class Server:
    """A model as it is served, which remembers the rows that it is given."""

    def __init__(self, schema: Schema, *, strict: bool = True) -> None:
        self.implementation = Remembering([])
        model = Model(pyfunc(self.implementation, schema, PARAMS), replace(_SETTINGS, strict=strict))
        self._model, self._handover = model, Handover(model, 60)

    def post(self, body: bytes, content_type: str = JSON) -> Answer:
        """Answer a request as the application does: on the short path, or else by MLflow."""
        if content_type == JSON and self._model.answer(body) is not None:
            return Answer(200, b"")
        scope = scope_of("POST", "/invocations", {"content-type": content_type})
        return asyncio.run(self._handover.answer(scope, content_type, body))

    def frame(self, body: bytes, content_type: str = JSON) -> pd.DataFrame:
        """Return what the model is given."""
        answer = self.post(body, content_type)
        if answer.status != 200:
            raise RefusalError(answer.body)
        frame = self.implementation.given[-1]
        assert isinstance(frame, pd.DataFrame)
        return frame


def one(kind: DataType) -> Schema:
    return Schema([ColSpec(kind, "it")])


@pytest.mark.parametrize("form", COMMON)
@pytest.mark.parametrize(("kind", "value", "found"), _LOSSY)
def test_what_mlflow_would_change_is_refused_with_its_column_and_row(
    kind: DataType, value: object, found: str, form: str
) -> None:
    body = as_json(**request(form, ["it"], [{"it": _PLAIN[kind]}, {"it": value}]))
    answer = Server(one(kind)).post(body)
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "error_code": "BAD_REQUEST",
        "message": f"column 'it', row 2: expected {kind.name}, found {found}",
    }


@pytest.mark.parametrize("form", COMMON)
@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, value, _ in [*_LOSSY, *_KEPT]])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_not_strict_answers_as_mlflow(kind: DataType, value: object, form: str) -> None:
    body = as_json(**request(form, ["it"], [{"it": _PLAIN[kind]}, {"it": value}]))
    try:
        expected = Reference(one(kind), PARAMS).frame(body)
    except RefusalError:
        assert Server(one(kind), strict=False).post(body).status == 400
    else:
        pd.testing.assert_frame_equal(Server(one(kind), strict=False).frame(body), expected)


@pytest.mark.parametrize("form", COMMON)
@pytest.mark.parametrize(("kind", "value", "expected"), _KEPT)
def test_what_keeps_its_value_is_converted(
    kind: DataType, value: object, expected: object, form: str
) -> None:
    body = as_json(**request(form, ["it"], [{"it": _PLAIN[kind]}, {"it": value}]))
    given = Server(one(kind)).frame(body)["it"]
    assert given.dtype == kind.to_numpy()
    assert given.tolist() == [_PLAIN[kind], expected]


def test_params_an_index_and_columns_that_the_signature_has_not_are_as_for_mlflow() -> None:
    server = Server(SCHEMAS["mixed, no narrow types"])
    row = {"double": 1.5, "long": "2", "string": "a", "boolean": 0, "more": [1]}
    split = {"columns": list(row), "data": [list(row.values())], "index": ["first"]}
    frame = server.frame(as_json(dataframe_split=split, params={"mode": "slow"}))
    assert frame.to_dict("split", index=True) == {
        "index": ["first"],
        "columns": ["double", "long", "string", "boolean"],
        "data": [[1.5, 2, "a", False]],
    }
    assert server.implementation.params[-1]["mode"] == "slow"


def test_an_optional_column_may_be_left_out() -> None:
    frame = Server(SCHEMAS["optional"]).frame(as_json(dataframe_records=[{"a": 1}]))
    assert frame.to_dict("records") == [{"a": 1.0}]


@pytest.mark.parametrize("form", [*COMMON, "csv"])
@pytest.mark.parametrize("beside", [[], ["text"], ["text", None]])
def test_a_missing_text_is_the_same_whatever_is_beside_it(form: str, beside: list[str | None]) -> None:
    schema = Schema([ColSpec(DataType.string, "port"), ColSpec(DataType.long, "number")])
    rows = [{"port": text, "number": 1} for text in (None, *beside)]
    if form == "csv":
        given = Server(schema).frame(csv(*rows), CSV)["port"]
    else:
        given = Server(schema).frame(as_json(**request(form, ["port", "number"], rows)))["port"]
    assert given.dtype == pd.Series(["text"]).dtype == "str"
    assert given.isna().tolist() == [text is None for text in (None, *beside)]
    assert type(given[0]) is float  # NaN, as in what `pandas.read_csv` reads and a model learns from


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (DataType.long, "5", 5),
        (DataType.long, "1e3", 1000),
        (DataType.integer, "5.0", 5),
        (DataType.double, "NA", None),
        (DataType.double, " 1.5 ", 1.5),
        (DataType.double, "", None),
        (DataType.boolean, "TRUE", True),
        (DataType.boolean, "0", False),
        (DataType.string, "5", "5"),
    ],
)
def test_csv_is_read_as_pandas_reads_it(kind: DataType, value: str, expected: object) -> None:
    given = Server(Schema([ColSpec(kind, "it"), ColSpec(DataType.long, "b")])).frame(
        f"it,b\n{value},1\n".encode(), CSV
    )["it"]
    assert (None if pd.isna(given[0]) else given[0]) == expected


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (DataType.long, "true", "text that is not a whole number"),
        (DataType.double, "true", "text that is not a number"),
        (DataType.long, "59.9", "text that is not a whole number"),
        (DataType.integer, "3000000000", "a number that is too large"),
        (DataType.float, "1e39", "a number that is too large"),
    ],
)
def test_csv_that_pandas_would_change_is_refused(kind: DataType, value: str, found: str) -> None:
    answer = Server(one(kind)).post(f"it\n1\n{value}\n".encode(), CSV)
    assert answer.status == 400
    message = json.loads(answer.body)["message"]
    assert message == f"column 'it', row 2: expected {kind.name}, found {found}"


_DATES: list[tuple[str | None, str | None]] = [
    ("2024-01-31", "2024-01-31T00:00:00"),
    ("2024-01-31T10:00:00", "2024-01-31T10:00:00"),
    ("2024-01-31 10:00", "2024-01-31T10:00:00"),
    ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00"),
    ("2024-01-31T10:00:00+02:00", "2024-01-31T08:00:00"),
    ("2024-01-31T10:00:00.123456789-0130", "2024-01-31T11:30:00.123456789"),
    (None, None),
]


@pytest.mark.parametrize("form", [*COMMON, "csv"])
def test_dates_are_the_same_in_every_format(form: str) -> None:
    schema = Schema([ColSpec(DataType.datetime, "when"), ColSpec(DataType.string, "text")])
    rows = [{"when": sent, "text": "NA" if form == "csv" else None} for sent, _ in _DATES]
    for sent in (rows, *([row] for row in rows)):
        if form == "csv":
            frame = Server(schema).frame(csv(*sent), CSV)
        else:
            frame = Server(schema).frame(as_json(**request(form, ["when", "text"], sent)))
        expected = [
            {row["when"]: date for row, (_, date) in zip(rows, _DATES, strict=True)}[row["when"]]
            for row in sent
        ]
        assert frame["when"].dtype == "datetime64[ns]"
        assert frame["when"].tolist() == pd.to_datetime(pd.Series(expected), format="ISO8601").tolist()
        assert frame["text"].isna().all()


@pytest.mark.parametrize("form", [*COMMON, "csv"])
@pytest.mark.parametrize(
    "value", ["now", "x", "01/02/2024", "2024-02-30", "0001-01-01", "", 5, True, ["2024-01-31"]]
)
def test_what_is_no_date_is_refused(value: object, form: str) -> None:
    rows = [{"it": "2024-01-31", "b": 1}, {"it": value, "b": 1}]
    server = Server(Schema([ColSpec(DataType.datetime, "it"), ColSpec(DataType.long, "b")]))
    if form == "csv":
        if value == "":
            return  # a missing value
        answer = server.post(csv(*rows), CSV)
    else:
        answer = server.post(as_json(**request(form, ["it", "b"], rows)))
    assert answer.status == 400
    assert json.loads(answer.body)["message"].startswith("column 'it', row 2: expected datetime, found ")


def test_a_refusal_of_csv_with_dates_tells_of_csv() -> None:
    server = Server(Schema([ColSpec(DataType.datetime, "it"), ColSpec(DataType.long, "b")]))
    for body, message in (
        (b"it,c\n2024-01-31,1\n", "the column 'b' is missing"),
        (b"it,b\n2024-01-31,1,2\n", "CSV row 1: expected 2 values, found 3"),
    ):
        assert json.loads(server.post(body, CSV).body)["message"] == message


def test_columns_that_are_named_by_numbers_are_looked_at_too() -> None:
    schema = Schema([ColSpec(DataType.long, name) for name in (0, 1)])  # type: ignore[arg-type]
    for split in ({"columns": [0, 1], "data": [[1, 2.0]]}, {"data": [[1, 2.0]]}):
        assert Server(schema).frame(as_json(dataframe_split=split)).to_dict("list") == {0: [1], 1: [2]}
    answer = Server(schema).post(as_json(dataframe_split={"columns": [0, 1], "data": [[1, 59.9]]}))
    assert (
        json.loads(answer.body)["message"] == "column 1, row 1: expected long, found a number with a fraction"
    )
    answer = Server(schema).post(
        as_json(dataframe_split={"columns": [0, 1], "data": [[1, 2]]}, params={"threshold": "x"})
    )
    assert json.loads(answer.body)["message"] == "the parameter 'threshold': expected double"


_CELLS = st.sampled_from(
    [None, True, False, 0, 1, -1, 1.0, 2.5, 2**31, 2**53 + 1, 2**63 - 1, float("nan"), "", "1", "a", "null"]
)


@pytest.mark.parametrize("name", ["mixed", "optional", "one string", "booleans", "longs"])
def test_a_row_gets_what_it_gets_alone(name: str) -> None:
    schema = SCHEMAS[name]
    names, server = list(kinds_of(schema)), Server(schema)
    accepted = 0

    @bounded(150)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        nonlocal accepted
        rows = [
            {of: data.draw(st.just(_PLAIN[kind]) | _CELLS) for of, kind in kinds_of(schema).items()}
            for _ in range(data.draw(st.integers(2, 3)))
        ]
        form = data.draw(st.sampled_from(COMMON))
        try:
            together = server.frame(as_json(**request(form, names, rows)))
        except RefusalError:
            return
        accepted += 1
        alone = [server.frame(as_json(**request(form, names, [row]))) for row in rows]
        pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))
        assert all((frame.dtypes == together.dtypes).all() for frame in alone)

    check()
    assert accepted > 10

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array
from model_server.refusal import explain
from model_server.signature import named_columns

from tests.unit.model_servers import (
    CSV,
    JSON,
    MARK,
    PARQUET,
    ROW,
    Served,
    as_json,
    csv,
    parquet,
    serve,
    split,
)

FORMATS = "expected a JSON object with exactly one of dataframe_split, dataframe_records, inputs, instances"
SPLIT = "dataframe_split: expected an object with columns and data, and index if need be"
TYPES = "expected a Content-Type of text/csv, application/json, application/vnd.apache.parquet, found another"
PARAMETER = "the Content-Type has a parameter that is not charset=utf-8; leave it at application/json"


@dataclass
class Bad:
    """A request that is refused; ``mlflows`` is MLflow's status if that is another."""

    body: bytes
    message: str
    content_type: str = JSON
    status: int = 400
    mlflows: int | None = None


def without(name: str) -> dict[str, Any]:
    return {other: value for other, value in ROW.items() if other != name}


def split_of(columns: Any, data: Any, **others: object) -> bytes:  # noqa: ANN401 - JSON
    return as_json(dataframe_split={"columns": columns, "data": data, **others})


NAMES, VALUES = list(ROW), list(ROW.values())
HEADER = ",".join(ROW) + "\n"
DEEP = b"[" * 100_000
BAD = {
    # The content type.
    "text": Bad(split(ROW), TYPES, "text/plain", 415),
    "an unknown type": Bad(split(ROW), TYPES, MARK, 415),
    "an empty type": Bad(split(ROW), TYPES, "", 415),
    "capital letters": Bad(split(ROW), TYPES, "Application/JSON", 415),
    "another charset": Bad(split(ROW), PARAMETER, f"{JSON}; charset={MARK}", 415),
    "another parameter": Bad(split(ROW), PARAMETER, f"{JSON}; {MARK}=1", 415),
    "half a parameter": Bad(split(ROW), PARAMETER, f"{JSON};", 415),
    "a charset and another parameter": Bad(split(ROW), PARAMETER, f"{JSON}; charset=utf-8; v={MARK}", 415),
    "good type, bad data": Bad(
        split({**ROW, "age": MARK}),
        "column 'age', row 1: expected long, found text that is not a whole number",
        f"{JSON} ; charset=UTF-8",
    ),
    # JSON.
    "nothing": Bad(b"", "the body is not JSON: Expecting value, line 1 column 1"),
    "broken JSON": Bad(b'{"inputs":\n zebra42}', "the body is not JSON: Expecting value, line 2 column 2"),
    "JSON that breaks off": Bad(
        split(ROW)[:-1], "the body is not JSON: Expecting ',' delimiter, line 1 column 121"
    ),
    "not UTF-8": Bad(b'{"inputs":"\xff zebra42"}', "the body is not UTF-8, from byte 12 on"),
    "deep nesting": Bad(DEEP, "the JSON is nested too deeply", mlflows=500),
    "deep nesting with an end": Bad(
        b'{"inputs":' + DEEP + DEEP.replace(b"[", b"]") + b"}", "the JSON is nested too deeply", mlflows=500
    ),
    "a number of many digits": Bad(
        b'{"inputs":[{"age":' + b"1" * 5000 + b"}]}",
        "a number in the JSON has too many digits",
        mlflows=500,
    ),
    "an array": Bad(b'["zebra42"]', f"{FORMATS}, found an array"),
    "text in JSON": Bad(b'"zebra42"', f"{FORMATS}, found text"),
    "null": Bad(b"null", f"{FORMATS}, found null"),
    "no format": Bad(as_json(zebra42=[ROW]), f"{FORMATS}, found none of them"),
    "a row alone": Bad(as_json(**ROW), f"{FORMATS}, found none of them"),
    "two formats": Bad(as_json(inputs=[ROW], instances=[ROW]), f"{FORMATS}, found inputs and instances"),
    "a chat": Bad(as_json(messages=[{"content": MARK}]), f"{FORMATS}, found none of them"),
    # dataframe_split.
    "split, an array": Bad(as_json(dataframe_split=[MARK]), SPLIT),
    "split, null": Bad(as_json(dataframe_split=None), SPLIT),
    "split, no data": Bad(as_json(dataframe_split={"columns": NAMES}), SPLIT),
    "split, no columns": Bad(as_json(dataframe_split={"data": [VALUES]}), SPLIT),
    "split, more": Bad(split_of(NAMES, [VALUES], zebra42=1), SPLIT),
    "split, text as data": Bad(
        split_of(NAMES, MARK), "dataframe_split: expected an array as data, found text"
    ),
    "split, text as columns": Bad(
        split_of(MARK, [VALUES]), "dataframe_split: expected an array as columns, found text"
    ),
    "split, a number as name": Bad(
        split_of([1, *NAMES[1:]], [VALUES]),
        "dataframe_split: column name 1: expected a string, found a number",
    ),
    "split, an array as name": Bad(
        split_of([["age", MARK]], [[1]]), "dataframe_split: column name 1: expected a string, found an array"
    ),
    "split, an object as name": Bad(
        split_of([{"age": MARK}], [[1]]),
        "dataframe_split: column name 1: expected a string, found an object",
        mlflows=500,
    ),
    "split, equal names": Bad(
        split_of([*NAMES, "age"], [[*VALUES, 1]]), "dataframe_split: the column names 1 and 6 are equal"
    ),
    "split, a short row": Bad(
        split_of(NAMES, [[1, 2.5, MARK]]), "dataframe_split: row 1: expected 5 values, found 3"
    ),
    "split, a long row": Bad(
        split_of(NAMES, [[*VALUES, MARK]]), "dataframe_split: row 1: expected 5 values, found 6"
    ),
    "split, no rows but values": Bad(
        split_of(NAMES, VALUES), "dataframe_split: row 1: expected an array, found a number"
    ),
    "split, text as index": Bad(
        split_of(NAMES, [VALUES], index=MARK),
        "dataframe_split: expected an array as index, with one value for each row",
    ),
    "split, a missing column": Bad(split(without("task")), "the column 'task' is missing"),
    # dataframe_records, instances and inputs.
    "records, one row": Bad(
        as_json(dataframe_records={**ROW, "task": MARK}),
        "dataframe_records: expected an array, found an object",
    ),
    "records, none": Bad(
        as_json(dataframe_records=[]), "dataframe_records: expected one row or more, found none"
    ),
    "records, text": Bad(
        as_json(dataframe_records=[ROW, MARK]), "dataframe_records: row 2: expected an object, found text"
    ),
    "records, a missing column": Bad(
        as_json(dataframe_records=[without("bmi")]), "the column 'bmi' is missing"
    ),
    "records, a missing value": Bad(
        as_json(dataframe_records=[ROW, ROW, without("age")]),
        "column 'age', row 3: expected long, found null",
    ),
    "instances, text": Bad(as_json(instances=MARK), "instances: expected an array, found text"),
    "instances, an array": Bad(
        as_json(instances=[[MARK]]), "instances: row 1: expected an object, found an array"
    ),
    "instances, none": Bad(as_json(instances=[]), "instances: expected one row or more, found none"),
    "instances, a missing column": Bad(
        as_json(instances=[without("smoker")]), "the column 'smoker' is missing"
    ),
    "instances, a missing value": Bad(
        as_json(instances=[ROW, without("bmi")]),
        "instances: row 2: expected the columns of row 1, found others",
    ),
    "inputs, null": Bad(as_json(inputs=None), "inputs: expected an array, found null"),
    "inputs, text": Bad(as_json(inputs=[MARK, MARK]), "inputs: row 1: expected an object, found text"),
    "inputs, none": Bad(as_json(inputs={}), "the column 'age' is missing"),
    "inputs, differing lengths": Bad(
        as_json(inputs={name: [value] * (1 + (name == "bmi")) for name, value in ROW.items()}),
        "inputs: expected as many values in each column, found columns that differ in length",
    ),
    "inputs, a missing column": Bad(
        as_json(inputs={name: [value] for name, value in without("age").items()}),
        "the column 'age' is missing",
    ),
    "inputs, one level too many": Bad(
        as_json(inputs={name: [[value]] for name, value in ROW.items()}),
        "column 'age', row 1: expected long, found an array",
    ),
    "half of a surrogate pair": Bad(
        split({**ROW, "task": "zebra42\ud800"}),
        "column 'task', row 1: expected string, found text with half of a surrogate pair",
    ),
    # The parameters of the model.
    "params, an array": Bad(split(ROW, params=[MARK]), "params: expected an object, found an array"),
    "params, text": Bad(split(ROW, params={"limit": MARK}), "the parameter 'limit': expected double"),
    "params, an object": Bad(
        split(ROW, params={"limit": {MARK: 1}}), "the parameter 'limit': expected double"
    ),
    # CSV.
    "CSV, nothing": Bad(b"\n\n", "expected CSV with a line of column names, found nothing", CSV),
    "CSV, not UTF-8": Bad(HEADER.encode() + b"50,\xff\n", "the body is not UTF-8, from byte 31 on", CSV),
    "CSV, a missing column": Bad(csv(without("task")), "the column 'task' is missing", CSV),
    "CSV, no names": Bad(b"50,22.5,zebra42,True,70.5\n", "the column 'age' is missing", CSV),
    "CSV, JSON": Bad(split(ROW), "the column 'age' is missing", CSV),
    "CSV, a long row": Bad(csv(ROW, {**ROW, "more": MARK}), "CSV row 2: expected 5 values, found 6", CSV),
    "CSV, a short row": Bad(
        (HEADER + "50,22.5\n").encode(), "column 'smoker', row 1: expected boolean, found nothing", CSV
    ),
    "CSV, text as a number": Bad(
        csv(ROW, {**ROW, "bmi": MARK}),
        "column 'bmi', row 2: expected double, found text that is not a number",
        CSV,
    ),
    "CSV, a fraction": Bad(
        csv({**ROW, "age": 1.5}),
        "column 'age', row 1: expected long, found text that is not a whole number",
        CSV,
    ),
    "CSV, no number": Bad(csv({**ROW, "age": None}), "column 'age', row 1: expected long, found null", CSV),
    "CSV, text as a boolean": Bad(
        csv({**ROW, "smoker": MARK}),
        "column 'smoker', row 1: expected boolean, found text that is neither true nor false",
        CSV,
    ),
    "CSV, a byte order mark and a bad value": Bad(
        "\ufeff".encode() + csv({**ROW, "bmi": MARK}),
        "column 'bmi', row 1: expected double, found text that is not a number",
        CSV,
    ),
    "CSV, carriage returns and a bad value": Bad(
        csv({**ROW, "bmi": MARK}).replace(b"\n", b"\r"),
        "column 'bmi', row 1: expected double, found text that is not a number",
        CSV,
    ),
    # Parquet.
    "Parquet, nothing": Bad(b"", "the body is not Parquet", PARQUET),
    "Parquet, text": Bad(MARK.encode(), "the body is not Parquet", PARQUET),
    "Parquet, a missing column": Bad(parquet(without("bmi")), "the column 'bmi' is missing", PARQUET),
    "Parquet, text as a number": Bad(
        parquet({**ROW, "age": MARK}), "column 'age': expected long, found str", PARQUET
    ),
    "Parquet, a fraction": Bad(
        parquet({**ROW, "age": 1.5}), "column 'age': expected long, found float64", PARQUET
    ),
}


@pytest.fixture(scope="module", params=[True, False], ids=["strict", "as MLflow"])
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    with (
        serve(tmp_path_factory.mktemp("refusal"), "refusal") as served,
        served.with_settings(strict=request.param) as server,
    ):
        yield server


def tells_no_secrets(body: bytes) -> bool:
    return not any(word in body for word in (MARK.encode(), b"Traceback", b'File \\"', b"Error"))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_as_by_mlflow_in_one_sentence(served: Served, name: str) -> None:
    bad = BAD[name]
    answer, mlflows = (client.post(bad.body, bad.content_type) for client in (served.ours, served.mlflow))
    assert (answer.status, answer.message) == (bad.status, bad.message)
    assert json.loads(answer.body).keys() == {"error_code", "message"}
    assert answer.headers["content-type"] == JSON
    assert tells_no_secrets(answer.body)
    assert mlflows.status == (bad.mlflows or bad.status)
    if mlflows.status == 400:
        assert answer.code == mlflows.code
    elif answer.status == 400:
        assert answer.code == "INVALID_PARAMETER_VALUE"
    else:
        assert answer.code == "UNSUPPORTED_MEDIA_TYPE"


def test_a_value_that_is_too_long_for_the_csv_library_is_refused_in_general(served: Served) -> None:
    answer = served.ours.post(csv({**ROW, "task": MARK * 30_000, "bmi": "x"}), CSV)
    assert answer.status == 400
    assert answer.message.startswith("the request does not fit the signature of the model; GET /docs")


@pytest.mark.parametrize("columns", [[0, 1], ["a", "b"]])
def test_a_wrong_parameter_of_a_model_without_column_names_is_named(columns: list[Any]) -> None:
    params = ParamSchema([ParamSpec("limit", DataType.double, 0.5)])
    request = split_of(columns, [[1.5, 2.5]], index=[0])
    body = as_json(**json.loads(request), params={"limit": MARK})
    assert explain(JSON, body, [], params) == "the parameter 'limit': expected double"


def test_what_may_be_a_tensor_is_not_asked_to_be_a_table() -> None:
    general = "the request does not fit the signature of the model; GET /docs shows it, with an example"
    for request in (
        as_json(inputs=[[1, 2], [3]]),
        as_json(instances=[[1]]),
        as_json(inputs={"a": [1], "b": [1, 2]}),
        as_json(dataframe_split={"data": [[1], [2, 3]]}),
    ):
        assert explain(JSON, request, [], None) == general


def test_a_chat_is_not_asked_to_be_a_table_if_the_model_takes_chats() -> None:
    columns = named_columns(Schema([ColSpec(Array(DataType.string), "messages")]))
    message = explain(JSON, as_json(messages=MARK), columns, None)
    assert message.startswith("the request does not fit the signature")


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (DataType.binary, 5, "a number, not text in base64"),
        (DataType.binary, None, "null"),
        (DataType.datetime, MARK, "text that is no date"),
        (DataType.integer, 2**64, "a number that is too large"),
        (DataType.float, MARK, "text that is not a number"),
    ],
)
def test_values_of_every_type_are_looked_at(kind: DataType, value: object, found: str) -> None:
    columns = named_columns(Schema([ColSpec(kind, "it")]))
    message = explain(JSON, as_json(dataframe_records=[{"it": value}]), columns, None)
    assert message == f"column 'it', row 1: expected {kind.name}, found {found}"


def test_a_parameter_that_is_a_list_is_told_with_its_shape() -> None:
    params = ParamSchema([ParamSpec("stop", DataType.string, ["a"], (-1,))])
    message = explain(JSON, as_json(inputs=[ROW], params={"stop": 5}), [], params)
    assert message == "the parameter 'stop': expected string of shape (-1,)"

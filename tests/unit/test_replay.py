import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from stack.errors import StackError
from stack.release.replay import Record, equal, replay, wrong_requests

SIGNATURE = ModelSignature(
    Schema(
        [
            ColSpec(DataType.double, "length"),
            ColSpec(DataType.string, "place"),
            ColSpec(DataType.long, "age", required=False),
        ]
    )
)
ROWS = {"columns": ["length", "place", "age"], "data": [[1.5, "pond", 3], [6.5, "sea", 4]]}
RECORD = Record({"dataframe_split": ROWS}, ["frog", {"scores": [0.25, 0.75]}], SIGNATURE)


class ModelServer(HTTPServer):
    """Answers RECORD's request as RECORD says, and refuses any other; a test makes it do otherwise."""

    health = 200
    status = 200
    predictions: Any = RECORD.answers
    accepts: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.send_response(self.server.health)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == json.dumps(RECORD.request).encode():
            status = self.server.status
        else:
            status = 200 if body == self.server.accepts else 400
        self.send_response(status)
        self.end_headers()
        answer = {"predictions": self.server.predictions} if status == 200 else {"message": "no such file"}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_server_that_does_all_right_is_told_so_with_numbers(server: ModelServer) -> None:
    assert replay(server.url, RECORD) == "2 answers equal, 5 wrong requests refused"


def test_a_server_that_is_not_healthy_is_not_asked(server: ModelServer) -> None:
    server.health = 503
    with pytest.raises(StackError, match=r"not healthy: .*/health: expected status 200, found 503"):
        replay(server.url, RECORD)


def test_a_refusal_of_the_held_out_rows_is_told_with_the_servers_words(server: ModelServer) -> None:
    server.status = 400
    with pytest.raises(
        StackError,
        match=r"the held-out rows with status 400: .*no such file.*predict works in training and fails in",
    ):
        replay(server.url, RECORD)


@pytest.mark.parametrize(
    ("answers", "row", "expected", "found"),
    [
        (["toad", RECORD.answers[1]], 0, '"frog"', '"toad"'),
        (["frog", {"scores": [0.25, 0.7501]}], 1, '{"scores": [0.25, 0.75]}', '{"scores": [0.25, 0.7501]}'),
        (["frog", None], 1, '{"scores": [0.25, 0.75]}', "null"),
    ],
)
def test_a_wrong_answer_is_told_with_its_row(
    server: ModelServer, answers: list[Any], row: int, expected: str, found: str
) -> None:
    server.predictions = answers
    with pytest.raises(StackError) as told:
        replay(server.url, RECORD)
    assert f"held-out row {row}, expected {expected}, found {found};" in str(told.value)


def test_the_last_digits_of_a_float_are_no_wrong_answer(server: ModelServer) -> None:
    server.predictions = ["frog", {"scores": [0.25000001, 0.75]}]
    assert replay(server.url, RECORD).startswith("2 answers equal")


def test_a_long_answer_is_shortened(server: ModelServer) -> None:
    server.predictions = ["x" * 10_000, RECORD.answers[1]]
    with pytest.raises(StackError, match=r"found \"x{299} \.\.\.;"):
        replay(server.url, RECORD)


@pytest.mark.parametrize("answers", [["frog"], [*RECORD.answers, "frog"], []])
def test_each_row_must_have_its_answer(server: ModelServer, answers: list[Any]) -> None:
    server.predictions = answers
    with pytest.raises(StackError, match=f"it gave {len(answers)} answers to 2 rows"):
        replay(server.url, RECORD)


@pytest.mark.parametrize("what", [what for what, _ in wrong_requests(RECORD)])
def test_a_server_that_answers_a_wrong_request_is_refused(server: ModelServer, what: str) -> None:
    server.accepts = dict(wrong_requests(RECORD))[what].encode()
    with pytest.raises(StackError) as told:
        replay(server.url, RECORD)
    assert str(told.value) == f"it answered a request with {what} with status 200, expected 4xx"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("a", "a"),
        (None, None),
        (1e6 + 0.5, 1e6),
        (5e-10, 0.0),
        (2, 2.0),  # JSON written by another program may leave out the point
        (math.nan, math.nan),
        (-math.inf, -math.inf),
        ([[1.0, "a"], []], [[1.0 + 1e-9, "a"], []]),
        ({"a": [0.5], "b": None}, {"b": None, "a": [0.5 + 1e-9]}),
    ],
)
def test_equal_answers(found: object, expected: object) -> None:
    assert equal(found, expected)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("a", "A"),
        (1e6 + 1.5, 1e6),
        (5e-9, 0.0),
        (2.0, 2),  # an int must stay one
        (1_000_001, 1_000_000),
        (True, 1.0),
        (True, 1),
        (1, True),
        (math.nan, 1.0),
        (1.0, math.nan),
        (None, math.nan),
        (math.inf, -math.inf),
        ("1.0", 1.0),
        ([1.0], [1.0, 2.0]),
        ([1.0, 2.0], [1.0]),
        ([["a"], ["b"]], [["a"], ["c"]]),
        ([], {}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1, "b": 1}, {"a": 1}),
        ({"a": {"b": 1.0}}, {"a": {"b": 2.0}}),
    ],
)
def test_different_answers(found: object, expected: object) -> None:
    assert not equal(found, expected)


def test_wrong_requests_break_each_required_column_and_spare_optional_ones() -> None:
    requests = dict(wrong_requests(RECORD))
    assert list(requests) == [
        "broken JSON",
        "an unknown key",
        "no column 'length'",
        "text as 'length'",
        "no column 'place'",  # and any text will do for it
    ]
    with pytest.raises(json.JSONDecodeError):
        json.loads(requests["broken JSON"])
    assert json.loads(requests["an unknown key"]).keys() == {"rows"}


def test_a_wrong_request_is_the_first_row_with_one_thing_changed() -> None:
    requests = dict(wrong_requests(RECORD))
    assert json.loads(requests["no column 'length'"]) == {
        "dataframe_split": {"columns": ["place", "age"], "data": [["pond", 3]]}
    }
    assert json.loads(requests["text as 'length'"]) == {
        "dataframe_split": {"columns": ["length", "place", "age"], "data": [["text", "pond", 3]]}
    }


def test_a_column_that_the_rows_do_not_have_is_left_alone() -> None:
    rows = {"dataframe_split": {"columns": ["place"], "data": [["pond"]]}}
    assert [what for what, _ in wrong_requests(replace(RECORD, request=rows))][2:] == ["no column 'place'"]


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, request={"inputs": [[1.5, "pond", 3]]}),
        replace(RECORD, signature=ModelSignature(Schema([ColSpec(DataType.double)]))),
    ],
    ids=["no dataframe_split", "columns without names"],
)
def test_without_named_columns_only_the_body_is_made_wrong(record: Record) -> None:
    assert [what for what, _ in wrong_requests(record)] == ["broken JSON", "an unknown key"]

import json
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from stack.errors import StackError
from stack.release.client import Door
from stack.release.replay import (
    Exchange,
    FailedInsideError,
    Record,
    depends_on_batch,
    equal,
    replay,
    wrong_requests,
)

SIGNATURE = ModelSignature(
    Schema(
        [
            ColSpec(DataType.double, "length"),
            ColSpec(DataType.string, "place"),
            ColSpec(DataType.long, "age", required=False),
        ]
    )
)
ROWS: dict[str, list[Any]] = {
    "columns": ["length", "place", "age"],
    "data": [[1.5, "pond", 3], [6.5, "sea", 4]],
}
ANSWERS: list[Any] = ["frog", {"scores": [0.25, 0.75]}]
BATCH = Exchange({"dataframe_split": ROWS}, ANSWERS)
ALONE = [
    Exchange({"dataframe_split": {**ROWS, "data": [row]}}, [answer], first)
    for first, (row, answer) in enumerate(zip(ROWS["data"], ANSWERS, strict=True))
]
RECORD = Record([*ALONE, BATCH], SIGNATURE)


class ModelServer(ThreadingHTTPServer):
    """Answers RECORD's requests as RECORD says, and refuses others; a test makes it do otherwise."""

    health = 200
    status = 200
    answers: dict[bytes, Any]
    accepts: bytes | None = None
    seconds = 0.0
    """How long it takes to answer."""
    busy: int | None = None
    """The status of its answer to a client that asks while it answers another."""
    forgets = False
    """Whether it answers a client that asks meanwhile with the answer to that one."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.answers = {json.dumps(of.request).encode(): of.answers for of in RECORD.exchanges}
        self.asked: list[bytes] = []
        self.shown: set[str] = set()
        self.at_work = self.most_at_work = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self) -> None:
        self.send_response(self.server.health)
        self.end_headers()

    def do_POST(self) -> None:
        server = self.server
        server.shown.add(self.headers.get("X-Gateway-Secret", ""))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.asked.append(body)
            server.at_work += 1
            server.most_at_work = max(server.most_at_work, server.at_work)
            is_second = server.at_work > 1
        time.sleep(server.seconds)
        answers = server.answers.get(body)
        status = 400 if answers is None and body != server.accepts else server.status
        if is_second and server.busy:
            status = server.busy
        if is_second and server.forgets:
            answers = ["toad"] * len(answers or [])
        with server.lock:
            server.at_work -= 1
        self.send_response(status)
        self.end_headers()
        answer = {"predictions": answers} if status == 200 else {"message": "no such file"}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def ask(server: ModelServer, record: Record = RECORD, *, timeout: int = 60, queue: int = 64) -> str:
    return replay(server.url, record, timeout=timeout, queue=queue)


def test_a_server_that_does_all_right_is_told_so_with_numbers(server: ModelServer) -> None:
    assert ask(server) == "2 answers equal, 5 wrong requests refused"


def test_each_request_shows_what_the_server_wants_to_see(server: ModelServer) -> None:
    replay(server.url, RECORD, timeout=60, queue=64, door=Door(headers={"X-Gateway-Secret": "between-us"}))
    assert server.shown == {"between-us"}


def test_a_server_that_is_not_healthy_is_not_asked(server: ModelServer) -> None:
    server.health = 503
    with pytest.raises(StackError, match=r"not healthy: .*/health: expected status 200, found 503"):
        ask(server)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, r"refused held-out row 0 with status 400: .*no such file.*; in training, the model answered"),
        (413, r"refused held-out row 0 as too large: .*no such file.*; raise SERVER_MAX_BODY_MB$"),
        (504, r"took too long for held-out row 0: .*; make predict faster, or raise SERVER_TIMEOUT$"),
    ],
)
def test_a_refusal_of_held_out_rows_is_told_with_its_cause(
    server: ModelServer, status: int, says: str
) -> None:
    server.status = status
    with pytest.raises(StackError, match=says) as told:
        ask(server)
    assert type(told.value) is StackError


def test_a_model_that_fails_is_told_as_that(server: ModelServer) -> None:
    server.status = 500
    with pytest.raises(FailedInsideError, match="failed on held-out row 0, which it answered in training"):
        ask(server)


@pytest.mark.parametrize(
    ("answers", "row", "expected", "found"),
    [
        (["toad", ANSWERS[1]], 0, '"frog"', '"toad"'),
        (["frog", {"scores": [0.25, 0.7501]}], 1, '{"scores": [0.25, 0.75]}', '{"scores": [0.25, 0.7501]}'),
        (["frog", None], 1, '{"scores": [0.25, 0.75]}', "null"),
    ],
)
def test_a_wrong_answer_is_told_with_its_row(
    server: ModelServer, answers: list[Any], row: int, expected: str, found: str
) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = answers
    with pytest.raises(StackError) as told:
        ask(server)
    assert f"held-out row {row}, asked among 2 rows, expected {expected}, found {found}" in str(told.value)


def test_a_row_that_is_asked_alone_must_have_its_answer_too(server: ModelServer) -> None:
    server.answers[json.dumps(ALONE[1].request).encode()] = ["sea horse"]
    with pytest.raises(StackError, match=r'held-out row 1, asked alone, .* found "sea horse"'):
        ask(server)


def test_the_last_digits_of_a_float_are_no_wrong_answer(server: ModelServer) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = ["frog", {"scores": [0.25000001, 0.75]}]
    assert ask(server).startswith("2 answers equal")


def test_the_record_says_how_exact_the_answers_must_be(server: ModelServer) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = ["frog", {"scores": [0.250001, 0.75]}]
    with pytest.raises(StackError, match="differs from the trained model's"):
        ask(server)
    assert ask(server, replace(RECORD, tolerance=1e-4)).startswith("2 answers equal")


def test_a_long_answer_is_shortened(server: ModelServer) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = ["x" * 10_000, ANSWERS[1]]
    with pytest.raises(StackError, match=r"found \"x{299} \.\.\."):
        ask(server)


@pytest.mark.parametrize("answers", [["frog"], [*ANSWERS, "frog"], []])
def test_each_row_must_have_its_answer(server: ModelServer, answers: list[Any]) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = answers
    with pytest.raises(StackError, match=f"it gave {len(answers)} answers to 2 rows"):
        ask(server)


# The input example


def example(answers: object) -> Record:
    return replace(RECORD, exchanges=[Exchange(BATCH.request, answers, is_example=True)])


@pytest.mark.parametrize(
    ("answers", "counted"),
    [(ANSWERS, "2 answers"), (ANSWERS[:1], "1 answer"), ("a text", "1 answer"), ({"a": 1.5}, "1 answer")],
    ids=["rows", "a row", "text", "an object"],
)
def test_the_answer_to_an_input_example_may_be_anything(
    server: ModelServer,
    answers: object,
    counted: str,
) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = answers
    assert ask(server, example(answers)) == f"{counted} to the input example equal, 5 wrong requests refused"


@pytest.mark.parametrize(
    ("expected", "found", "says"),
    [
        (["frog"], ["toad"], r'process of its own: the input example, row 0, expected "frog", found "toad"'),
        (["frog"], ["frog", "toad"], "it gave 2 answers to 1 rows"),
        (["frog"], "frog", "its answer holds no list of predictions"),
        ("frog", ["frog"], "its answer holds a list of predictions"),
        ({"a": 1.5}, {"a": 2.5}, r'row 0, expected {"a": 1.5}, found {"a": 2.5}'),
    ],
    ids=["value", "rows", "no list", "a list", "object"],
)
def test_a_wrong_answer_to_an_input_example_is_told(
    server: ModelServer,
    expected: object,
    found: object,
    says: str,
) -> None:
    server.answers[json.dumps(BATCH.request).encode()] = found
    with pytest.raises(StackError, match=says):
        ask(server, example(expected))


def test_a_refused_input_example_is_told_as_that(server: ModelServer) -> None:
    server.status = 400
    says = "refused the input example with status 400: .*; in a process of its own, the model answered"
    with pytest.raises(StackError, match=says):
        ask(server, example(ANSWERS))


def test_without_anything_to_compare_with_wrong_requests_are_refused(server: ModelServer) -> None:
    assert ask(server, Record([], None)) == "2 wrong requests refused"
    server.accepts = b"{"
    with pytest.raises(StackError, match="a request with broken JSON with status 200"):
        ask(server, Record([], None))


# Several clients at once


def test_a_model_that_mixes_up_its_clients_is_told_as_that(server: ModelServer) -> None:
    server.seconds, server.forgets = 0.02, True
    with pytest.raises(
        StackError, match=r"8 clients asked at once, and then its answer differs .*\(self\), or set"
    ):
        ask(server)


def test_a_model_that_fails_when_several_ask_is_told_with_its_log(server: ModelServer) -> None:
    server.seconds, server.busy = 0.02, 500
    with pytest.raises(FailedInsideError):
        ask(server)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"queue": 2}, 2), ({"queue": 1}, 1), ({"timeout": 1}, 4), ({}, 8)],
    ids=str,
)
def test_no_more_clients_ask_at_once_than_the_server_takes(
    server: ModelServer, limits: dict[str, int], most: int
) -> None:
    server.seconds = 0.12
    ask(server, RECORD, **limits)
    assert server.most_at_work <= most
    assert most == 1 or server.most_at_work > 1


# Answers that depend on the batch


@pytest.mark.parametrize(
    ("alone", "depends"),
    [(["toad"], True), ([{"scores": [0.25, 0.75]}], True), (["frog"], False)],
)
def test_answers_that_depend_on_the_rows_beside_them_are_right_and_told(
    server: ModelServer, alone: list[Any], depends: bool
) -> None:
    changed = replace(ALONE[0], answers=alone)
    server.answers[json.dumps(ALONE[0].request).encode()] = alone
    found = ask(server, replace(RECORD, exchanges=[changed, BATCH]))
    assert found.startswith("2 answers equal, 5 wrong requests refused")
    assert found.endswith("depends on the rows beside it, as in training") is depends


def test_answers_with_other_params_say_nothing_about_the_batch() -> None:
    with_params = Exchange({**ALONE[0].request, "params": {"unit": "cm"}}, ["toad"])
    assert not depends_on_batch(replace(RECORD, exchanges=[with_params, *RECORD.exchanges]))


# Wrong requests


@pytest.mark.parametrize("what", [what for what, _ in wrong_requests(RECORD)])
def test_a_server_that_answers_a_wrong_request_is_refused(server: ModelServer, what: str) -> None:
    server.accepts = dict(wrong_requests(RECORD))[what].encode()
    with pytest.raises(StackError) as told:
        ask(server)
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
    rows = Exchange({"dataframe_split": {"columns": ["place"], "data": [["pond"]]}}, ["frog"])
    found = [what for what, _ in wrong_requests(replace(RECORD, exchanges=[rows]))]
    assert found[2:] == ["no column 'place'"]


@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, exchanges=[Exchange({"inputs": [[1.5, "pond", 3]]}, ["frog"])]),
        replace(RECORD, signature=ModelSignature(Schema([ColSpec(DataType.double)]))),
    ],
    ids=["no dataframe_split", "columns without names"],
)
def test_without_named_columns_only_the_body_is_made_wrong(record: Record) -> None:
    assert [what for what, _ in wrong_requests(record)] == ["broken JSON", "an unknown key"]

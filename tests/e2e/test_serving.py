"""The model server as its clients see it: the same in both modes, with both models."""

import json
from typing import Any

import pytest
import requests

from stack.wait import wait_until
from tests.e2e.stacks import Stack

MARKER = "zebra42"  # what a refusal must not repeat
JSON = "application/json"


def changed(stack: Stack, **changes: Any) -> str:  # noqa: ANN401
    """Write the example request with another list of columns or rows."""
    return json.dumps({"dataframe_split": {**stack.model.split, **changes}})


def with_value(stack: Stack, value: Any) -> str:  # noqa: ANN401
    """Write the example request with another value in its second row, first column."""
    rows = [list(row) for row in stack.model.split["data"]]
    rows[1][0] = value
    return changed(stack, data=rows)


BAD: dict[str, tuple[str | None, Any, int, str]] = {
    "no content type": (None, lambda stack: stack.model.request, 415, "no Content-Type"),
    "wrong content type": ("text/html", lambda stack: stack.model.request, 415, "text/csv"),
    "wrong charset": ("application/json; charset=latin-1", lambda stack: stack.model.request, 415, "charset"),
    "no body": (JSON, lambda _: "", 400, "line 1 column 1"),
    "broken JSON": (JSON, lambda stack: stack.model.request.strip()[:-1] + MARKER, 400, "is not JSON"),
    "not UTF-8": (JSON, lambda stack: stack.model.request.encode() + b"\xff", 400, "UTF-8"),
    "not an object": (JSON, lambda _: f'["{MARKER}"]', 400, "dataframe_split"),
    "unknown format": (JSON, lambda _: f'{{"rows": ["{MARKER}"]}}', 400, "dataframe_split"),
    "two formats": (JSON, lambda _: '{"inputs": {}, "instances": []}', 400, "exactly one"),
    "nested too deeply": (JSON, lambda _: '{"inputs": ' + "[" * 200_000, 400, "deep"),
    "a column missing": (
        JSON,
        lambda stack: changed(
            stack,
            columns=stack.model.split["columns"][1:],
            data=[row[1:] for row in stack.model.split["data"]],
        ),
        400,
        "column",
    ),
    "too many values": (
        JSON,
        lambda stack: changed(stack, data=[*stack.model.split["data"], [1] * 50]),
        400,
        "row",
    ),
    "text for a number": (JSON, lambda stack: with_value(stack, MARKER), 400, "row 2"),
    "an object for a number": (JSON, lambda stack: with_value(stack, {MARKER: 1}), 400, "row 2"),
    "an array for a number": (JSON, lambda stack: with_value(stack, [MARKER]), 400, "row 2"),
    "CSV of other columns": ("text/csv", lambda _: f"a,b\n1,{MARKER}\n", 400, "missing"),
    "no parquet": ("application/vnd.apache.parquet", lambda _: MARKER, 400, "Parquet"),
    "too large": (JSON, lambda stack: stack.model.request + " " * 17 * 2**20, 413, "too large"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_sentence_without_its_data(stack: Stack, what: str) -> None:
    content_type, body, status, sentence = BAD[what]
    body = body(stack)
    answer = requests.post(
        f"{stack.serving_url}/invocations",
        data=body.encode() if isinstance(body, str) else body,
        headers={"Content-Type": content_type} if content_type else {},
        timeout=30,
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error_code", "message"}
    message = answer.json()["message"]
    assert sentence in message
    assert len(message) < 200
    assert not any(leak in answer.text for leak in ("Traceback", "File ", "\\n", MARKER))
    assert stack.model.is_right(stack.predictions())


def test_the_server_says_which_model_it_is(stack: Stack) -> None:
    found = requests.get(f"{stack.serving_url}/model", timeout=10).json()
    served = stack.status()["served"]
    version = stack.version(stack.aliases()["champion"])
    assert (found["name"], found["version"]) == (stack.model.name, version.version)
    assert found["run_id"] == version.run_id
    assert found["image_id"] == version.tags["image_id"] == served["image_id"]
    assert found["mlflow_version"] == requests.get(f"{stack.serving_url}/version", timeout=10).text


def metric(stack: Stack, start: str) -> float:
    """Add up all the values of a metric; ``start`` is how its lines begin."""
    lines = requests.get(f"{stack.serving_url}/metrics", timeout=10).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


def test_requests_rows_and_classes_are_counted_by_all_workers_together(stack: Stack) -> None:
    labels = f'model="{stack.model.name}"'
    rows = len(stack.model.split["data"])
    starts = {
        f"model_server_rows_total{{{labels}": 20 * rows,
        "model_server_requests_total": 21,
        f'model_server_requests_total{{{labels},status="400"': 1,
        "model_server_request_duration_seconds_count": 21,
        "model_server_predictions_total": 20 * rows if stack.model.name == "iris" else 0,
    }
    before = {start: metric(stack, start) for start in starts}
    for _ in range(20):  # each on a connection of its own, to whichever worker takes it
        stack.predictions()
    stack.post("{")
    # A request is counted after its answer.
    wait_until(lambda: "in flight" if metric(stack, "model_server_requests_in_flight") else None, timeout=10)
    assert {start: metric(stack, start) - before[start] for start in starts} == starts


def test_the_openapi_examples_are_answered(stack: Stack) -> None:
    document = requests.get(f"{stack.serving_url}/openapi.json", timeout=10).json()
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert set(examples) == {"dataframe_split", "dataframe_records", "inputs", "instances"}
    for example in examples.values():
        answer = stack.post(json.dumps(example["value"]))
        assert answer.status_code == 200, answer.text

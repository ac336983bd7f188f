import os
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, DataType, Schema
from model_server import metrics

from tests.unit.model_servers import samples

CLASSES = Schema([ColSpec(DataType.string)])
NUMBERS = Schema([ColSpec(DataType.double)])
REQUESTS, ROWS = "model_server_requests_total", "model_server_rows_total"
PREDICTIONS, IN_FLIGHT = "model_server_predictions_total", "model_server_requests_in_flight"
SECONDS, ENDED = "model_server_request_duration_seconds", "model_server_ended_workers_total"


def counted(model: str, sample: str, label: str = "") -> dict[str, float]:
    return samples(metrics.written().decode(), model, sample, label)


def in_worker(work: Callable[[], None]) -> int:
    """Do the work in a process forked from this one, and return the id that it had."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return pid


def count(model: str, outputs: Schema | None, predictions: object) -> None:
    """Count one request that was answered with these predictions."""
    of = metrics.Metrics(model, "1", outputs)
    of.begin()
    of.end(200, 0.1, predictions)


def test_the_counts_of_all_workers_add_up() -> None:
    of = metrics.Metrics("added", "3", CLASSES)

    def work() -> None:
        for status, seconds, predictions in ((200, 0.003, ["a", "b"]), (200, 0.3, ["a"]), (400, 0.0, None)):
            of.begin()
            of.end(status, seconds, predictions)

    in_worker(work)
    in_worker(work)
    assert counted("added", REQUESTS, "status") == {"200": 4, "400": 2}
    assert counted("added", ROWS, "version") == {"3": 6}
    assert counted("added", PREDICTIONS, "class") == {"a": 4, "b": 2}
    assert counted("added", IN_FLIGHT) == {"": 0}
    assert counted("added", f"{SECONDS}_count") == {"": 6}
    buckets = counted("added", f"{SECONDS}_bucket", "le")
    assert (buckets["0.0005"], buckets["0.005"], buckets["0.5"], buckets["+Inf"]) == (2, 4, 6, 6)


def test_what_a_dead_worker_had_in_flight_is_forgotten_and_what_it_counted_is_not() -> None:
    of = metrics.Metrics("forgotten", "1", CLASSES)

    def work() -> None:
        of.begin()
        of.begin()
        of.end(200, 0.1, ["a"])

    pids = [in_worker(work), in_worker(work)]
    assert counted("forgotten", IN_FLIGHT) == {"": 2}
    ended = metrics.EndedWorkers("forgotten", "1")
    assert counted("forgotten", ENDED) == {"": 0}
    ended.count(pids[0])
    assert counted("forgotten", IN_FLIGHT) == {"": 1}
    ended.count(pids[1])
    assert counted("forgotten", ENDED) == {"": 2}
    assert sum(counted("forgotten", IN_FLIGHT).values()) == 0
    assert counted("forgotten", REQUESTS, "status") == {"200": 2}


def test_after_a_hundred_classes_the_others_are_counted_together() -> None:
    of = metrics.Metrics("many", "1", CLASSES)
    for _ in range(2):
        of.begin()
        of.end(200, 0.1, [f"class {number}" for number in range(150)])
    classes = counted("many", PREDICTIONS, "class")
    assert len(classes) == 101
    assert (classes["class 99"], classes["(others)"]) == (2, 100)


def test_a_long_text_is_no_class() -> None:
    count("texts", CLASSES, ["a" * 64, "b" * 65])
    assert counted("texts", PREDICTIONS, "class") == {"a" * 64: 1, "(others)": 1}


@pytest.mark.parametrize(
    "predictions",
    [
        ["a", "b", "a"],
        ("a", "b", "a"),
        np.array(["a", "b", "a"]),
        np.array([["a"], ["b"], ["a"]]),
        pd.Series(["a", "b", "a"]),
        pd.DataFrame({"class": ["a", "b", "a"]}),
    ],
    ids=["list", "tuple", "array", "column", "series", "frame"],
)
def test_classes_are_counted_in_whatever_the_model_answers(
    predictions: object, request: pytest.FixtureRequest
) -> None:
    model = request.node.name
    count(model, CLASSES, predictions)
    assert counted(model, ROWS) == {"": 3}
    assert counted(model, PREDICTIONS, "class") == {"a": 2, "b": 1}


@pytest.mark.parametrize("kind", [DataType.long, DataType.integer, DataType.boolean])
def test_whole_numbers_and_booleans_are_classes(kind: DataType) -> None:
    count(kind.name, Schema([ColSpec(kind)]), np.array([1, 0, 1], kind.to_numpy()))
    assert sorted(counted(kind.name, PREDICTIONS, "class").values()) == [1, 2]


@pytest.mark.parametrize(
    ("model", "outputs"),
    [("numbers", NUMBERS), ("unknown", None), ("two", Schema([*CLASSES.inputs, *CLASSES.inputs]))],
)
def test_what_is_no_class_is_counted_in_rows_only(model: str, outputs: Schema | None) -> None:
    count(model, outputs, np.array([0.5, 1.5]))
    assert counted(model, ROWS) == {"": 2}
    assert counted(model, PREDICTIONS, "class") == {}


@pytest.mark.parametrize("predictions", [np.array(1.5), {"a": [1, 2]}, "text", None, 1.5])
def test_an_answer_that_has_no_rows_is_counted_as_a_request(
    predictions: object, request: pytest.FixtureRequest
) -> None:
    model = request.node.name
    count(model, CLASSES, predictions)
    assert counted(model, REQUESTS, "status") == {"200": 1}
    assert counted(model, ROWS) == {"": 0}


def test_a_class_that_can_not_be_written_does_not_stop_the_metrics() -> None:
    count("odd", CLASSES, ["half \ud800", 'a "quoted" \\ and\nbroken'])
    assert counted("odd", PREDICTIONS, "class") == {"half ?": 1, 'a "quoted" \\ and\nbroken': 1}

"""The check of a baked model: it must answer over HTTP as the trained model answered in its own process."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.models import ModelSignature
from mlflow.types import DataType

from stack.errors import StackError
from stack.release.client import ask
from stack.wait import not_healthy

# Floats are computed by the same packages on the same kind of machine, but not always by as many threads.
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
# For the other types, MLflow accepts text.
_NO_TEXT = (DataType.integer, DataType.long, DataType.float, DataType.double, DataType.datetime)


@dataclass(frozen=True)
class Record:
    """What the training logged with its run: a request, and what the model answered to each of its rows."""

    request: dict[str, Any]
    answers: list[Any]
    signature: ModelSignature


def replay(url: str, record: Record) -> str:
    """Ask the model server at ``url``; return in a few words what it did right.

    Raises:
        StackError: at the first thing that is wrong.

    """
    if reason := not_healthy(url):
        raise StackError(f"it is not healthy: {reason}")
    answer = ask(url, json.dumps(record.request))
    if answer.status_code != 200:
        raise StackError(
            f"it answered the held-out rows with status {answer.status_code}: {_shortened(answer.text)};"
            " predict works in training and fails in the image: check which files, variables or modules the"
            " image lacks"
        )
    try:
        answers = answer.json()["predictions"]
    except (ValueError, KeyError, TypeError):
        answers = None
    if not isinstance(answers, list):
        raise StackError(f"its answer holds no list of predictions: {_shortened(answer.text)}")
    if len(answers) != len(record.answers):
        raise StackError(f"it gave {len(answers)} answers to {len(record.answers)} rows")
    for row, (found, expected) in enumerate(zip(answers, record.answers, strict=True)):
        if not equal(found, expected):
            raise StackError(
                f"its answer differs from the trained model's: held-out row {row}, expected"
                f" {_shortened(json.dumps(expected))}, found {_shortened(json.dumps(found))}; check"
                " what predict uses besides its input: time, random numbers, files, the machine"
            )
    wrong = dict(wrong_requests(record))
    for what, body in wrong.items():
        status = ask(url, body).status_code
        if not 400 <= status < 500:
            raise StackError(f"it answered a request with {what} with status {status}, expected 4xx")
    return f"{len(answers)} answers equal, {len(wrong)} wrong requests refused"


def equal(found: Any, expected: Any) -> bool:  # noqa: ANN401 - whatever JSON can hold
    """Whether two answers are the same; floats may differ by RELATIVE_TOLERANCE or ABSOLUTE_TOLERANCE."""
    if type(expected) is float and type(found) is int:
        return found == expected
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        both_nan = math.isnan(expected) and math.isnan(found)
        return both_nan or math.isclose(
            found, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[key], expected[key]) for key in expected)
    return bool(found == expected)


def wrong_requests(record: Record) -> Iterator[tuple[str, str]]:
    """Make requests that break the signature, so a server must refuse them: what is wrong, and the body."""
    yield "broken JSON", "{"
    yield "an unknown key", json.dumps({"rows": []})
    split = record.request.get("dataframe_split")
    if split is None or not record.signature.inputs.has_input_names():
        return
    for column in record.signature.inputs.inputs:
        if not column.required or column.name not in split["columns"]:
            continue
        yield f"no column {column.name!r}", _changed(split, column.name, None)
        if column.type in _NO_TEXT:
            yield f"text as {column.name!r}", _changed(split, column.name, "text")


def _changed(split: Mapping[str, Any], name: str, value: str | None) -> str:
    """Write the first row with ``value`` in a column or, if that is None, without the column."""
    row = dict(zip(split["columns"], split["data"][0], strict=True))
    row[name] = value
    if value is None:
        del row[name]
    return json.dumps({"dataframe_split": {"columns": list(row), "data": [list(row.values())]}})


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} ..."

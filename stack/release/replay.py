"""The check of a baked model: it must answer over HTTP as the model answered in a process of its own."""

import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests
from mlflow.models import ModelSignature
from mlflow.types import DataType

from stack.errors import StackError
from stack.release.client import NO_DOOR, Door, ask
from stack.wait import not_healthy

# As the trainer's own default.
TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
# So many requests are repeated by so many clients at once, each of them so often.
_REPEATED = 8
_CLIENTS = 8
_ROUNDS = 4
# For the other types, MLflow accepts text.
_NO_TEXT = (DataType.integer, DataType.long, DataType.float, DataType.double, DataType.datetime)


@dataclass(frozen=True)
class Exchange:
    """A request, and what the model answered to each of its rows; ``first`` is the first one's number.

    The rows are held-out ones of a training or, if ``is_example``, the input example of the model. The answer
    to that may be anything that JSON can hold.
    """

    request: dict[str, Any]
    answers: Any
    first: int = 0
    is_example: bool = False

    def __str__(self) -> str:
        """Name the rows."""
        if self.is_example:
            return "the input example"
        last = self.first + len(self.answers) - 1
        return f"held-out row {last}" if last == self.first else f"held-out rows {self.first} to {last}"

    @property
    def answered(self) -> str:
        """Say where the model answered it."""
        return "in a process of its own" if self.is_example else "in training"


@dataclass(frozen=True)
class Record:
    """What a version is checked against: requests, what the model answered, and how exact that is.

    Without exchanges, only wrong requests are left to check.
    """

    exchanges: list[Exchange]
    signature: ModelSignature | None
    tolerance: float = TOLERANCE


class FailedInsideError(StackError):
    """The model failed on a request that it answered before; the log of the model server says how."""


def replay(url: str, record: Record, *, timeout: int, queue: int, door: Door = NO_DOOR) -> str:
    """Ask the model server at ``url``; return in a few words what it did right.

    It gets each request of the record. Then several clients repeat the first ones at once. Then it gets
    requests that it must refuse. ``timeout`` [s] and ``queue`` are the server's own limits,
    ``door`` is what lies before it.

    Raises:
        StackError: at the first thing that is wrong.

    """
    if reason := not_healthy(url):
        raise StackError(f"it is not healthy: {reason}")
    slowest = 0.0
    for number, exchange in enumerate(record.exchanges):
        answer = ask(url, json.dumps(exchange.request), timeout=timeout, door=door)
        _check(answer, exchange, record.tolerance)
        if number < _REPEATED:
            slowest = max(slowest, answer.elapsed.total_seconds())
    # So few that none waits longer for the others than the server lets it.
    clients = max(1, min(_CLIENTS, queue, int(timeout / 2 / max(slowest, 1e-3))))
    _ask_at_once(url, record, timeout, clients, door)
    wrong = dict(wrong_requests(record))
    for what, body in wrong.items():
        status = ask(url, body, timeout=timeout, door=door).status_code
        if not 400 <= status < 500:
            raise StackError(f"it answered a request with {what} with status {status}, expected 4xx")
    found = f"{len(wrong)} wrong requests refused"
    if record.exchanges:
        found = f"{_counted(record.exchanges)} equal, {found}"
    if depends_on_batch(record):
        found += "; the answer to a row depends on the rows beside it, as in training"
    return found


def _counted(exchanges: list[Exchange]) -> str:
    """Say how many different rows have answers, and whether they are of the input example."""
    rows = {exchange.first + row for exchange in exchanges for row in range(len(_listed(exchange.answers)))}
    answers = "1 answer" if len(rows) == 1 else f"{len(rows)} answers"
    return f"{answers} to the input example" if exchanges[0].is_example else answers


def _listed(answers: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return answers if isinstance(answers, list) else [answers]


def _ask_at_once(url: str, record: Record, timeout: int, clients: int, door: Door) -> None:
    """Repeat the first requests, several at once; StackError if an answer differs then."""

    def repeat(exchange: Exchange) -> None:
        answer = ask(url, json.dumps(exchange.request), timeout=timeout, door=door)
        try:
            _check(answer, exchange, record.tolerance)
        except FailedInsideError:
            raise
        except StackError as error:
            raise StackError(
                f"{clients} clients asked at once, and then {error}. One after the other, all got the right"
                " answer. Let predict keep what belongs to one request in local variables, and not on the"
                " model (self), or set SERVER_THREADS to 1"
            ) from error

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(repeat, record.exchanges[:_REPEATED] * _ROUNDS))


def _check(answer: requests.Response, exchange: Exchange, tolerance: float) -> None:
    """Raise StackError unless the server answered as the model did."""
    if answer.status_code != 200:
        raise _refused(answer, exchange)
    answers = predictions(answer.text)
    if isinstance(answers, list) != isinstance(exchange.answers, list):
        held = "no list" if isinstance(exchange.answers, list) else "a list"
        raise StackError(f"its answer holds {held} of predictions: {_shortened(answer.text)}")
    answers, expected = _listed(answers), _listed(exchange.answers)
    if len(answers) != len(expected):
        raise StackError(f"it gave {len(answers)} answers to {len(expected)} rows")
    for row, pair in enumerate(zip(answers, expected, strict=True), exchange.first):
        if not equal(*pair, tolerance):
            raise _differs(exchange, row, *pair)


def predictions(body: str) -> Any:  # noqa: ANN401 - JSON
    """Return what an answer holds: its predictions or, if it has no such key, as a chat's answer, all of it.

    None if it is not JSON.
    """
    try:
        found = json.loads(body, parse_constant=lambda _: None)
    except ValueError:
        return None
    return found["predictions"] if isinstance(found, dict) and "predictions" in found else found


def _differs(exchange: Exchange, row: int, found: Any, expected: Any) -> StackError:  # noqa: ANN401
    """Return the error for a wrong answer."""
    if exchange.is_example:
        whose, where = "that of the model in a process of its own", f"the input example, row {row}"
    else:
        rows = len(_listed(exchange.answers))
        alone = "alone" if rows == 1 else f"among {rows} rows"
        whose, where = "the trained model's", f"held-out row {row}, asked {alone}"
    return StackError(
        f"its answer differs from {whose}: {where}, expected {_shortened(json.dumps(expected))}, found"
        f" {_shortened(json.dumps(found))}"
    )


def _refused(answer: requests.Response, exchange: Exchange) -> StackError:
    """Return the error for a request that got no predictions."""
    said = _shortened(answer.text)
    if answer.status_code == 413:
        return StackError(f"it refused {exchange} as too large: {said}; raise SERVER_MAX_BODY_MB")
    if answer.status_code == 504:
        return StackError(
            f"it took too long for {exchange}: {said}; make predict faster, or raise SERVER_TIMEOUT"
        )
    if answer.status_code >= 500:
        return FailedInsideError(f"the model failed on {exchange}, which it answered {exchange.answered}")
    return StackError(
        f"it refused {exchange} with status {answer.status_code}: {said}; {exchange.answered}, the model"
        " answered"
    )


def depends_on_batch(record: Record) -> bool:
    """Whether, in training, a row that was asked alone got another answer than among other rows."""
    exchanges = [of for of in record.exchanges if "params" not in of.request and not of.is_example]
    alone = {exchange.first: exchange.answers[0] for exchange in exchanges if len(exchange.answers) == 1}
    return any(
        not equal(found, alone[row], max(record.tolerance, 1e-4))
        for exchange in exchanges
        for row, found in enumerate(exchange.answers, exchange.first)
        if row in alone
    )


def equal(found: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:  # noqa: ANN401 - JSON
    """Whether two answers are the same; floats may differ by ``tolerance``, relative to the larger one.

    Near zero they may differ by ABSOLUTE_TOLERANCE, or more with a larger ``tolerance``.
    """
    if type(expected) is float and type(found) is int:
        return found == expected
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        both_nan = math.isnan(expected) and math.isnan(found)
        near_zero = ABSOLUTE_TOLERANCE * tolerance / TOLERANCE
        return both_nan or math.isclose(found, expected, rel_tol=tolerance, abs_tol=near_zero)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(
            equal(*pair, tolerance) for pair in zip(found, expected, strict=True)
        )
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            equal(found[key], expected[key], tolerance) for key in expected
        )
    return bool(found == expected)


def wrong_requests(record: Record) -> Iterator[tuple[str, str]]:
    """Make requests that break the signature, so a server must refuse them: what is wrong, and the body."""
    yield "broken JSON", "{"
    yield "an unknown key", json.dumps({"rows": []})
    split = record.exchanges[0].request.get("dataframe_split") if record.exchanges else None
    inputs = record.signature.inputs if record.signature else None
    if split is None or inputs is None or not inputs.has_input_names():
        return
    for column in inputs.inputs:
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

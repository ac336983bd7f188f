"""The model server beside MLflow's: no answer differs but by a row of the tables in docs/model-server.md.

tests/unit/zoo.py has the models, tests/unit/situations.py the requests.
"""

import gzip
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.pyfunc import scoring_server
from model_server.app import Application

from stack.config import CHECKOUT
from tests.unit.model_servers import (
    CSV,
    JSON,
    MARK,
    Answer,
    Client,
    as_json,
    load,
    settings_for,
)
from tests.unit.situations import Request, requests_to
from tests.unit.zoo import TOLD, ZOO

_PAGE = (CHECKOUT / "docs" / "model-server.md").read_text()


def rows_of(heading: str) -> set[str]:
    """Return the first cells of the table under a heading."""
    table = _PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("|")]
    return set(cells[2:])


ON_PURPOSE, VALUES = rows_of("What differs from MLflow's server"), rows_of("Values that MLflow would change")


@dataclass(frozen=True)
class Pair:
    """What both servers answered to one request to one kind of model."""

    kind: str
    request: Request
    theirs: Answer
    ours: Answer

    @property
    def statuses(self) -> tuple[int, int]:
        return self.theirs.status, self.ours.status

    @property
    def is_same(self) -> bool:
        """Whether no client can tell them apart, but by the words of a refusal."""
        if self.theirs.status != self.ours.status:
            return False
        if self.theirs.status == 200:
            is_same_type = self.theirs.headers["content-type"] == self.ours.headers["content-type"]
            return is_same_type and self.theirs.body == self.ours.body
        # MLflow writes some refusals as plain text, without a code.
        return b'"error_code"' not in self.theirs.body or self.theirs.code == self.ours.code

    def misfits(self, sentence: str) -> bool:
        """Whether a value that MLflow takes is refused by such a sentence."""
        return self.statuses == (200, 400) and bool(re.search(sentence, self.ours.message))

    def differs_in(self, dtypes: str, blank: Callable[[Any], Any]) -> bool:
        """Whether only the columns of some types differ, and those only by what is made blank."""
        if self.statuses != (200, 200):
            return False
        return bool(blanked(self.theirs.body, dtypes, blank) == blanked(self.ours.body, dtypes, blank))


def blanked(body: bytes, dtypes: str, blank: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - JSON
    """Return what an Echo tells, with the values of the columns of these types made blank."""
    answer = json.loads(body)
    for column in answer["predictions"]["data"]["columns"]:
        if re.fullmatch(dtypes, column[1]):
            column[1:] = ["", [blank(value) for value in column[2]]]
    return answer


def without_missing(value: Any) -> Any:  # noqa: ANN401 - what an Echo tells
    return "missing" if value in ("NoneType None", "float nan", "str 'None'", "str 'nan'") else value


# What explains a difference, by the row of the table.
RULES: dict[str, Callable[[Pair], bool]] = {
    "without Content-Type": lambda pair: pair.request.content_type is None and pair.statuses == (500, 415),
    "one that MLflow's own code stumbles over, such as JSON that is nested too deeply": lambda pair: (
        pair.statuses == (500, 400) and pair.ours.code == "INVALID_PARAMETER_VALUE"
    ),
    "the model's own code raises": lambda pair: (
        pair.kind in TOLD and pair.theirs.status != 200 and pair.ours.status == 500
    ),
    "the model answers NaN or an infinite number": lambda pair: (
        pair.statuses == (200, 200)
        and json.loads(pair.theirs.body, parse_constant=lambda _: None)
        == json.loads(pair.ours.body, parse_constant=pytest.fail)
    ),
    "a body with a Content-Encoding, such as gzip": lambda pair: (
        "content-encoding" in pair.request.headers and pair.ours.status == 415
    ),
    "another `Host` than localhost, an address or a name in `SERVER_ALLOWED_HOSTS`": lambda pair: (
        pair.request.headers.get("host") == "evil.example.com" and pair.statuses == (200, 403)
    ),
    "HEAD on a page": lambda pair: pair.request.method == "HEAD" and pair.statuses == (405, 200),
    "larger than `SERVER_MAX_BODY_MB`": lambda pair: (
        len(pair.request.body) > settings_for(Path(), "").max_body and pair.statuses == (200, 413)
    ),
    "`/redoc`": lambda pair: pair.request.path == "/redoc" and pair.statuses == (200, 404),
    "`/docs`, `/openapi.json`": lambda pair: (
        pair.request.path in ("/docs", "/openapi.json") and pair.statuses == (200, 200)
    ),
    '`"false"`, or anything but true, false, 0 and 1, in a boolean column': lambda pair: pair.misfits(
        "expected boolean, found (text|an |a number that is neither 0 nor 1)"
    ),
    "a missing boolean beside one that is there": lambda pair: pair.misfits("expected boolean, found null"),
    "3000000000 in an integer column": lambda pair: pair.misfits(
        "expected (integer|long), found a number that is too large"
    ),
    "59.9 in a column of whole numbers; 59.0": lambda pair: pair.misfits("found a number with a fraction"),
    "1e39 in a float column": lambda pair: pair.misfits(
        "expected (float|double), found a number that is too large"
    ),
    "anything but text in a text column": lambda pair: pair.misfits("expected string, found (a|true)"),
    "a missing text, or a text column without rows": lambda pair: pair.differs_in(
        "object|str", without_missing
    ),
    "anything in a binary column": lambda pair: (
        pair.misfits("expected binary, found") or pair.differs_in("object", lambda _: "")
    ),
    "anything in a datetime column": lambda pair: (
        pair.misfits("expected datetime, found")
        or (pair.kind.startswith("datetime") and pair.statuses == (400, 200))
        or pair.differs_in("datetime.*", lambda _: "")
    ),
    "rows that are arrays, in `inputs` or `instances`, for columns named by numbers": lambda pair: (
        pair.kind == "numbers as names"
        and (pair.ours.status == 200 or pair.ours.message.startswith("column 0, row "))
        and bool(re.match(rb'{"(inputs|instances)": \[\[', pair.request.body))
    ),
    "`inputs` of single values, one in a column that the signature has not": lambda pair: (
        pair.statuses == (400, 200) and b'"more": "' in pair.request.body
    ),
}


@dataclass
class Both:
    """A model of the zoo, served by MLflow, and here, strictly and not."""

    kind: str
    mlflow: Client
    ours: dict[bool, Client]
    requests: dict[str, Request]

    def pairs(self, request: Request) -> dict[bool, Pair]:
        """Ask all of them."""
        theirs = answer(self.mlflow, request)
        return {
            strict: Pair(self.kind, request, theirs, answer(ours, request))
            for strict, ours in self.ours.items()
        }


def answer(client: Client, request: Request) -> Answer:
    return client.run(client.ask(request.method, request.path, request.body, headers=request.headers))


def difference(pair: Pair, *, strict: bool) -> str | None:
    """Return the row that explains why the answers differ; None if they don't, "" if there is no such row."""
    if pair.is_same:
        return None
    rows = ON_PURPOSE | (VALUES if strict else set())
    return next((row for row, explains in RULES.items() if row in rows and explains(pair)), "")


@pytest.fixture
def aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep MLflow from writing what a ResponsesAgent does into the working directory; let nothing log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # which MLflow's server sets for good
    logging.disable()
    yield tmp_path
    logging.disable(logging.NOTSET)


@contextmanager
def serving(kind: str, directory: Path, timeout: int = 60) -> Iterator[Both]:
    with ExitStack() as stack:
        model = ZOO[kind].save(directory / "kind")
        settings = replace(settings_for(model, "yardstick"), timeout=timeout)
        pyfunc = load(model)
        clients = [
            Client(scoring_server.init(pyfunc)),
            *(Client(Application(load(model), replace(settings, strict=strict))) for strict in (True, False)),
        ]
        for client in clients:
            stack.callback(client.close)
        theirs, strictly, leniently = clients
        yield Both(kind, theirs, {True: strictly, False: leniently}, requests_to(kind, pyfunc))


def is_one_sentence(pair: Pair, *, strict: bool) -> bool:
    """Whether a refusal is JSON, without the data or a trace, and names the place of a bad value."""
    body = json.loads(pair.ours.body)
    has_secrets = any(word in body["message"] for word in (MARK, "Traceback", 'File "', "Error"))
    is_general = body["message"].startswith("the request does not fit the signature of the model")
    is_placed = body["message"].startswith(pair.request.place) or (is_general and not strict)
    return body.keys() == {"error_code", "message"} and is_placed and not has_secrets


@pytest.mark.parametrize("kind", ZOO)
@pytest.mark.filterwarnings("ignore")
def test_no_answer_differs_from_mlflows_but_by_a_row_of_the_tables(kind: str, aside: Path) -> None:
    unexplained, badly_told = [], []
    with serving(kind, aside) as both:
        for name, request in both.requests.items():
            for strict, pair in both.pairs(request).items():
                if difference(pair, strict=strict) == "":
                    unexplained.append((name, strict, pair.theirs, pair.ours))
                if pair.ours.status != 200 and not is_one_sentence(pair, strict=strict):
                    badly_told.append((name, strict, pair.ours.body))
    assert unexplained == []
    assert badly_told == []


def told(expression: str) -> Request:
    return Request(as_json(dataframe_records=[{"it": expression}]))


def column(value: Any, **before: Any) -> Request:  # noqa: ANN401 - JSON
    """Return a request with one value in the only column, or with one before that."""
    return Request(as_json(dataframe_records=[*({"it": other} for other in before.values()), {"it": value}]))


RIGHT = as_json(dataframe_records=[{"it": 1.5}])
# For each row a request that needs it, and the kind of model.
SHOWN: dict[str, tuple[str, Request]] = {
    "the model answers NaN or an infinite number": ("told", told("float('nan')")),
    "without Content-Type": ("double", Request(RIGHT, None)),
    "a body with a Content-Encoding, such as gzip": (
        "double",
        Request(gzip.compress(RIGHT), more_headers={"content-encoding": "gzip"}),
    ),
    "another `Host` than localhost, an address or a name in `SERVER_ALLOWED_HOSTS`": (
        "double",
        Request(RIGHT, more_headers={"host": "evil.example.com"}),
    ),
    "HEAD on a page": ("double", Request(path="/ping", method="HEAD")),
    "one that MLflow's own code stumbles over, such as JSON that is nested too deeply": (
        "double",
        Request(b"[" * 100_000),
    ),
    "larger than `SERVER_MAX_BODY_MB`": ("double", Request(RIGHT + b" " * 1024 * 1024)),
    "the model's own code raises": ("told", told("ValueError('no luck')")),
    "`/redoc`": ("double", Request(path="/redoc", method="GET")),
    "`/docs`, `/openapi.json`": ("double", Request(path="/openapi.json", method="GET")),
    '`"false"`, or anything but true, false, 0 and 1, in a boolean column': ("boolean", column("false")),
    "a missing boolean beside one that is there": ("boolean", column(None, first=True)),
    "3000000000 in an integer column": ("integer", column(3_000_000_000)),
    "59.9 in a column of whole numbers; 59.0": ("long", column(59.9)),
    "1e39 in a float column": ("float", column(1e39)),
    "anything but text in a text column": ("string", column(5, first="text")),
    "a missing text, or a text column without rows": ("string", column(None)),
    "anything in a binary column": ("binary", Request(as_json(inputs={"it": ["Af8="]}))),
    "anything in a datetime column": ("datetime", Request(b"it\n2024-01-31\n", CSV)),
    "rows that are arrays, in `inputs` or `instances`, for columns named by numbers": (
        "numbers as names",
        Request(as_json(inputs=[[1, 59.9]])),
    ),
    "`inputs` of single values, one in a column that the signature has not": (
        "double",
        Request(as_json(inputs={"it": 1.5, "more": "text"})),
    ),
}
# These differ in more than one answer. The first two have tests below, the last one in test_server_app.py.
SHOWN_OTHERWISE = {
    "refused or failed, for whatever reason",
    "a body that does not come within `SERVER_TIMEOUT`",
    "too many waiting",
}


def test_the_tables_are_those_of_the_page() -> None:
    assert set(SHOWN) | SHOWN_OTHERWISE == ON_PURPOSE | VALUES
    assert set(RULES) == set(SHOWN)


@pytest.mark.parametrize("row", SHOWN)
def test_each_row_of_the_tables_is_needed(row: str, aside: Path) -> None:
    kind, request = SHOWN[row]
    with serving(kind, aside) as both:
        pairs = both.pairs(request)
    assert difference(pairs[True], strict=True) == row
    assert difference(pairs[False], strict=False) == (None if row in VALUES else row)


def test_a_refusal_is_told_in_other_words(aside: Path) -> None:
    with serving("double", aside) as both:
        for request in (column(MARK), Request(MARK.encode()), Request(RIGHT, "text/plain")):
            for pair in both.pairs(request).values():
                assert pair.is_same
                assert pair.theirs.body != pair.ours.body
                assert is_one_sentence(pair, strict=True)
        assert MARK.encode() in answer(both.mlflow, column(MARK)).body


def test_a_body_that_does_not_come_is_told_by_another_status(
    aside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    with serving("double", aside, timeout=1) as both:
        for client, status in ((both.mlflow, 504), (both.ours[True], 408)):
            sent = client.ask("POST", "/invocations", b"{", headers={"content-type": JSON}, is_half_sent=True)
            assert client.run(sent).status == status

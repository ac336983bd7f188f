import itertools
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelAlias,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST
from mlflow.pyfunc import PyFuncModel, PythonModel
from mlflow.pyfunc.model import _PythonModelPyfuncWrapper
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from workflow import Data, Gate, Training, TrainingError, main, run, surroundings
from workflow.answers import ALONE, SettingError, UnfitError, answer_elsewhere, as_request, ask, load
from workflow.canonical import canonical
from workflow.fingerprint import fingerprint
from workflow.gate import Champion, Verdict, judge
from workflow.own_code import own_code, run_file
from workflow.server import wait_for_server

from stack.config import CHECKOUT

ACCURACY = Gate("accuracy", threshold=0.9, tolerance=0.04)
ERROR = Gate("error", threshold=50, tolerance=1, greater_is_better=False)
ROWS = pd.DataFrame(
    {"size": [1.5, 2.0, 4.0], "count": [1, 2, 3], "name": ["a", "b", "c"], "target": [0, 1, 0]}
)


def unexpected(*arguments: object) -> Any:  # noqa: ANN401
    raise AssertionError(f"called with {arguments}")


def training(directory: Path, **changes: Any) -> Training:  # noqa: ANN401
    described = Training(
        directory=directory,
        parameters={"C": 1.0},
        gate=ACCURACY,
        load_data=unexpected,
        initialize_and_train=unexpected,
        store_pyfunc_model=unexpected,
        evaluate=unexpected,
    )
    return replace(described, **changes)


# The gate


@pytest.mark.parametrize(
    ("gate", "value", "accepted"),
    [
        (ACCURACY, 0.9, True),
        (ACCURACY, 0.89, False),
        (ERROR, 50, True),
        (ERROR, 51, False),
        (ACCURACY, math.nan, False),
        (ERROR, math.nan, False),
    ],
)
def test_the_first_version_must_reach_the_threshold(gate: Gate, value: float, accepted: bool) -> None:
    assert judge(gate, value, None).accepted is accepted


@pytest.mark.parametrize(
    ("gate", "value", "champions", "accepted"),
    [
        (ACCURACY, 0.99, 0.95, True),
        (ACCURACY, 0.94, 0.95, True),
        (ACCURACY, 0.95, 0.99, True),
        (ACCURACY, 0.94, 0.99, False),
        (ACCURACY, 0.89, 0.5, False),  # the threshold holds whatever the champion has
        (ERROR, 30, 45, True),
        (ERROR, 46, 45, True),
        (ERROR, 47, 45, False),
        (replace(ERROR, tolerance=0.2), 1.6, 1.4, True),  # as floats, 1.4 + 0.2 < 1.6
        (ERROR, 51, 90, False),
        (ACCURACY, math.nan, 0.95, False),
    ],
)
def test_a_version_may_be_worse_than_the_champion_by_the_tolerance(
    gate: Gate, value: float, champions: float, accepted: bool
) -> None:
    assert judge(gate, value, Champion("4", champions)).accepted is accepted


def test_a_champion_that_cant_be_compared_with_blocks_the_version_and_is_named() -> None:
    verdict = judge(ACCURACY, 0.99, Champion("4", None, "its image is gone"))
    assert not verdict.accepted
    assert "version 4" in verdict.reason
    assert "its image is gone" in verdict.reason


def test_a_verdict_names_the_metric_the_bound_and_the_champion() -> None:
    assert judge(ACCURACY, 0.8, None).reason == "accuracy 0.8, expected at least 0.9"
    assert judge(ERROR, 60, None).reason == "error 60, expected at most 50"
    assert judge(ERROR, 48, Champion("4", 45)).reason == (
        "error 48; the champion, version 4, has 45 on the same rows; at most 1 worse is allowed"
    )


@pytest.mark.parametrize(
    "verdict", [Verdict(True, "accuracy 1"), Verdict(False, "it: raised: E"), Verdict(True, "")], ids=str
)
def test_a_verdict_is_read_again_from_its_text(verdict: Verdict) -> None:
    assert Verdict.parse(str(verdict)) == verdict


# The fingerprint


Fingerprinter = Callable[..., str]


@pytest.fixture
def fingerprint_of(tmp_path: Path) -> Fingerprinter:
    """Return a function that writes code and a lock, by default the same, and fingerprints them."""

    def of(
        name: str = "model",
        *,
        files: dict[str, str] | None = None,
        lock: str = "numpy==1",
        train: pd.DataFrame = ROWS,
        held_out: pd.DataFrame = ROWS,
        **changes: Any,  # noqa: ANN401
    ) -> str:
        directory = tmp_path / name
        for file, text in ({"train.py": "code", "lib/features.py": "more"} | (files or {})).items():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_text(text)
        (tmp_path / "lock.txt").write_text(lock)
        data = Data(train, held_out, target="target")
        return fingerprint(training(directory, **changes), data, lock=tmp_path / "lock.txt")

    return of


def test_the_same_inputs_have_the_same_fingerprint_in_two_directories(
    fingerprint_of: Fingerprinter,
) -> None:
    assert fingerprint_of("one", train=ROWS.copy()) == fingerprint_of("two")


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"train.py": "other code"}},
        {"files": {"lib/features.py": "other"}},
        {"files": {"lib/new.py": ""}},
        {"lock": "numpy==2"},
        {"train": ROWS.assign(size=[1.5, 2.0, 4.5])},
        {"train": ROWS.assign(name=["a", "b", "d"])},
        dict.fromkeys(("train", "held_out"), ROWS.rename(columns={"size": "length"})),
        {"train": ROWS.astype({"count": "int32"})},
        {"train": ROWS.astype({"count": "float64"})},
        {"held_out": ROWS.assign(target=[0, 1, 1])},
        {"held_out": ROWS.head(2)},
        {"parameters": {"C": 2.0}},
        {"gate": replace(ACCURACY, tolerance=0.05)},
        {"gate": replace(ACCURACY, greater_is_better=False)},
    ],
    ids=str,
)
def test_the_fingerprint_changes_with(fingerprint_of: Fingerprinter, change: dict[str, Any]) -> None:
    assert fingerprint_of(**change) != fingerprint_of("unchanged")


class Plain:
    """An object whose repr has its address."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.me = self


@dataclass(frozen=True, repr=False, slots=True)
class Chosen:
    names: frozenset[str]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1, "1"),
        (1.0, "1.0"),
        ("1", "'1'"),
        (np.float64(0.5), "0.5"),
        ({"b": 1, "a": (2, [3])}, "{'a': tuple(2, list(3)), 'b': 1}"),
        ({2: "b", "1": "a"}, "{'1': 'a', 2: 'b'}"),
        ({"b", "a", "c"}, "set('a', 'b', 'c')"),
        (frozenset({("b", 1), ("a", 2)}), "set(tuple('a', 2), tuple('b', 1))"),
        (lambda x: x, "tests.unit.test_workflow.<lambda>"),
        (partial(round, ndigits=2), "partial(<built-in function round>, tuple(), {'ndigits': 2})"),
        (Plain, "tests.unit.test_workflow.Plain"),
        (Plain(3), "tests.unit.test_workflow.Plain({'me': itself, 'size': 3})"),
        (Chosen(frozenset("ba")), "tests.unit.test_workflow.Chosen({'names': set('a', 'b')})"),
        ("a".upper, "<built-in method upper of str object>"),
        (
            np.array([Plain(1)], dtype=object),
            "tuple(tests.unit.test_workflow.Plain({'me': itself, 'size': 1}))",
        ),
    ],
    # Not the value, whose text differs in each process, and each must have the same names for the tests.
    ids=lambda of: of if isinstance(of, str) else type(of).__name__,
)
def test_a_value_has_one_text_whatever_its_address_and_the_order_of_sets(value: object, text: str) -> None:
    assert canonical(value) == text


def test_two_arrays_have_the_same_text_if_they_hold_the_same() -> None:
    array = np.arange(5000)
    assert canonical(array) == canonical(array.copy())
    others = (array[::-1], array.astype("int32"), array.reshape(50, 100), np.where(array == 2500, 0, array))
    assert canonical(array) not in [canonical(other) for other in others]


CELLS: dict[str, list[Any]] = {
    "sets": [{"a", "b"}, {"c"}, set()],
    "objects": [Plain(1), Plain(2), Plain(3)],
    "lists": [["a"], [], ["b", "c"]],
    "arrays": [np.arange(3), np.arange(3), np.arange(2)],
    "decimals": [Decimal("1.1"), Decimal("2"), None],
    "mixed": [1, "a", None],
}


@pytest.mark.parametrize("cells", CELLS)
def test_cells_of_any_kind_give_the_same_fingerprint_until_one_changes(
    fingerprint_of: Fingerprinter, cells: str
) -> None:
    def rows(values: list[Any]) -> pd.DataFrame:
        return ROWS.assign(cells=pd.Series(values, dtype=object))

    def mark(name: str, rows: pd.DataFrame) -> str:
        return fingerprint_of(name, train=rows, held_out=rows)

    first = mark("first", rows(deepcopy(CELLS[cells])))
    assert mark("again", rows(deepcopy(CELLS[cells]))) == first
    assert mark("changed", rows([*CELLS[cells][:2], "other"])) != first
    assert mark("in another order", rows([CELLS[cells][place] for place in (2, 0, 1)])) != first


def test_the_fingerprint_is_the_same_in_each_process() -> None:
    code = """
import pandas as pd
from pathlib import Path
from workflow import Data, Gate, Training
from workflow.canonical import canonical
from workflow.fingerprint import fingerprint
rows = pd.DataFrame({"target": [0, 1], "words": pd.Series([{"a", "b", "c"}, frozenset("xyz")], dtype=object)})
parameters = {"stop": {"the", "of", "and"}, "link": lambda x: x, "what": object(), 1: "one"}
training = Training(Path("nothing"), parameters, Gate("a", 0, 0), *[None] * 4)
print(fingerprint(training, Data(rows, rows, "target")))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(CHECKOUT / "trainer")},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_renaming_a_file_changes_the_fingerprint(fingerprint_of: Fingerprinter) -> None:
    assert fingerprint_of(files={"a.py": "x"}) != fingerprint_of("other", files={"b.py": "x"})


def test_byte_code_and_hidden_files_are_no_code(fingerprint_of: Fingerprinter) -> None:
    written = ["__pycache__/train.pyc", "lib/__pycache__/features.pyc", ".env", ".git/HEAD", "lib/.swp"]
    assert fingerprint_of(files=dict.fromkeys(written, "")) == fingerprint_of("unchanged")


# What load_data returns


def test_the_features_are_the_columns_without_the_target() -> None:
    data = Data(ROWS, ROWS.head(1), target="target")
    assert list(data.features(data.held_out).columns) == ["size", "count", "name"]


@pytest.mark.parametrize(
    ("train", "held_out", "says"),
    [
        (
            ROWS.drop(columns="target"),
            ROWS,
            "the train rows have no target column 'target'; found 'size', 'count'",
        ),
        (ROWS, ROWS.drop(columns="target"), "the held_out rows have no target column 'target'"),
        (ROWS.head(0), ROWS, "the train rows are empty"),
        (ROWS, ROWS.head(0), "the held_out rows are empty"),
    ],
)
def test_rows_that_cant_be_used_are_refused(train: pd.DataFrame, held_out: pd.DataFrame, says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        Data(train, held_out, target="target")


# Questions and answers


FEATURES = ROWS.drop(columns="target")
IN_COLUMNS = ModelSignature(
    Schema(
        [
            ColSpec(DataType.double, "size"),
            ColSpec(DataType.long, "count"),
            ColSpec(DataType.string, "name"),
        ]
    ),
    params=ParamSchema([ParamSpec("unit", DataType.string, "m")]),
)


class Predicting(PythonModel):
    """Answers by a function of the frame and the params, and keeps what it was given."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.given: list[tuple[Any, Any]] = []

    def predict(self, context: object, model_input: Any, params: Any = None) -> Any:  # noqa: ANN401, ARG002
        self.given.append((model_input, params))
        return self.function(model_input)


def predicting(
    function: Callable[..., Any], signature: ModelSignature = IN_COLUMNS
) -> tuple[PyFuncModel, list[tuple[Any, Any]]]:
    """Return a model as `load_model` returns it, and the list of what its predict is given."""
    model = Predicting(function)
    wrapper = _PythonModelPyfuncWrapper(model, None, signature)
    return PyFuncModel(Model(signature=signature, flavors=FLAVORS), wrapper), model.given


FLAVORS = {"python_function": {"loader_module": "mlflow.pyfunc.model"}}


def test_a_request_holds_the_rows_as_they_are() -> None:
    body = json.loads(as_request(IN_COLUMNS.inputs, FEATURES))
    assert body == {
        "dataframe_split": {
            "columns": ["size", "count", "name"],
            "data": [[1.5, 1, "a"], [2.0, 2, "b"], [4.0, 3, "c"]],
        }
    }
    assert [type(value) for value in body["dataframe_split"]["data"][1]] == [float, int, str]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([TensorSpec(np.dtype("float32"), (-1, 2))], [[1.5, 1.0], [2.0, 2.0], [4.0, 3.0]]),
        ([TensorSpec(np.dtype("float64"), (-1, 1, 2))], [[[1.5, 1.0]], [[2.0, 2.0]], [[4.0, 3.0]]]),
        (
            [TensorSpec(np.dtype("float64"), (-1,), "size"), TensorSpec(np.dtype("int64"), (-1,), "count")],
            {"size": [1.5, 2.0, 4.0], "count": [1, 2, 3]},
        ),
    ],
    ids=["rows", "rows of a shape", "by name"],
)
def test_a_model_of_tensors_is_asked_with_tensors(
    specs: list[ColSpec | TensorSpec], expected: object
) -> None:
    features = FEATURES[["size", "count"]]
    assert json.loads(as_request(Schema(specs), features)) == {"inputs": expected}
    model, given = predicting(
        lambda data: [0.5] * len(next(iter(data.values())) if isinstance(data, dict) else data),
        ModelSignature(Schema(specs)),
    )
    assert ask(model, features).answers == [0.5, 0.5, 0.5]
    assert len(given) == 3 + 1


@pytest.mark.parametrize(
    ("predict", "expected"),
    [
        (lambda rows: list(rows["name"]), ["a", "b", "c"]),
        (lambda rows: rows["size"].to_numpy() / 4, [0.375, 0.5, 1.0]),
        (lambda rows: rows["count"].to_numpy(), [1, 2, 3]),
        (lambda rows: rows["count"], [{"count": 1}, {"count": 2}, {"count": 3}]),
        (lambda rows: rows[["name"]], [{"name": "a"}, {"name": "b"}, {"name": "c"}]),
        # A frame of its own beside its input: right for the index that a request has.
        (
            lambda rows: list(pd.concat([rows, pd.DataFrame({"new": range(len(rows))})], axis=1)["size"]),
            [1.5, 2.0, 4.0],
        ),
    ],
    ids=["strings", "floats", "integers", "a Series", "columns", "beside a new frame"],
)
def test_an_answer_is_what_a_client_reads(predict: Callable[..., Any], expected: list[Any]) -> None:
    # As train_test_split leaves them.
    features = FEATURES.set_axis([7, 3, 5])
    model, _ = predicting(predict)
    found = ask(model, features).answers
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_missing_text_is_the_same_alone_as_beside_a_text() -> None:
    features = FEATURES.assign(name=pd.Series(["a", None, "c"]))
    optional = [*IN_COLUMNS.inputs.inputs[:2], ColSpec(DataType.string, "name", required=False)]
    model, given = predicting(
        lambda rows: [repr(name) for name in rows["name"]], ModelSignature(Schema(optional))
    )
    asked = ask(model, features)
    assert [exchange.answers for exchange in asked.exchanges] == [
        ["'a'"],
        ["nan"],
        ["'c'"],
        ["'a'", "nan", "'c'"],
    ]
    assert {frame["name"].dtype for frame, _ in given} == {given[0][0]["name"].dtype}


def test_rows_are_asked_alone_then_with_params_then_together() -> None:
    model, given = predicting(lambda rows: list(rows["size"]))
    asked = ask(model, FEATURES, {"unit": "cm"})
    assert [(exchange.first, exchange.answers) for exchange in asked.exchanges] == [
        (0, [1.5]),
        (1, [2.0]),
        (2, [4.0]),
        (0, [1.5, 2.0, 4.0]),
        (0, [1.5, 2.0, 4.0]),
    ]
    assert [exchange.request.get("params") for exchange in asked.exchanges] == [None] * 3 + [
        {"unit": "cm"},
        None,
    ]
    assert [params for _, params in given] == [{"unit": "m"}] * 3 + [{"unit": "cm"}, {"unit": "m"}]
    assert all(list(frame.index) == list(range(len(frame))) for frame, _ in given)


def test_params_without_a_schema_are_not_sent() -> None:
    model, _ = predicting(lambda rows: list(rows["size"]), ModelSignature(IN_COLUMNS.inputs))
    assert not any(
        "params" in exchange.request for exchange in ask(model, FEATURES, {"unit": "cm"}).exchanges
    )


def test_requests_are_small_enough_for_the_server_and_the_replay_holds_the_first_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = pd.DataFrame({"size": np.arange(25.0), "count": 1, "name": "x" * 1000})
    monkeypatch.setattr("workflow.answers._MOST_BYTES", 11_000)
    monkeypatch.setattr("workflow.answers.REPLAY_ROWS", 22)
    model, given = predicting(lambda rows: list(rows["size"]))
    asked = ask(model, many)
    assert asked.answers == list(range(25))
    assert [len(frame) for frame, _ in given] == [1] * ALONE + [10, 10, 5]
    kept = asked.exchanges[ALONE:]
    assert [(exchange.first, len(exchange.answers)) for exchange in kept] == [(0, 10), (10, 10)]
    assert all(len(json.dumps(exchange.request)) <= 11_000 for exchange in kept)


def test_a_slow_model_is_asked_for_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = itertools.count(step=2.5)  # seconds between two looks at the clock
    monkeypatch.setattr("workflow.answers.time", SimpleNamespace(monotonic=lambda: next(moments)))
    many = pd.concat([FEATURES] * 10)
    model, given = predicting(lambda rows: list(rows["size"]))
    asked = ask(model, many)
    assert len(asked.answers) == 30
    assert [len(frame) for frame, _ in given] == [1] * ALONE + [2] * 15
    assert sum(len(exchange.answers) for exchange in asked.exchanges[ALONE:]) == 12  # for 30 s


@pytest.mark.parametrize(
    ("kind", "is_single"),
    [("float32", True), ("float16", True), ("float64", False), ("int32", False), ("object", False)],
)
@pytest.mark.parametrize("container", [pd.Series, pd.DataFrame, np.asarray, list])
def test_floats_of_single_precision_are_noticed(
    kind: str, is_single: bool, container: Callable[..., Any]
) -> None:
    model, _ = predicting(lambda rows: container(rows["size"].to_numpy(kind)))
    assert ask(model, FEATURES).is_single is is_single


@pytest.mark.parametrize(
    ("predict", "says"),
    [
        (lambda rows: [0] * (len(rows) + 1), "gave 2 answers to a request with 1 row, expected one for each"),
        (lambda rows: [0] if len(rows) > 1 else [1], "gave 1 answers to a request with 3 rows"),
        (lambda _: "all", "returned 'all', expected a list with an answer for each row"),
    ],
)
def test_each_row_of_a_request_needs_one_answer(predict: Callable[..., Any], says: str) -> None:
    model, _ = predicting(predict)
    with pytest.raises(UnfitError, match=says):
        ask(model, FEATURES)


MODEL = """
import words
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["size"] < 0).any():
            raise ValueError("a size is negative")
        return [f"{words.WORD} {size}" for size in model_input["size"]]

set_model(Model())
"""


CONFIGURED = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Configured(PythonModel):
    def predict(self, context, model_input, params=None):
        config = context.model_config
        return [f"{config['word']} {config['other']}"] * len(model_input)

set_model(Configured())
"""


@pytest.fixture
def saved_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Save a model whose helper module has the name of one that is imported here and says otherwise."""
    (tmp_path / "words.py").write_text("WORD = 'saved'")
    (tmp_path / "model.py").write_text(MODEL)
    imported = ModuleType("words")
    imported.__dict__["WORD"] = "imported"
    monkeypatch.setitem(sys.modules, "words", imported)
    path = tmp_path / "saved"
    mlflow.pyfunc.save_model(
        path,
        python_model=str(tmp_path / "model.py"),
        code_paths=[str(tmp_path / "words.py")],
        pip_requirements=[],
    )
    yield str(path)
    assert sys.modules["words"] is imported


def test_a_model_that_answers_elsewhere_uses_its_own_modules(saved_model: str) -> None:
    assert answer_elsewhere(saved_model, ROWS[["size"]]) == ["saved 1.5", "saved 2.0", "saved 4.0"]


def test_a_model_config_that_is_set_replaces_that_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.py").write_text(CONFIGURED)
    mlflow.pyfunc.save_model(
        tmp_path / "saved",
        python_model=str(tmp_path / "model.py"),
        model_config={"word": "own", "other": 1},
        pip_requirements=[],
    )
    model = str(tmp_path / "saved")
    assert answer_elsewhere(model, ROWS[["size"]].head(1)) == ["own 1"]
    monkeypatch.setenv("SERVING_MODEL_CONFIG", '{"word": "set"}')
    assert answer_elsewhere(model, ROWS[["size"]].head(1)) == ["set 1"]
    monkeypatch.setenv("SERVING_MODEL_CONFIG", "[1]")
    with pytest.raises(
        SettingError, match=r"SERVING_MODEL_CONFIG is no JSON object; correct it in model\.env"
    ):
        load(model)


def test_a_model_that_fails_elsewhere_says_why(saved_model: str) -> None:
    with pytest.raises(RuntimeError) as failed:
        answer_elsewhere(saved_model, -ROWS[["size"]])
    assert str(failed.value) == "ValueError: a size is negative"


# The training


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATE_THRESHOLD", "much"),
        ("GATE_THRESHOLD", "nan"),
        ("GATE_TOLERANCE", "much"),
        ("GATE_TOLERANCE", "-1"),
    ],
)
def test_a_bound_that_can_not_be_used_is_refused_in_one_sentence(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py")])
    server = "http://127.0.0.1:9"
    monkeypatch.setattr(surroundings, "FOUND", surroundings.Servers(server, server))
    with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": server, name: value}):
        status = main(training(tmp_path))
    assert status == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith(f"train.py: {name} can't be used: expected a number")
    assert errors.endswith(f"found '{value}'; change it\n")
    assert errors.count("\n") == 1


def test_the_environment_goes_before_the_bounds_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_THRESHOLD", "0.5")
    monkeypatch.setenv("GATE_TOLERANCE", "")
    assert run._configured(ACCURACY) == replace(ACCURACY, threshold=0.5)
    monkeypatch.setenv("GATE_THRESHOLD", "")
    monkeypatch.setenv("GATE_TOLERANCE", "0.1")
    assert run._configured(ACCURACY) == replace(ACCURACY, tolerance=0.1)


COLUMNS = Schema([ColSpec(DataType.double)])
SIGNATURE = ModelSignature(COLUMNS, COLUMNS)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that checks a model which is logged as agreed but for the arguments."""

    def check(
        *,
        signature: ModelSignature | None = SIGNATURE,
        name: str = "artifacts",
        version: int | None = None,
        run_id: str | None = "r-1",
    ) -> None:
        model: Any = SimpleNamespace(
            signature=signature, model_id="m-1", registered_model_version=version, run_id=run_id
        )
        monkeypatch.setattr(mlflow, "get_logged_model", {"m-1": SimpleNamespace(name=name)}.get)
        run._check(model, "r-1")

    return check


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ({"signature": None}, "the model's signature lacks inputs or outputs"),
        ({"signature": ModelSignature(inputs=COLUMNS)}, "the model's signature lacks inputs or outputs"),
        ({"signature": ModelSignature(outputs=COLUMNS)}, "the model's signature lacks inputs or outputs"),
        ({"name": "model"}, "logged as 'model', expected 'artifacts'"),
        ({"run_id": "r-2"}, "logged to the run r-2, expected r-1, .*; start no run in store_pyfunc_model"),
        ({"run_id": None}, "logged to the run None, expected r-1"),
        ({"version": 7}, r"was registered \(as version 7\) before the gate judged it"),
    ],
)
def test_a_model_that_is_not_logged_as_agreed_is_refused(
    check: Callable[..., None], flaw: dict[str, Any], says: str
) -> None:
    check()
    with pytest.raises(TrainingError, match=says):
        check(**flaw)


@pytest.fixture
def as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow's servers, whatever other tests have set, be those that the stack has set."""
    monkeypatch.setattr(surroundings, "FOUND", surroundings.Servers.now())


@pytest.mark.usefixtures("as_found")
def test_an_error_in_the_models_own_code_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrainingError) as told, own_code("load_data", tmp_path):
        raise KeyError("price")
    assert str(told.value) == (
        f"load_data raised KeyError: 'price'; see the trace above, and correct it in {tmp_path}"
    )
    assert "Traceback" in capsys.readouterr().err


def test_a_directory_for_whose_copy_there_is_no_room_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "train.py").write_text("raise AssertionError")
    monkeypatch.setattr("shutil.copy", full)
    with pytest.raises(TrainingError, match=rf"^{tmp_path} can't be copied .*No space left .* set TMPDIR"):
        run_file(tmp_path / "train.py")


def test_what_is_told_already_is_not_told_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrainingError, match=r"^no rows$"), own_code("load_data", tmp_path):
        raise TrainingError("no rows")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("as_found")
@pytest.mark.parametrize(("metrics", "found"), [({"f1": 0.9, "loss": 0.1}, "f1, loss"), ({}, "nothing")])
def test_the_gates_metric_must_be_measured(tmp_path: Path, metrics: dict[str, float], found: str) -> None:
    measuring = training(tmp_path, evaluate=lambda _rows, _answers: metrics)
    with pytest.raises(TrainingError, match=f"evaluate does not return 'accuracy', .* found {found};"):
        run._evaluate(measuring, ROWS, [0, 1, 0])


@pytest.mark.usefixtures("as_found")
def test_metrics_become_plain_floats(tmp_path: Path) -> None:
    measuring = training(tmp_path, evaluate=lambda rows, _: {"accuracy": np.float32(0.5), "rows": len(rows)})
    metrics = run._evaluate(measuring, ROWS, [0, 1, 0])
    assert metrics == {"accuracy": 0.5, "rows": 3.0}
    assert {type(value) for value in metrics.values()} == {float}


# The champion


class FakeClient:
    """The calls of MlflowClient that the trainer makes before and after a training."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.error: int | None = None

    def get_registered_model(self, name: str) -> RegisteredModel:
        if self.error:
            raise MlflowException("no answer", error_code=self.error)
        return RegisteredModel(name, aliases=[RegisteredModelAlias(*item) for item in self.aliases.items()])

    def set_registered_model_alias(self, _name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version


def test_a_champion_that_gives_no_answers_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model_uri: str, _: pd.DataFrame) -> list[Any]:
        raise RuntimeError(f"no column 'price' in {model_uri}")

    client: Any = FakeClient()
    assert run._champion_answers(client, "iris", ROWS) is None
    client.error = RESOURCE_DOES_NOT_EXIST
    assert run._champion_answers(client, "iris", ROWS) is None
    client.error = INTERNAL_ERROR
    with pytest.raises(MlflowException):  # not the same as no champion
        run._champion_answers(client, "iris", ROWS)
    client.error = None
    client.aliases["champion"] = "4"
    monkeypatch.setattr(run, "answer_elsewhere", fails)
    answers: Future[Any] = Future()
    with pytest.raises(RuntimeError) as failed:
        run._champion_answers(client, "iris", ROWS)
    answers.set_exception(failed.value)
    champion = run._champion(training(tmp_path), ROWS, answers)
    assert champion == Champion("4", None, "no column 'price' in models:/iris/4")


def test_the_champion_is_measured_on_the_same_rows_or_it_is_told_why_not(tmp_path: Path) -> None:
    def evaluate(rows: pd.DataFrame, given: list[Any]) -> dict[str, float]:
        return {"accuracy": sum(rows["target"] == given) / len(rows)}

    measuring = training(tmp_path, evaluate=evaluate)
    answers: Future[Any] = Future()
    answers.set_result(("4", [0, 1, 1]))
    assert run._champion(measuring, ROWS, answers) == Champion("4", 2 / 3)
    answers = Future()
    answers.set_result(("4", [0, 1]))
    champion = run._champion(measuring, ROWS, answers)
    assert champion is not None
    assert champion.value is None
    assert champion.why_none.startswith("evaluate raised ValueError: ")
    answers = Future()
    answers.set_result(None)
    assert run._champion(measuring, ROWS, answers) is None


# Nothing has changed


@pytest.mark.parametrize("gate", ["accepted: good", "refused: bad"])
def test_an_unchanged_version_that_has_been_champion_is_accepted_and_no_candidate(gate: str) -> None:
    client: Any = FakeClient()
    tags = [ModelVersionTag("gate", gate), ModelVersionTag("deployed_at", "2026-01-01")]
    assert run._verdict_again(client, ModelVersion("iris", "4", 0, tags=tags)).accepted
    assert client.aliases == {}


@pytest.mark.parametrize(
    ("tags", "aliases"),
    [
        ({"gate": "accepted: good"}, {"candidate": "4"}),
        ({"gate": "refused: bad"}, {}),
        ({"gate": "accepted: good", "failure": "no answer"}, {}),
    ],
    ids=["accepted", "refused", "failed"],
)
def test_an_unchanged_version_becomes_candidate_if_it_was_accepted_and_never_tried(
    tags: dict[str, str], aliases: dict[str, str]
) -> None:
    client: Any = FakeClient()
    last = ModelVersion("iris", "4", 0, tags=[ModelVersionTag(*tag) for tag in tags.items()])
    assert run._verdict_again(client, last) == Verdict.parse(tags["gate"])
    assert client.aliases == aliases
    client.aliases = {"candidate": "3"}  # as somebody may have chosen
    run._verdict_again(client, last)
    assert client.aliases == {"candidate": "3"}


def test_a_training_waits_while_a_gateway_gets_no_answer_from_the_server() -> None:
    statuses = [502, 502, 200]

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        wait_for_server(url, within=10)
        assert statuses == []
        statuses.append(502)
        with pytest.raises(TrainingError, match="the gateway gets no answer from it"):
            wait_for_server(url, within=0)
        server.shutdown()

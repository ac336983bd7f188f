import json
import os
import subprocess
import sys
from typing import Any

import pytest

from stack.config import CHECKOUT

DIABETES = CHECKOUT / "examples" / "diabetes"
# In a process of its own: that module is called train, as the one of trainer/ is.
ASK = """
import json
from train import TRAINING
data = TRAINING.load_data()
features = data.features(data.held_out)
fitted = TRAINING.initialize_and_train(data.train)
print(json.dumps({
    "rows": [len(data.train), len(data.held_out)],
    "in_both": len(data.train.index.intersection(data.held_out.index)),
    "types": {name: str(kind) for name, kind in features.dtypes.items()},
    "metrics": TRAINING.evaluate(data.held_out, fitted.predict(features).tolist()),
    "metric": TRAINING.gate.metric,
    "threshold": TRAINING.gate.threshold,
    "greater_is_better": TRAINING.gate.greater_is_better,
}))
"""


@pytest.fixture(scope="module")
def diabetes() -> dict[str, Any]:
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=DIABETES,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT / "trainer")},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    found: dict[str, Any] = json.loads(asked.stdout)
    return found


def test_no_patient_is_both_trained_on_and_held_out(diabetes: dict[str, Any]) -> None:
    assert diabetes["in_both"] == 0
    assert sum(diabetes["rows"]) == 442


def test_the_regression_passes_its_own_gate_on_the_held_out_patients(diabetes: dict[str, Any]) -> None:
    assert diabetes["metric"] == "mean_absolute_error"
    assert not diabetes["greater_is_better"]
    assert 0 < diabetes["metrics"]["mean_absolute_error"] <= diabetes["threshold"]
    assert 0.3 < diabetes["metrics"]["r2"] < 1


def test_the_features_are_whole_numbers_floats_and_strings(diabetes: dict[str, Any]) -> None:
    types = dict(diabetes["types"])
    assert (types.pop("age"), types.pop("sex")) == ("int64", "str")
    assert set(types.values()) == {"float64"}


def test_the_example_request_has_the_columns_and_types_of_the_features(diabetes: dict[str, Any]) -> None:
    split = json.loads((DIABETES / "example.json").read_text())["dataframe_split"]
    assert split["columns"] == list(diabetes["types"])
    python_types = {"int64": int, "float64": float, "str": str}
    for row in split["data"]:
        assert [type(value) for value in row] == [python_types[kind] for kind in diabetes["types"].values()]

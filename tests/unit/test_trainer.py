import subprocess
import sys

import pytest
import train
from custom_code import iris_classes

from stack.config import CHECKOUT


def test_class_numbers_are_named() -> None:
    assert iris_classes([0, 2, 1]) == ["setosa", "virginica", "versicolor"]


def test_accuracy_is_measured_on_rows_that_were_not_trained_on() -> None:
    data = train.load_data()
    assert (len(data.train), len(data.held_out)) == (120, 30)
    assert set(data.train.index).isdisjoint(data.held_out.index)
    metrics = train.evaluate(train.initialize_and_train(data.train), data.held_out)
    assert 0.9 < metrics["accuracy"] <= 1
    assert 0 < metrics["log_loss"] < 0.5


@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db", "./mlruns", "databricks"])
def test_a_tracking_uri_that_is_no_servers_is_refused_in_one_sentence(uri: str) -> None:
    refused = subprocess.run(
        [sys.executable, CHECKOUT / "trainer" / "train.py"],
        env={"PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith(
        "train.py: the tracking URI must be a server's, http:// or https://, found"
    )
    assert refused.stderr.count("\n") == 1

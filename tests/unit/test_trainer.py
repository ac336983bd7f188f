import subprocess
import sys

import pandas as pd
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
    classifier = train.initialize_and_train(data.train)
    answers = iris_classes(classifier.predict(data.features(data.held_out).to_numpy()))
    metrics = train.evaluate(data.held_out, answers)
    assert 0.9 < metrics["accuracy"] <= 1
    assert 0.9 < metrics["f1"] <= 1


def test_the_metrics_count_the_wrong_species() -> None:
    rows = pd.DataFrame({"target": [0, 0, 1, 1]})
    right = ["setosa", "setosa", "versicolor", "versicolor"]
    assert train.evaluate(rows, right) == {"accuracy": 1, "f1": 1}
    metrics = train.evaluate(rows, [*right[:3], "setosa"])
    assert metrics == pytest.approx({"accuracy": 3 / 4, "f1": (4 / 5 + 2 / 3) / 2})


def test_the_data_are_split_always_in_the_same_way_and_by_class() -> None:
    one, other = train.load_data(), train.load_data()
    pd.testing.assert_frame_equal(one.train, other.train)
    pd.testing.assert_frame_equal(one.held_out, other.held_out)
    assert one.held_out["target"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}


def test_a_password_in_the_tracking_uri_is_refused_and_not_shown() -> None:
    refused = subprocess.run(
        [sys.executable, CHECKOUT / "trainer" / "train.py"],
        env={"PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": "http://ada:s3cret@127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "train.py: the tracking URI holds a name or a password, which logs would"
    )
    assert "s3cret" not in refused.stdout + refused.stderr


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

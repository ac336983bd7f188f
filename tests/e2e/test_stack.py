"""What is the same in both modes: the same tests, on a native stack and on one in Docker."""

import json
import re
from pathlib import Path

import pytest
import requests
from mlflow.artifacts import download_artifacts
from mlflow.models import Model

from stack.config import CHECKOUT
from tests.e2e.stacks import CLASSES, EXAMPLE, Stack

SPLIT = json.loads(EXAMPLE)["dataframe_split"]
RECORDS = [dict(zip(SPLIT["columns"], row, strict=True)) for row in SPLIT["data"]]
COLUMNS = {name: [record[name] for record in RECORDS] for name in SPLIT["columns"]}
CSV = "\n".join([",".join(SPLIT["columns"]), *(",".join(map(str, row)) for row in SPLIT["data"])])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps({"dataframe_split": SPLIT}), "application/json"),
        (json.dumps({"dataframe_records": RECORDS}), "application/json"),
        (json.dumps({"inputs": COLUMNS}), "application/json"),
        (json.dumps({"instances": RECORDS}), "application/json"),
        (CSV, "text/csv"),
    ],
    ids=["dataframe_split", "dataframe_records", "inputs", "instances", "csv"],
)
def test_every_way_to_ask_gets_the_same_answer(stack: Stack, body: str, content_type: str) -> None:
    answer = stack.post(body, content_type)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": CLASSES}


def test_the_answer_is_written_as_in_the_tutorial(stack: Stack) -> None:
    assert stack.post(EXAMPLE).text == '{"predictions": ["setosa", "versicolor", "virginica"]}'


@pytest.mark.parametrize("path", ["ping", "health", "version"])
def test_the_model_server_says_that_it_is_well(stack: Stack, path: str) -> None:
    answer = requests.get(f"{stack.serving_url}/{path}", timeout=10)
    assert answer.status_code == 200
    assert path != "version" or answer.text == "3.17.2"


@pytest.mark.parametrize(
    "body",
    ["not json", '{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', '{"rows": []}'],
    ids=["not json", "wrong columns", "unknown key"],
)
def test_a_wrong_request_is_refused_and_the_next_one_answered(stack: Stack, body: str) -> None:
    assert 400 <= stack.post(body).status_code < 500
    assert stack.predictions() == CLASSES


def test_the_run_holds_what_was_trained_and_on_what(stack: Stack) -> None:
    version = stack.client.get_model_version_by_alias("iris", "champion")
    run = stack.client.get_run(version.run_id or "")
    assert run.data.params == {"C": "1.0", "max_iter": "200", "test_size": "0.2", "random_state": "42"}
    assert run.data.metrics["accuracy"] > 0.9
    assert run.inputs is not None
    assert {(item.dataset.name, item.tags[0].value) for item in run.inputs.dataset_inputs} == {
        ("iris-train", "training"),
        ("iris-held-out", "evaluation"),
    }


def test_the_registered_model_is_complete_and_made_of_locked_packages(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.tracking_url)
    path = download_artifacts("models:/iris@champion", dst_path=str(tmp_path))
    files = {str(file.relative_to(path)) for file in Path(path).rglob("*") if file.is_file()}
    assert {"artifacts/classifier.joblib", "code/custom_code.py", "iris_classifier.py"} <= files
    assert not any(name.endswith(".pkl") for name in files)
    model = Model.load(path)
    assert model.signature is not None
    assert [column.type.name for column in model.signature.inputs] == ["double"] * 4
    assert model.saved_input_example_info is not None
    locked = (CHECKOUT / "lock" / "runtime.txt").read_text()
    requirements = (Path(path) / "requirements.txt").read_text().split()
    assert len(requirements) == 5
    assert [line for line in requirements if not re.search(rf"^{re.escape(line)}[ ;]", locked, re.M)] == []


def test_no_part_prints_a_warning(stack: Stack) -> None:
    # MLflow's model server warns of a request that says "instances", whoever sends it.
    lines = [
        line for line in stack.logs().splitlines() if "`instances`" not in line and "`inputs`" not in line
    ]
    assert [line for line in lines if "warn" in line.lower()] == []


def test_predict_sends_the_example_or_a_file(stack: Stack, tmp_path: Path) -> None:
    assert json.loads(stack.script("predict").stdout) == {"predictions": CLASSES}
    rows = tmp_path / "rows.csv"
    rows.write_text(CSV)
    assert json.loads(stack.script("predict", str(rows)).stdout) == {"predictions": CLASSES}
    rows.write_text("a,b\n1,2\n")
    refused = stack.script("predict", str(rows), check=False)
    assert refused.returncode == 1
    assert "sepal length (cm)" in refused.stderr


def test_train_and_deploy_move_the_aliases_and_go_on_serving(stack: Stack) -> None:
    before = stack.aliases()
    trained = stack.script("train")
    assert stack.aliases()["champion"] == before["champion"]
    candidate = stack.aliases()["candidate"]
    assert f"registered as version {candidate} of iris: candidate" in trained.stdout
    deployed = stack.script("deploy")
    assert f"version {candidate} of iris is served at {stack.serving_url}" in deployed.stdout
    assert "warn" not in (trained.stdout + trained.stderr + deployed.stdout + deployed.stderr).lower()
    assert stack.aliases() == {"champion": candidate, "previous": before["champion"]}
    assert stack.predictions() == CLASSES

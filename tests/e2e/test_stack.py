"""What is the same in both modes: the same tests, on a native stack and on one in Docker."""

import json
import re
from pathlib import Path

import pytest
import requests
from mlflow.artifacts import download_artifacts
from mlflow.models import Model

from stack.config import CHECKOUT
from tests.e2e.stacks import IRIS, ModelExample, Stack


def bodies(model: ModelExample) -> dict[str, tuple[str, str]]:
    """Write the example in each of the ways that MLflow knows, with its content type."""
    split = model.split
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    columns = {name: [record[name] for record in records] for name in split["columns"]}
    lines = [",".join(split["columns"]), *(",".join(map(str, row)) for row in split["data"])]
    return {
        "dataframe_split": (json.dumps({"dataframe_split": split}), "application/json"),
        "dataframe_records": (json.dumps({"dataframe_records": records}), "application/json"),
        "inputs": (json.dumps({"inputs": columns}), "application/json"),
        "instances": (json.dumps({"instances": records}), "application/json"),
        "csv": ("\n".join(lines), "text/csv"),
    }


@pytest.mark.parametrize("way", bodies(IRIS))
def test_every_way_to_ask_gets_the_same_answer(stack: Stack, way: str) -> None:
    answer = stack.post(*bodies(stack.model)[way])
    assert answer.status_code == 200, answer.text
    assert stack.model.is_right(answer.json()["predictions"])


def test_the_answer_is_written_as_in_the_tutorial(native_stack: Stack) -> None:
    answer = native_stack.post(IRIS.request)
    assert answer.text == '{"predictions": ["setosa", "versicolor", "virginica"]}'


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
    assert stack.model.is_right(stack.predictions())


def test_the_run_holds_what_was_trained_and_on_what(stack: Stack) -> None:
    version = stack.client.get_model_version_by_alias(stack.model.name, "champion")
    run = stack.client.get_run(version.run_id or "")
    assert {"test_size", "random_state"} < set(run.data.params)
    assert run.data.metrics[stack.model.metric] > 0
    assert version.tags["metric"] == f"{stack.model.metric} {run.data.metrics[stack.model.metric]:.6g}"
    assert run.inputs is not None
    assert {(item.dataset.name, item.tags[0].value) for item in run.inputs.dataset_inputs} == {
        (f"{stack.model.name}-train", "training"),
        (f"{stack.model.name}-held-out", "evaluation"),
    }


def test_the_registered_model_is_complete_and_made_of_locked_packages(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.tracking_url)
    path = Path(download_artifacts(f"models:/{stack.model.name}@champion", dst_path=str(tmp_path)))
    assert len(list(path.glob("artifacts/*.joblib"))) == len(list(path.glob("code/*.py"))) == 1
    assert list(path.rglob("*.pkl")) == []
    model = Model.load(path)
    assert model.signature is not None
    assert [column.name for column in model.signature.inputs] == stack.model.split["columns"]
    assert model.saved_input_example_info is not None
    locked = (CHECKOUT / "lock" / "runtime.txt").read_text()
    requirements = (path / "requirements.txt").read_text().split()
    assert len(requirements) >= 4
    assert [line for line in requirements if not re.search(rf"^{re.escape(line)}[ ;]", locked, re.M)] == []


def test_no_part_prints_a_warning(stack: Stack) -> None:
    # MLflow's model server warns of a request that says "instances", whoever sends it.
    lines = [
        line for line in stack.logs().splitlines() if "`instances`" not in line and "`inputs`" not in line
    ]
    assert [line for line in lines if "warn" in line.lower()] == []


def test_predict_sends_the_example_or_a_file(stack: Stack, tmp_path: Path) -> None:
    assert stack.model.is_right(json.loads(stack.script("predict").stdout)["predictions"])
    rows = tmp_path / "rows.csv"
    rows.write_text(bodies(stack.model)["csv"][0])
    assert stack.model.is_right(json.loads(stack.script("predict", str(rows)).stdout)["predictions"])
    rows.write_text("a,b\n1,2\n")
    refused = stack.script("predict", str(rows), check=False)
    assert refused.returncode == 1
    assert stack.model.split["columns"][0] in refused.stderr

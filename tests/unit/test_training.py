"""Trainings at a real tracking server: what is registered, and what is told when something goes wrong."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from workflow import Data, Gate, Training, main, surroundings

from tests.conftest import two_free_ports
from tests.unit.tracking_servers import Server

ROWS = pd.DataFrame({"size": [1.5, 2.0, 4.0], "target": [0, 1, 0]})
PRICED = ROWS.assign(price=pd.Series([Decimal(1)] * len(ROWS), dtype=object))  # has no JSON
SIGNATURE = ModelSignature(Schema([ColSpec(DataType.double, "size")]), Schema([ColSpec(DataType.long)]))
MODEL = """
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return [0] * len(model_input)

set_model(Model())
"""


@dataclass(frozen=True)
class Ended:
    """How a training ended."""

    status: int
    printed: str
    errors: str

    @property
    def last(self) -> str:
        return self.errors.splitlines()[-1]


def talk_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be one that the stack has started for the server at this address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    mlflow.set_tracking_uri(url)
    monkeypatch.setattr(surroundings, "FOUND", surroundings.Servers(url, url))


@pytest.fixture
def tracking_uri(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process talk to the server; put back all that MLflow and the trainings change."""
    before = dict(os.environ)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    talk_to(server.url, monkeypatch)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


def right(directory: Path) -> dict[str, Any]:
    """Describe a training of the model in that directory, in which all is right."""

    def store(_: object, __: pd.DataFrame) -> ModelInfo:
        stored: ModelInfo = mlflow.pyfunc.log_model(
            name="artifacts",
            python_model=str(directory / "model.py"),
            signature=SIGNATURE,
            pip_requirements=[],
        )
        return stored

    return {
        "directory": directory,
        "parameters": {"C": 1.0},
        "gate": Gate("accuracy", threshold=0.5, tolerance=0),
        "load_data": lambda: Data(ROWS, ROWS, "target"),
        "initialize_and_train": lambda _: None,
        "store_pyfunc_model": store,
        "evaluate": lambda rows, answers: {"accuracy": sum(rows["target"] == answers) / len(rows)},
    }


Train = Callable[..., Ended]


@pytest.fixture
def train(
    tracking_uri: None,  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Train:
    """Return a function that trains a model, right but for what is given."""

    def train(
        name: str, *arguments: str, files: Mapping[str, str] = {"model.py": MODEL}, **changes: object
    ) -> Ended:
        for file, text in files.items():
            (tmp_path / file).write_text(text)
        monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py"), *arguments])
        monkeypatch.setenv("MODEL_NAME", name)
        capsys.readouterr()
        status = main(Training(**right(tmp_path) | changes))
        return Ended(status, *capsys.readouterr())

    return train


def test_a_training_registers_the_model_of_its_run_with_the_record_for_the_replay(
    train: Train, server: Server
) -> None:
    ended = train("right")
    assert ended.status == 0
    (version,) = server.versions("right")
    assert f"run id: {version.run_id}" in ended.printed
    assert server.client.get_run(version.run_id).info.status == "FINISHED"
    assert server.client.get_registered_model("right").aliases == {"candidate": version.version}
    replay = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/replay.json")
    assert replay["exchanges"][-1]["answers"] == [0, 0, 0]
    again = train("right")
    assert again.status == 0
    assert "nothing has changed since version 1 of right was trained" in again.printed
    assert len(server.versions("right")) == 1


# What is told, by its cause


def without_artifacts(server: Server) -> Iterator[None]:
    """Leave the server no place for artifacts, as a disk that is full."""
    artifacts = server.home / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.write_text("no directory")
    yield
    artifacts.unlink()


def without_a_table(server: Server) -> Iterator[None]:
    server.sql("ALTER TABLE logged_models RENAME TO elsewhere")
    yield
    server.sql("ALTER TABLE elsewhere RENAME TO logged_models")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        # It answers before it has read all of an upload.
        (without_artifacts, r"(too many 500 error responses|\[Errno \d+\] Connection reset by peer)"),
        (without_a_table, r"\(sqlite3.OperationalError\) no such table: logged_models"),
    ],
)
def test_a_server_that_fails_is_told_with_its_own_words_and_where_its_log_is(
    train: Train, server: Server, broken: Callable[[Server], Iterator[None]], reason: str
) -> None:
    breaking = broken(server)
    next(breaking)
    ended = train("failing")
    next(breaking, None)
    assert ended.status == 1
    assert re.fullmatch(
        f"train.py: the tracking server {server.url} failed: {reason}; see its log: docker compose logs"
        " tracking, or logs/tracking.log in the state directory",
        ended.last,
    )
    assert server.versions("failing") == []


def test_a_server_that_does_not_answer_is_told_as_that(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{two_free_ports()[0]}"
    talk_to(nobody, monkeypatch)
    ended = train("nobody")
    assert ended.status == 1
    assert re.fullmatch(
        rf"train.py: the tracking server {nobody} did not answer: \[Errno \d+\] Connection refused;"
        r" start it, then train again\n",
        ended.errors,
    )


def test_a_request_that_the_server_refuses_is_told_without_advice(train: Train, server: Server) -> None:
    ended = train("refused", parameters={"a?b": 1})
    assert ended.status == 1
    assert ended.last.startswith(f"train.py: the tracking server {server.url} refused a request: INVALID_")
    assert "start it" not in ended.errors


SERIES = MODEL.replace("[0] * len(model_input)", "pd.Series([0] * len(model_input))")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"load_data": lambda: Data(ROWS, PRICED, "target")},
            "train.py: load_data: the train and held_out rows must have the same columns",
        ),
        (
            {"load_data": lambda: Data(PRICED, PRICED, "target")},
            "train.py: clients can't send the held-out rows as JSON: TypeError: Object of type Decimal is not"
            " JSON serializable, in column 'price'; let load_data return such values as numbers or text",
        ),
        (
            {"load_data": lambda: 1 / 0},
            "train.py: load_data raised ZeroDivisionError: division by zero; see the trace above",
        ),
        ({"load_data": lambda: None}, "train.py: load_data returned NoneType, expected Data"),
        (
            {"initialize_and_train": lambda _: mlflow.log_param("C", 2)},
            "train.py: initialize_and_train raised MlflowException: INVALID_PARAMETER_VALUE: Changing param"
            " values is not allowed.",
        ),
        (
            {"initialize_and_train": lambda _: MlflowClient().get_run("none")},
            "train.py: initialize_and_train raised RestException: RESOURCE_DOES_NOT_EXIST: Run with id=none"
            " not found; see the trace above",
        ),
        (
            {"files": {"model.py": SERIES}, "evaluate": lambda _, answers: {"accuracy": sum(answers)}},
            "train.py: evaluate raised TypeError: unsupported operand type(s) for +: 'int' and 'dict'; the"
            " answers that it got are dicts, the first is {'0': 0}: as such a client reads the rows of a"
            " DataFrame or Series; for plain values, let predict return a list or an array; see the trace",
        ),
        (
            {"evaluate": lambda _, answers: {"accuracy": answers[9]}},
            "train.py: evaluate raised IndexError: list index out of range; see the trace above",
        ),
    ],
    ids=[
        "other columns",
        "no JSON",
        "load_data",
        "no Data",
        "a param twice",
        "a run that is not there",
        "a Series",
        "evaluate",
    ],
)
def test_a_mistake_of_the_models_own_code_is_told_as_that(
    train: Train, server: Server, changes: dict[str, Any], told: str
) -> None:
    ended = train("wrong", **changes)
    assert ended.status == 1
    assert ended.last.startswith(told)
    assert "tracking server" not in ended.last
    assert server.versions("wrong") == []


# What the model's own code changes


def afterwards(function: Callable[..., object], change: Callable[[], object]) -> Callable[..., object]:
    """Return the function with that change at its end."""

    def changed(*arguments: object) -> object:
        answer = function(*arguments)
        change()
        return answer

    return changed


def start_another() -> None:
    mlflow.end_run()
    mlflow.start_run()


NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("function", ["load_data", "initialize_and_train", "store_pyfunc_model", "evaluate"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda: mlflow.set_tracking_uri("sqlite:///of-mine.db"),
            "has set the tracking server to sqlite:///of-mine.db, expected {server}, which the stack has set;"
            " remove mlflow.set_tracking_uri(...), and set MLFLOW_TRACKING_URI to use another server",
        ),
        (lambda: mlflow.set_tracking_uri(NOWHERE), f"has set the tracking server to {NOWHERE}"),
        (
            lambda: mlflow.set_registry_uri(NOWHERE),
            f"has set the registry server to {NOWHERE}, expected {{server}}, which the stack has set;"
            " remove mlflow.set_registry_uri(...)",
        ),
    ],
    ids=["another store", "another server", "another registry"],
)
def test_a_server_that_the_models_own_code_has_set_is_told_at_once(
    train: Train, server: Server, function: str, change: Callable[[], None], told: str
) -> None:
    def changes(*_: object) -> None:
        change()
        raise ValueError("which may be the first that one sees of it")

    ended = train("elsewhere", **{function: changes})
    assert ended.status == 1
    assert ended.last.startswith(f"train.py: {function} {told.format(server=server.url)}")
    assert server.versions("elsewhere") == []
    assert mlflow.get_tracking_uri() == server.url


def test_a_server_that_train_py_has_set_is_told_before_anything_is_asked(train: Train) -> None:
    mlflow.set_tracking_uri(NOWHERE)
    ended = train("elsewhere", "--wait")
    assert ended.status == 1
    assert ended.errors.startswith(f"train.py: train.py has set the tracking server to {NOWHERE}, expected")
    assert ended.errors.count("\n") == 1


@pytest.mark.parametrize("function", ["initialize_and_train", "store_pyfunc_model", "evaluate"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            mlflow.end_run,
            "{} has ended the run that the trainer had started; remove mlflow.end_run(), the trainer ends it",
        ),
        (lambda: mlflow.start_run(nested=True), "{} has left a run of its own active, "),
        (start_another, "{} has left a run of its own active, "),
        (
            mlflow.start_run,
            "{} starts a run, but the trainer has started one; log to that one, without mlflow.start_run()",
        ),
    ],
    ids=["ends it", "leaves a nested one", "starts another", "starts one within it"],
)
def test_the_run_must_stay_the_trainers_and_ends_as_failed_otherwise(
    train: Train, server: Server, tmp_path: Path, function: str, change: Callable[[], object], told: str
) -> None:
    name = f"run-{uuid4().hex}"
    ended = train(name, **{function: afterwards(right(tmp_path)[function], change)})
    assert ended.status == 1
    assert ended.last.startswith(f"train.py: {told.format(function)}")
    assert server.versions(name) == []
    assert mlflow.active_run() is None
    experiment = server.client.get_experiment_by_name(name)
    assert experiment is not None
    runs = server.client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FAILED"}


def test_a_model_that_is_logged_to_another_run_is_not_registered(
    train: Train, server: Server, tmp_path: Path
) -> None:
    def nested(*arguments: object) -> object:
        with mlflow.start_run(nested=True):
            return right(tmp_path)["store_pyfunc_model"](*arguments)

    ended = train("nested", store_pyfunc_model=nested)
    assert ended.status == 1
    assert "train.py: the model was logged to the run " in ended.last
    assert server.versions("nested") == []


@pytest.mark.parametrize("function", ["load_data", "initialize_and_train", "store_pyfunc_model", "evaluate"])
def test_a_nested_run_that_has_ended_and_another_experiment_change_nothing(
    train: Train, server: Server, tmp_path: Path, function: str
) -> None:
    def change() -> None:
        mlflow.set_experiment("another")
        with mlflow.start_run(nested=True):
            mlflow.log_metric("loss", 1)

    name = f"harmless-{function}"
    ended = train(name, **{function: afterwards(right(tmp_path)[function], change)})
    assert ended.status == 0
    (version,) = server.versions(name)
    experiment = server.client.get_experiment_by_name(name)
    assert experiment is not None
    assert server.client.get_run(version.run_id).info.experiment_id == experiment.experiment_id
    assert mlflow.get_logged_model(version.source.rpartition("/")[2]).source_run_id == version.run_id
    assert mlflow.artifacts.load_dict(f"runs:/{version.run_id}/replay.json")["exchanges"][-1]["answers"] == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("function", ["load_data", "initialize_and_train", "store_pyfunc_model", "evaluate"])
def test_a_training_that_changes_its_own_code_registers_nothing(
    train: Train, server: Server, tmp_path: Path, function: str
) -> None:
    def change() -> None:
        (tmp_path / "plot.png").write_text("of this training")
        (tmp_path / "model.py").write_text(f"{MODEL}# more")

    ended = train("writing", **{function: afterwards(right(tmp_path)[function], change)})
    assert ended.status == 1
    assert ended.last == (
        f"train.py: model.py, plot.png in {tmp_path} changed during the training, so the version would be of"
        " other code than it says; write by relative paths, and train with ./scripts/train, which runs"
        " train.py in a copy of its directory"
    )
    assert server.versions("writing") == []


# What somebody has deleted


def experiment_of(server: Server, name: str) -> str:
    experiment = server.client.get_experiment_by_name(name)
    assert experiment is not None
    return str(experiment.experiment_id)


def run_mlflow(server: Server, *arguments: str) -> None:
    """Run the command `mlflow` as a user would."""
    command = [sys.executable, "-m", "mlflow", *arguments]
    environment = os.environ | {"MLFLOW_TRACKING_URI": server.url}
    subprocess.run(command, env=environment, check=True, capture_output=True)


def collect_garbage(server: Server, *arguments: str) -> None:
    run_mlflow(
        server,
        "gc",
        f"--backend-store-uri=sqlite:///{server.home / 'mlflow.db'}",
        f"--artifacts-destination={server.home / 'artifacts'}",
        *arguments,
    )


@pytest.mark.parametrize("gone", ["deleted-run", "purged-run", "purged-experiment"])
def test_a_version_whose_run_is_gone_is_trained_anew_and_still_compared_with(
    train: Train, server: Server, gone: str
) -> None:
    name = gone
    assert train(name).status == 0
    (first,) = server.versions(name)
    server.client.set_registered_model_alias(name, "champion", first.version)
    if gone == "purged-experiment":
        number = experiment_of(server, name)
        server.client.delete_experiment(number)
        collect_garbage(server, f"--experiment-ids={number}")
    else:
        server.client.delete_run(first.run_id)
    if gone == "purged-run":
        collect_garbage(server, f"--run-ids={first.run_id}")
    ended = train(name)
    assert ended.status == 0
    assert ended.printed.startswith(
        f"nothing has changed since version 1 of {name} was trained, but its run was deleted, so it is"
        " trained anew\n"
    )
    second, _ = sorted(server.versions(name), key=lambda version: -int(version.version))
    assert server.client.get_run(second.run_id).info.lifecycle_stage == "active"
    assert second.tags["gate"].startswith("accepted: accuracy 0.666667; the champion, version 1, has 0.6666")
    again = train(name)
    assert "nothing has changed since version 2" in again.printed
    assert len(server.versions(name)) == 2


def test_a_deleted_experiment_is_told_with_what_restores_it(train: Train, server: Server) -> None:
    assert train("deleted").status == 0
    number = experiment_of(server, "deleted")
    server.client.delete_experiment(number)
    ended = train("deleted")
    assert ended.status == 1
    command = f"mlflow experiments restore --experiment-id {number}"
    assert ended.errors == (
        "train.py: the experiment deleted was deleted, and MLflow keeps its name, so no run can be stored;"
        f" restore it ({command}, with MLFLOW_TRACKING_URI set), or set another MODEL_NAME\n"
    )
    run_mlflow(server, *command.split()[1:])
    again = train("deleted")
    assert again.status == 0
    assert "nothing has changed since version 1" in again.printed

"""One training: run, judge, register. Nothing is registered until all of it has succeeded."""

import argparse
import json
import math
import os
import sys
import tempfile
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import PandasDataset, from_pandas
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models.model import ModelInfo

from workflow.answers import (
    REPLAY_ROWS,
    Answered,
    SettingError,
    UnfitError,
    answer_elsewhere,
    as_request,
    ask,
    load,
    one_line,
)
from workflow.definition import Data, Gate, Training, TrainingError
from workflow.fingerprint import file_digests, fingerprint
from workflow.gate import Champion, Verdict, judge
from workflow.own_code import check_code, own_code
from workflow.program import CALL, Call, add_options, status_of
from workflow.server import wait_for_server
from workflow.surroundings import check_surroundings
from workflow.versions import check_experiment, check_place, finish, set_candidate, tell, unchanged

REFUSED = 3
# By how much an answer of the image may differ from the trained model's. Floats are computed by the same
# packages on the same kind of machine, but not always by as many threads.
_TOLERANCE, _SINGLE_TOLERANCE = 1e-6, 1e-4


@dataclass(frozen=True)
class Trained:
    """What a run produced: the model that it logged, its metrics, and the gate's verdict."""

    model: ModelInfo
    metrics: dict[str, float]
    verdict: Verdict


def train(training: Training, model_name: str, *, force: bool, wait: bool = False) -> Verdict:
    """Train, unless nothing has changed since the last version, and make what the gate accepts a candidate.

    ``wait`` is for a tracking server that starts at the same time.

    Raises:
        TrainingError: if the model's own code fails, or does not return what it must.
        MlflowException: if the tracking server fails.

    """
    code = file_digests(training.directory)
    with own_code("load_data", training.directory):
        data = training.load_data()
    if not isinstance(data, Data):
        raise TrainingError(f"load_data returned {type(data).__name__}, expected Data; return Data(...)")
    mark = fingerprint(training, data)
    _check_json(data.features(data.held_out).head(REPLAY_ROWS))
    if wait:
        wait_for_server(mlflow.get_tracking_uri())
    client = MlflowClient()
    if not force and (last := unchanged(client, model_name, mark)):
        return _verdict_again(client, last)
    check_experiment(client, model_name)
    check_place(mlflow.set_experiment(model_name))
    with mlflow.start_run() as run:
        trained = _run(training, data, client, model_name, run.info.run_id)
        check_code(code, training.directory)
    metric = training.gate.metric
    tags = {
        "fingerprint": mark,
        "metric": f"{metric} {trained.metrics[metric]:.6g}",
        "gate": str(trained.verdict),
    }
    # The version gets its tags when it is created, so it is never without them.
    registered = mlflow.register_model(
        trained.model.model_uri, model_name, tags=tags, await_registration_for=None
    )
    if trained.verdict.accepted:
        set_candidate(client, registered)
    for name, value in trained.metrics.items():
        print(f"{name} on {len(data.held_out)} held-out rows: {value:.6g}")
    tell(run)
    print(
        f"registered as version {registered.version} of {model_name}:"
        f" {'candidate' if trained.verdict.accepted else 'refused'}"
    )
    return trained.verdict


def _verdict_again(client: MlflowClient, last: ModelVersion) -> Verdict:
    """Return the gate's verdict on a version that was trained before."""
    if "deployed_at" in last.tags:
        return Verdict(True, "it has been champion")  # whatever the gate said: it was promoted
    verdict = Verdict.parse(last.tags["gate"])
    if verdict.accepted:
        finish(client, last)
    return verdict


def _run(training: Training, data: Data, client: MlflowClient, model_name: str, run_id: str) -> Trained:
    features = data.features(data.held_out)
    mlflow.log_params(dict(training.parameters))
    held_out = _dataset(data, data.held_out, f"{model_name}-held-out")
    mlflow.log_input(_dataset(data, data.train, f"{model_name}-train"), context="training")
    mlflow.log_input(held_out, context="evaluation")
    with ThreadPoolExecutor() as pool:
        # Another process does this, so this one trains at the same time.
        champion = pool.submit(_champion_answers, client, model_name, features)
        with own_code("initialize_and_train", training.directory, run_id):
            fitted = training.initialize_and_train(data.train)
        with own_code("store_pyfunc_model", training.directory, run_id):
            model = training.store_pyfunc_model(fitted, data.features(data.train).head(3))
        _check(model, run_id)
        with own_code("predict", training.directory, run_id):
            answered = _ask(model, features)
        mlflow.log_text(json.dumps(_replay(training, answered)), "replay.json")
        metrics = _evaluate(training, data.held_out, answered.answers, run_id)
        mlflow.log_metrics(metrics, model_id=model.model_id, dataset=held_out)
        verdict = judge(
            training.gate, metrics[training.gate.metric], _champion(training, data.held_out, champion)
        )
    return Trained(model, metrics, verdict)


def _ask(model: ModelInfo, features: pd.DataFrame) -> Answered:
    """Ask the model that was logged, also with the params of its input example, if that has any."""
    with tempfile.TemporaryDirectory() as directory:
        path = mlflow.artifacts.download_artifacts(model.model_uri, dst_path=directory)
        try:
            loaded = load(path)
            return ask(loaded, features, loaded.metadata.load_input_example_params(path))
        except UnfitError as error:
            raise TrainingError(f"predict {error}; change predict") from error
        except SettingError as error:
            raise TrainingError(str(error)) from error


def _replay(training: Training, answered: Answered) -> dict[str, Any]:
    """Return what the image is asked before it goes live, and how exact its answers must be."""
    tolerance = training.tolerance
    if tolerance is None:
        tolerance = _SINGLE_TOLERANCE if answered.is_single else _TOLERANCE
    return {"tolerance": tolerance, "exchanges": [asdict(exchange) for exchange in answered.exchanges]}


def _check_json(rows: pd.DataFrame) -> None:
    """Raise TrainingError if a value has no JSON; the text names the columns."""
    try:
        as_request(None, rows)
    except Exception as error:
        columns = [repr(name) for name in rows.columns if not _has_json(rows[[name]])]
        raise TrainingError(
            f"clients can't send the held-out rows as JSON: {one_line(error)}"
            f"{', in column ' if columns else ''}{', '.join(columns)}; let load_data return such values as"
            " numbers or text"
        ) from error


def _has_json(rows: pd.DataFrame) -> bool:
    try:
        as_request(None, rows)
    except Exception:  # whatever the library that writes it raises
        return False
    return True


def _dataset(data: Data, rows: pd.DataFrame, name: str) -> PandasDataset:
    return from_pandas(rows, name=name, targets=data.target)


def _check(model: ModelInfo, run_id: str) -> None:
    if not hasattr(model, "model_id"):
        raise TrainingError(
            "store_pyfunc_model returned nothing, expected what log_model returns; return that"
        )
    if model.run_id != run_id:
        raise TrainingError(
            f"the model was logged to the run {model.run_id}, expected {run_id}, which the trainer has"
            " started; start no run in store_pyfunc_model"
        )
    signature = model.signature
    if signature is None or signature.inputs is None or signature.outputs is None:
        raise TrainingError(
            "the model's signature lacks inputs or outputs, so wrong requests can't be refused; pass"
            " signature=ModelSignature(inputs=..., outputs=...) to log_model"
        )
    if (name := mlflow.get_logged_model(model.model_id).name) != "artifacts":
        raise TrainingError(
            f"the model was logged as {name!r}, expected 'artifacts'; pass name='artifacts' to log_model"
        )
    if model.registered_model_version is not None:
        raise TrainingError(
            f"the model was registered (as version {model.registered_model_version}) before the gate"
            " judged it; do not pass registered_model_name to log_model, the trainer registers it"
        )


def _evaluate(
    training: Training, rows: pd.DataFrame, answers: list[Any], run_id: str | None = None
) -> dict[str, float]:
    as_dicts = (
        f"the answers that it got are dicts, the first is {answers[0]}: as such a client reads the rows of a"
        " DataFrame or Series; for plain values, let predict return a list or an array; "
    )
    hint = as_dicts if isinstance(answers[0], dict) else ""
    with own_code("evaluate", training.directory, run_id, hint):
        metrics = {name: float(value) for name, value in training.evaluate(rows, answers).items()}
    if training.gate.metric not in metrics:
        raise TrainingError(
            f"evaluate does not return {training.gate.metric!r}, which the gate needs; found"
            f" {', '.join(metrics) or 'nothing'}; name one of these in Gate(metric=...)"
        )
    return metrics


def _champion_answers(
    client: MlflowClient, model_name: str, features: pd.DataFrame
) -> tuple[str, list[Any]] | None:
    """Return the champion's version and its answers; None if there is no champion.

    Raises:
        RuntimeError: if the champion returns none; the arguments are its version and why.

    """
    try:
        champion = client.get_registered_model(model_name).aliases.get("champion")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        champion = None
    if champion is None:
        return None
    try:
        return champion, answer_elsewhere(f"models:/{model_name}/{champion}", features)
    except RuntimeError as error:
        raise RuntimeError(champion, str(error)) from error


def _champion(
    training: Training, rows: pd.DataFrame, answers: "Future[tuple[str, list[Any]] | None]"
) -> Champion | None:
    try:
        if (found := answers.result()) is None:
            return None
        version, given = found
    except RuntimeError as error:
        version, why = error.args
        return Champion(version, None, why)
    try:
        return Champion(version, float(training.evaluate(rows, given)[training.gate.metric]))
    except Exception as error:
        return Champion(version, None, f"evaluate raised {one_line(error)}")


def _configured(gate: Gate) -> Gate:
    return replace(
        gate,
        threshold=_bound("GATE_THRESHOLD", gate.threshold),
        tolerance=_bound("GATE_TOLERANCE", gate.tolerance, at_least=0),
    )


def _bound(name: str, default: float, at_least: float = -math.inf) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= at_least:  # NaN, too
        raise TrainingError(
            f"{name} can't be used: expected a number, for GATE_TOLERANCE 0 or more, found {text!r};"
            " change it"
        )
    return value


def main(training: Training) -> int:
    """Run one training; return 0 if its version may be deployed, 1 if it failed, 3 if the gate refused it."""
    CALL.is_training = True
    parser = argparse.ArgumentParser(prog="train.py", description="Train, judge and register the model.")
    add_options(parser)
    call = parser.parse_args(namespace=replace(CALL))
    # MLflow's advice on signatures that it infers, here for data sets; the model's own is explicit.
    warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
    return status_of(lambda: _main(training, call))


def _main(training: Training, call: Call) -> int:
    check_surroundings("train.py")
    directory = training.directory.resolve()
    if not Path(sys.argv[0]).resolve().is_relative_to(directory):
        raise TrainingError(
            f"Training(directory=...) must be the directory of train.py, found {directory}; pass"
            " directory=Path(__file__).parent"
        )
    training = replace(training, gate=_configured(training.gate))
    verdict = train(training, call.model_name, force=call.force, wait=call.wait)
    if not verdict.accepted:
        print(
            f"train.py: the gate refused the version: {verdict.reason}; improve the model, change the bound"
            " (GATE_THRESHOLD, GATE_TOLERANCE), or deploy the version anyway: ./scripts/promote VERSION",
            file=sys.stderr,
        )
        return REFUSED
    return 0

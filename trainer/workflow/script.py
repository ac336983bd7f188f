"""A train.py without a Training: a plain script, which logs a model to MLflow in its own way.

What the script logs is known by a tag, which MLflow gives to all runs and models of this process and of those
that it starts. So nothing is taken that somebody else logs at the same time.
"""

import ast
import json
import os
from pathlib import Path
from uuid import uuid4

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion

from workflow import surroundings
from workflow.definition import TrainingError
from workflow.fingerprint import file_digests, script_fingerprint
from workflow.own_code import check_code, run_file
from workflow.program import CALL
from workflow.server import is_elsewhere, wait_for_server
from workflow.versions import check_experiment, check_place, finish, run_of, set_candidate, tell, unchanged

_TAG = "stack_training"


def run(file: Path) -> int:
    """Run train.py; return the exit status.

    Raises:
        TrainingError: if it fails, or no model came of it.
        MlflowException: if the tracking server fails.

    """
    if not _imports_training(file):
        return _run_script(file)
    status = run_file(file)
    if status == 0 and not CALL.is_training:
        raise TrainingError(
            "train.py imports from workflow what a Training needs, but trains none; end it with"
            " sys.exit(main(TRAINING)), or remove the import, so that it counts as a plain script"
        )
    return status


def _imports_training(file: Path) -> bool:
    """Whether train.py seems to describe a Training; whether it does shows when it has run.

    A Training imports its packages and loads its data while the tracking server starts, and asks it then.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # which the run tells
        return False
    imports = (of for of in ast.walk(tree) if isinstance(of, ast.ImportFrom) and of.module == "workflow")
    return any({"Training", "main"} & {alias.name for alias in of.names} for of in imports)


def _run_script(file: Path) -> int:
    """Run a plain script, and make the model that it logged last a candidate, unless nothing has changed."""
    directory = file.parent
    code, mark = file_digests(directory), script_fingerprint(directory)
    if CALL.wait:
        wait_for_server(surroundings.FOUND.tracking)
    client = MlflowClient()
    if not CALL.force and (last := unchanged(client, CALL.model_name, mark)):
        finish(client, last)
        return 0
    check_experiment(client, CALL.model_name)
    if is_elsewhere():
        experiment = client.get_experiment_by_name(CALL.model_name)
        check_place(experiment or client.get_experiment(client.create_experiment(CALL.model_name)))
    training = uuid4().hex
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps({_TAG: training})
    # Not mlflow.set_experiment: its id would mean another experiment on a server that the script sets.
    os.environ["MLFLOW_EXPERIMENT_NAME"] = CALL.model_name
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)  # MLflow refuses two that differ
    status = run_file(file)
    if CALL.is_training:
        return status
    if status != 0:
        raise TrainingError(
            f"train.py ended with status {status}, so no model of it is taken; what it printed is above"
        )
    moved = surroundings.put_back(file.name)
    check_code(code, directory)
    version = _version(client, training, {"fingerprint": mark})
    if version is None:
        raise moved or TrainingError(
            "train.py has logged no model; log one by log_model(..., input_example=...) of its MLflow flavor"
            " (what save_model writes is not logged)"
        )
    set_candidate(client, version)
    if found := run_of(client, version):
        tell(found)
    print(f"registered as version {version.version} of {version.name}: candidate")
    return 0


def _version(client: MlflowClient, training: str, tags: dict[str, str]) -> ModelVersion | None:
    """Return the version of the script's model, with these tags; None if it has logged no model.

    It is one that the script has registered: the one with an alias, or else the last. If there is none, the
    model that was logged last is registered.
    """
    experiments = [found.experiment_id for found in mlflow.search_experiments()]
    of_script = f"tags.{_TAG} = '{training}'"
    newest = [{"field_name": "creation_timestamp", "ascending": False}]
    models = mlflow.search_logged_models(experiments, of_script, order_by=newest, output_format="list")
    runs = {run.info.run_id for run in mlflow.search_runs(experiments, of_script, output_format="list")}
    uris = [f"models:/{model.model_id}" for model in models if model.status == LoggedModelStatus.READY]
    versions = client.search_model_versions(f"name='{CALL.model_name}'", order_by=["version_number DESC"])
    registered = [version for version in versions if version.source in uris or version.run_id in runs]
    if registered:
        version = _chosen(client, registered)
        for name, value in tags.items():
            client.set_model_version_tag(version.name, version.version, name, value)
        return version
    if not uris:
        return None
    return mlflow.register_model(uris[0], CALL.model_name, tags=tags, await_registration_for=None)


def _chosen(client: MlflowClient, versions: list[ModelVersion]) -> ModelVersion:
    """Return the version to which the script has given an alias of ours or, without, the last."""
    aliases = client.get_registered_model(CALL.model_name).aliases
    named = (aliases.get("candidate"), aliases.get("champion"))
    return next((of for name in named for of in versions if str(of.version) == name), versions[0])

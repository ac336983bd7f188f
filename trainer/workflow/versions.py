"""What is registered: the last version that was trained here, and the candidate; the run of a version."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from workflow.definition import TrainingError
from workflow.server import is_elsewhere


def unchanged(client: MlflowClient, model_name: str, mark: str) -> ModelVersion | None:
    """Return the newest version that was trained here, if its fingerprint is ``mark``, and say so.

    Whatever else was registered since does not count. A version whose run was deleted is trained anew.
    """
    versions = client.search_model_versions(f"name='{model_name}'", order_by=["version_number DESC"])
    last = next((version for version in versions if "fingerprint" in version.tags), None)
    if last is None or last.tags["fingerprint"] != mark:
        return None
    run = run_of(client, last)
    if last.run_id and run is None:
        print(
            f"nothing has changed since version {last.version} of {model_name} was trained, but its run was"
            " deleted, so it is trained anew"
        )
        return None
    print(
        f"nothing has changed since version {last.version} of {model_name} was trained, so nothing is"
        " trained; to train anyway: ./scripts/train --force"
    )
    tell(run)
    return last


def finish(client: MlflowClient, version: ModelVersion) -> None:
    """Let `candidate` name the version if the trainer was killed before it had set the alias."""
    is_left = not {"deployed_at", "failure"} & version.tags.keys()
    if is_left and _candidate(client, version.name) is None:
        client.set_registered_model_alias(version.name, "candidate", version.version)


def set_candidate(client: MlflowClient, version: ModelVersion) -> None:
    """Let `candidate` name the version; say so if it named another, which somebody may have chosen."""
    before = _candidate(client, version.name)
    if before not in (None, str(version.version)):
        print(f"version {before} was the candidate until now; to serve that one: ./scripts/promote {before}")
    client.set_registered_model_alias(version.name, "candidate", version.version)


def check_experiment(client: MlflowClient, name: str) -> None:
    """Raise TrainingError if it was deleted: only somebody who wants its runs back should restore it."""
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise TrainingError(
            f"the experiment {name} was deleted, and MLflow keeps its name, so no run can be stored; restore"
            f" it (mlflow experiments restore --experiment-id {found.experiment_id}, with"
            " MLFLOW_TRACKING_URI set), or set another MODEL_NAME"
        )


def check_place(experiment: Experiment) -> None:
    """Raise TrainingError if files of the experiment's runs would get lost.

    A server that does not take them itself lets its client write them to a path. That is right if both have
    the same file system.
    """
    place = urlsplit(experiment.artifact_location)
    host = urlsplit(mlflow.get_tracking_uri()).hostname
    is_shared = host in ("localhost", "127.0.0.1", "::1") or Path(unquote(place.path)).parent.is_dir()
    if is_elsewhere() and place.scheme in ("", "file") and not is_shared:
        raise TrainingError(
            f"the experiment {experiment.name} keeps its files at {experiment.artifact_location}, which is on"
            " the tracking server's machine, and that server takes none; start it without"
            " --no-serve-artifacts, or with a --default-artifact-root that its clients reach, and rename the"
            " experiment in its UI, because it keeps its place"
        )


def run_of(client: MlflowClient, version: ModelVersion) -> Run | None:
    """Return the run of a version; None if somebody has deleted it, or it never had one."""
    if not version.run_id:
        return None
    try:
        run = client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def tell(run: Run | None) -> None:
    """Print where the run is shown, and its id; a model that was logged outside of a run has none."""
    if run is None:
        return
    run_path = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    print(f"the run is stored at {mlflow.get_tracking_uri()}/{run_path}")
    print(f"run id: {run.info.run_id}")


def _candidate(client: MlflowClient, model_name: str) -> str | None:
    """Return the version that `candidate` names, if any."""
    number: str | None = client.get_registered_model(model_name).aliases.get("candidate")
    return number

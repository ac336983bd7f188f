"""What the model's own code must leave as it found it: MLflow's servers, and the run of the trainer."""

from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient

from workflow.definition import TrainingError


@dataclass(frozen=True)
class Servers:
    """The addresses that MLflow's client uses."""

    tracking: str
    registry: str

    @classmethod
    def now(cls) -> "Servers":
        """Return those that are set now."""
        return cls(mlflow.get_tracking_uri(), mlflow.get_registry_uri())


FOUND = Servers.now()
"""Those that the stack has set: a train.py that changes them does so after it has imported this."""


def check_surroundings(what: str, run_id: str | None = None) -> None:
    """Check that ``what`` has left the servers as they were, and the run of that id active, or none.

    Raises:
        TrainingError: if it has not. Before that, all is put back, so that the run can end as failed.

    """
    if error := put_back(what):
        raise error
    active = mlflow.active_run()
    found = active.info.run_id if active else None
    if found == run_id:
        return
    end_runs(run_id)
    if found is None:
        raise TrainingError(
            f"{what} has ended the run that the trainer had started; remove mlflow.end_run(), the trainer"
            " ends it"
        )
    raise TrainingError(
        f"{what} has left a run of its own active, {found}; end it there, for example by `with"
        " mlflow.start_run(nested=True):`, or log to the run that the trainer starts"
    )


def put_back(what: str) -> TrainingError | None:
    """Use the servers that the stack has set again; return what to tell if ``what`` has set another."""
    now = Servers.now()
    for name, found, expected in (
        ("tracking", now.tracking, FOUND.tracking),
        ("registry", now.registry, FOUND.registry),
    ):
        if found != expected:
            mlflow.set_tracking_uri(FOUND.tracking)
            mlflow.set_registry_uri(FOUND.registry)
            return TrainingError(
                f"{what} has set the {name} server to {found}, expected {expected}, which the stack has set;"
                f" remove mlflow.set_{name}_uri(...), and set MLFLOW_TRACKING_URI to use another server"
            )
    return None


def end_runs(run_id: str | None = None, status: str = "FAILED") -> None:
    """End, with that status, all runs but that one, which the trainer ends, unless it was ended already."""
    while (active := mlflow.active_run()) and active.info.run_id != run_id:
        mlflow.end_run(status)
    if active is None and run_id is not None:
        MlflowClient().set_terminated(run_id, "FAILED")

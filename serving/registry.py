"""The registered model on the tracking server: its versions, their aliases and their tags."""

import json

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info

from serving.replay import Record
from stack.errors import StackError

_MISSING = "RESOURCE_DOES_NOT_EXIST"


class Registry:
    """One registered model. What the tracking server fails at is raised as MLflow's MlflowException."""

    def __init__(self, client: MlflowClient, model_name: str) -> None:
        """Use MLflow's tracking URI, which must be set, too, for what can't be had from a client."""
        self._client = client
        self.model_name = model_name

    def aliases(self) -> dict[str, str]:
        """Return the version number that each alias names.

        Raises:
            StackError: if no such model is registered, or the tracking server does not answer.

        """
        try:
            return dict(self._client.get_registered_model(self.model_name).aliases)
        except MlflowException as error:
            if error.error_code == _MISSING:
                raise StackError(
                    f"no model is registered as {self.model_name}; run: ./scripts/train"
                ) from error
            raise StackError(
                f"the tracking server {self._client.tracking_uri} does not answer ({error}); is the stack up?"
            ) from error

    def version(self, number: str) -> ModelVersion:
        """Return what is registered under that number; StackError if nothing is."""
        try:
            return self._client.get_model_version(self.model_name, number)
        except MlflowException as error:
            if error.error_code not in (_MISSING, "INVALID_PARAMETER_VALUE"):
                raise
            raise StackError(
                f"no version {number} of {self.model_name} is registered;"
                " the MLflow UI shows those that are, under Models"
            ) from error

    def deployed(self) -> dict[str, str]:
        """Return when each version that has been champion last became it."""
        found = self._client.search_model_versions(f"name='{self.model_name}'")
        return {
            str(version.version): version.tags["deployed_at"]
            for version in found
            if "deployed_at" in version.tags
        }

    def record(self, number: str) -> Record:
        """Return what the version's run holds for a replay.

        Raises:
            StackError: if it is not there, or the version has no signature.

        """
        found = self.version(number)
        what = f"version {number} of {self.model_name}"
        signature = get_model_info(f"models:/{self.model_name}/{number}").signature
        if signature is None or signature.inputs is None:
            raise StackError(f"{what} has no signature; train it with one, passed to log_model")
        try:
            if not found.run_id:
                raise StackError(f"{what} has no run")
            text = mlflow.artifacts.load_text(f"runs:/{found.run_id}/replay.json")
        except (MlflowException, StackError) as error:
            raise StackError(
                f"{what} can't be checked: its run has no replay.json, the held-out rows with their answers"
                f" ({error}); train it with ./scripts/train, which logs that"
            ) from error
        replay = json.loads(text)
        return Record(replay["request"], replay["answers"], signature)

    def set_alias(self, alias: str, number: str) -> None:
        """Let the alias name that version."""
        self._client.set_registered_model_alias(self.model_name, alias, number)

    def remove_alias(self, alias: str) -> None:
        """Let the alias name nothing."""
        self._client.delete_registered_model_alias(self.model_name, alias)

    def tag(self, number: str, **tags: str) -> None:
        """Set tags of a version, in this order."""
        for name, value in tags.items():
            self._client.set_model_version_tag(self.model_name, number, name, value)

    def remove_tag(self, number: str, name: str) -> None:
        """Remove a tag of a version, if it has it."""
        if name in self.version(number).tags:
            self._client.delete_model_version_tag(self.model_name, number, name)

"""The registered model on the tracking server: its versions, their aliases and their tags."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info

from stack.errors import StackError, TrackingError
from stack.release.replay import TOLERANCE, Exchange, Record

_MISSING = "RESOURCE_DOES_NOT_EXIST"


class Registry:
    """One registered model. Each method raises TrackingError if the tracking server fails."""

    def __init__(self, client: MlflowClient, model_name: str) -> None:
        """MLflow's tracking URI must be set too, for what the client does not offer."""
        self._client = client
        self.model_name = model_name

    def aliases(self) -> dict[str, str]:
        """Return the version that each alias names; StackError if no such model is registered."""
        missing = f"no model is registered as {self.model_name}; run: ./scripts/train"
        with self._asking(missing):
            return dict(self._client.get_registered_model(self.model_name).aliases)

    def version(self, number: str) -> ModelVersion:
        """Return what is registered under that number; StackError if nothing is."""
        missing = (
            f"no version {number} of {self.model_name} is registered;"
            " the MLflow UI shows those that are, under Models"
        )
        with self._asking(missing):
            return self._client.get_model_version(self.model_name, number)

    def deployed(self) -> dict[str, str]:
        """Return when each version that has been champion last became champion."""
        with self._asking():
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
        with self._asking():
            signature = get_model_info(f"models:/{self.model_name}/{number}").signature
        if signature is None or signature.inputs is None:
            raise StackError(f"{what} has no signature; pass signature=... to log_model and train again")
        try:
            if not found.run_id:
                raise StackError(f"{what} has no run")
            text = mlflow.artifacts.load_text(f"runs:/{found.run_id}/replay.json")
        except (MlflowException, StackError) as error:
            raise StackError(
                f"{what} can't be checked: its run has no replay.json, the held-out rows with their answers"
                f" ({error}); train again with ./scripts/train, which logs that file"
            ) from error
        replay = json.loads(text)
        # Before there were several, the file held one exchange and nothing else.
        exchanges = [Exchange(**found) for found in replay.get("exchanges", [replay])]
        return Record(exchanges, signature, replay.get("tolerance", TOLERANCE))

    def set_alias(self, alias: str, number: str) -> None:
        """Let the alias name that version."""
        with self._asking():
            self._client.set_registered_model_alias(self.model_name, alias, number)

    def remove_alias(self, alias: str) -> None:
        """Let the alias name nothing."""
        with self._asking():
            self._client.delete_registered_model_alias(self.model_name, alias)

    def tag(self, number: str, **tags: str) -> None:
        """Set tags of a version, in this order."""
        for name, value in tags.items():
            with self._asking():
                self._client.set_model_version_tag(self.model_name, number, name, value)

    def remove_tag(self, number: str, name: str) -> None:
        """Remove a tag of a version, if it has it."""
        if name in self.version(number).tags:
            with self._asking():
                self._client.delete_model_version_tag(self.model_name, number, name)

    @contextmanager
    def _asking(self, missing: str = "") -> Iterator[None]:
        """Ask the tracking server; ``missing`` is the error if it does not have what it is asked for."""
        try:
            yield
        except MlflowException as error:
            if missing and error.error_code in (_MISSING, "INVALID_PARAMETER_VALUE"):
                raise StackError(missing) from error
            raise TrackingError.because(self._client.tracking_uri, error) from error

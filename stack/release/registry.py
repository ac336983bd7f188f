"""The registered model on the tracking server: its versions, their aliases and their tags."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info

from stack.errors import StackError, TrackingError

_TAG_LENGTH = 5000  # MLflow refuses a longer one
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_REPLAY = "replay.json"
_URI = re.compile(r"(runs:/[^/]+/.+|models:/[^/@]+(/[0-9]+|@[^/@]+)?)")


class Registry:
    """One registered model. Each method raises TrackingError if the tracking server fails."""

    def __init__(
        self, client: MlflowClient, model_name: str, stores_away: Callable[[], list[str]] = list
    ) -> None:
        """MLflow's tracking URI must be set too, for what the client does not offer.

        ``stores_away`` says what the server lacks, after a failure.
        """
        self._client = client
        self.model_name = model_name
        self._stores_away = stores_away

    def aliases(self) -> dict[str, str]:
        """Return the version that each alias names; StackError if no such model is registered."""
        missing = f"no model is registered as {self.model_name}; run: ./scripts/train"
        with self._asking(missing):
            return dict(self._client.get_registered_model(self.model_name).aliases)

    def registered(self) -> dict[str, list[str]]:
        """Return the number of each version and its aliases; nothing if no such model is registered."""
        with self._asking():
            found = [str(it.version) for it in self._versions()]
        aliases = self.aliases() if found else {}
        return {number: [name for name, of in aliases.items() if of == number] for number in found}

    def version(self, number: str) -> ModelVersion:
        """Return what is registered under that number; StackError if nothing is."""
        missing = (
            f"no version {number} of {self.model_name} is registered;"
            " the MLflow UI shows those that are, under Models"
        )
        with self._asking(missing):
            return self._client.get_model_version(self.model_name, number)

    def register(self, uri: str) -> str:
        """Register the model at a runs:/ or models:/ URI; return the number of the version.

        A model that is a version here already stays that version.

        Raises:
            StackError: if it is no such URI, or names no model.

        """
        if not _URI.fullmatch(uri):
            raise StackError(
                f"no version to promote: expected its number, runs:/RUN_ID/NAME, models:/NAME/VERSION or"
                f" models:/MODEL_ID, found {uri!r}"
            )
        try:
            source = self._source(uri)
            if source.startswith(f"models:/{self.model_name}/"):
                return source.rpartition("/")[2]
            files = self._files(source)
            known = sorted((str(it.version) for it in self._versions()), key=int, reverse=True)
            same = (it for it in known if self._files(f"models:/{self.model_name}/{it}") == files)
            if found := next(same, None):
                print(f"{uri} is registered already, as version {found} of {self.model_name}", flush=True)
                return found
            registered = mlflow.register_model(source, self.model_name, await_registration_for=None)
        except MlflowException as error:
            if error.error_code in (_MISSING, "INVALID_PARAMETER_VALUE"):
                raise StackError(
                    f"{uri} can't be registered ({error.message.rstrip('.')}); the MLflow UI shows all models"
                ) from error
            raise self._failed(error) from error
        return str(registered.version)

    def _versions(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name='{self.model_name}'"))

    def _source(self, uri: str) -> str:
        """Return models:/NAME/VERSION or models:/MODEL_ID; runs:/ for mere files of a run."""
        if uri.startswith("models:/"):
            name, _, alias = uri.removeprefix("models:/").partition("@")
            if not alias:
                return uri
            return f"models:/{name}/{self._client.get_model_version_by_alias(name, alias).version}"
        info = get_model_info(uri)
        # Files that were copied into a run still name the model that they were copied from.
        is_own = uri.startswith(f"runs:/{info.run_id}/")
        return f"models:/{info.model_id}" if info.model_id and is_own else uri

    def _files(self, uri: str) -> str:
        """Return where the files of a model lie; ``uri`` has no alias."""
        scheme, _, name = uri.partition(":/")
        head, _, tail = name.partition("/")
        if scheme == "runs":
            return f"{self._client.get_run(head).info.artifact_uri}/{tail}"
        if tail:
            return str(self._client.get_model_version_download_uri(head, tail))
        return str(self._client.get_logged_model(head).artifact_location)

    def deployed(self) -> dict[str, str]:
        """Return when each version that has been champion last became champion."""
        with self._asking():
            found = self._versions()
        return {str(of.version): of.tags["deployed_at"] for of in found if _was_deployed(of)}

    def replay(self, number: str) -> dict[str, Any] | None:
        """Return the held-out rows with their answers that the workflow logged when it trained the version.

        None if somebody else has logged it, or if its run was deleted for good. A copy of a version has that
        version's run and tags.
        """
        found = self.version(number)
        if not found.run_id or "fingerprint" not in found.tags:
            return None
        try:
            files = [file.path for file in self._client.list_artifacts(found.run_id)]
            if _REPLAY not in files:
                return None
            replay: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{found.run_id}/{_REPLAY}")
        except MlflowException as error:
            if error.error_code == _MISSING:
                return None
            raise self._failed(error) from error
        return replay

    def fetch(self, number: str, directory: Path) -> Path:
        """Download the version's files into a new directory in this one; return that.

        Raises:
            StackError: if there are none, they lie where this process can't read them, or there is no room.

        """
        uri, files = f"models:/{self.model_name}/{number}", directory / "model"
        missing = (
            f"the tracking server has no files for version {number} of {self.model_name};"
            " train again, or deploy another version"
        )
        files.mkdir()
        with self._asking(missing):
            try:
                mlflow.artifacts.download_artifacts(uri, dst_path=str(files))
            except Exception as error:  # each kind of store has its own
                if os.strerror(errno.ENOSPC) in str(error):
                    raise StackError(
                        f"there is no room in {directory.parent} for the files of version {number} of"
                        f" {self.model_name}; make room there, then run this again"
                    ) from error
                if isinstance(error, MlflowException):
                    raise
                source = self.version(number).source
                raise StackError(
                    f"the files of version {number} of {self.model_name} can't be read from {source}"
                    f" ({error}); deploy another version"
                ) from error
        if not (files / "MLmodel").exists():
            raise StackError(missing)
        return files

    def set_alias(self, alias: str, number: str) -> None:
        """Let the alias name that version."""
        with self._asking():
            self._client.set_registered_model_alias(self.model_name, alias, number)

    def remove_alias(self, alias: str) -> None:
        """Let the alias name nothing."""
        with self._asking():
            self._client.delete_registered_model_alias(self.model_name, alias)

    def tag(self, number: str, **tags: str) -> None:
        """Set tags of a version, in this order; what is too long for one is cut off."""
        for name, value in tags.items():
            with self._asking():
                self._client.set_model_version_tag(self.model_name, number, name, value[:_TAG_LENGTH])

    def remove_tag(self, number: str, name: str) -> None:
        """Remove a tag of a version, if it has it."""
        if name in self.version(number).tags:
            with self._asking():
                self._client.delete_model_version_tag(self.model_name, number, name)

    def _failed(self, error: Exception) -> TrackingError:
        return TrackingError.because(self._client.tracking_uri, error, self._stores_away())

    @contextmanager
    def _asking(self, missing: str = "") -> Iterator[None]:
        """Ask the tracking server; ``missing`` is the error if it does not have what it is asked for."""
        try:
            yield
        except MlflowException as error:
            if missing and error.error_code in (_MISSING, "INVALID_PARAMETER_VALUE"):
                raise StackError(missing) from error
            raise self._failed(error) from error


def _was_deployed(version: ModelVersion) -> bool:
    """Whether this stack has deployed it; a copy has the tags of the version that it was made of."""
    at = version.tags.get("deployed_at")
    return at is not None and datetime.fromisoformat(at).timestamp() >= version.creation_timestamp // 1000

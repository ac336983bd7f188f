"""How a version is baked and served without Docker: as a directory, by a local process.

All state lies in one directory: mlflow.db and artifacts/ of the tracking server, models/ with a directory
for each baked version, logs/, and run/ with the locks of the processes.
"""

import hashlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.config import Config
from stack.errors import LockedError, StackError, TrackingError
from stack.modes import model_servers
from stack.modes.answering import answer_command, answered
from stack.modes.mode import Check, Served, Service, nothing
from stack.modes.model_servers import MODEL_SERVER, ModelServers, Note
from stack.modes.parts import Parts
from stack.modes.processes import Process, part_environment
from stack.modes.requirements import check_requirements
from stack.wait import wait_until


@dataclass(frozen=True)
class Native:
    """Bakes a directory, and serves it from a local process."""

    config: Config

    @property
    def starts_beside(self) -> bool:
        """Two processes can share a port."""
        return True

    def process(self, name: str) -> Process:
        """Return the process of that name, running or not."""
        return Process(self.config.home, name)

    @property
    def servers(self) -> ModelServers:
        """The model server, or two during a switch."""
        return ModelServers(self.config)

    @property
    def is_up(self) -> bool:
        """Whether any process of the stack runs."""
        return Parts(self.config).is_up

    def model_directory(self, version: str) -> Path:
        """Return where the version's baked files lie."""
        return self._models / version

    def answer(self, model: Path, request: str, on_wait: Callable[[], None]) -> str:
        """Return what the model in a directory answers to a request."""
        own = {**self.config.model_environment, "MLFLOW_DISABLE_TELEMETRY": "true"}
        with tempfile.TemporaryDirectory() as directory:
            return answered(
                answer_command(sys.executable, str(model)),
                request,
                environment=part_environment(os.environ, **own),
                directory=Path(directory),
                timeout=self.config.server_timeout,
                on_wait=on_wait,
            )

    def bake(self, version: str) -> None:
        """Fetch the version's files; they get their final place when they are complete.

        MLflow's tracking URI must be set.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        target = self.model_directory(version)
        partial = target.with_name(f"{version}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            download_artifacts(f"models:/{self.config.model_name}/{version}", dst_path=str(partial))
        except MlflowException as error:
            raise TrackingError.because(self.config.tracking_url, error) from error
        if not (partial / "MLmodel").exists():
            raise StackError(
                f"the tracking server has no files for version {version} of {self.config.model_name};"
                " train again, or deploy another version"
            )
        check_requirements(partial, f"version {version} of {self.config.model_name}")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def check(self) -> None:
        """Raise StackError if no stack is up here."""
        if not self.is_up:
            raise StackError("no stack without Docker is running here; run: ./scripts/up --native")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep out other deployments, and show `up` that the model server may be replaced."""
        switch = self.process("switch")
        try:
            lock = switch.claim()
        except StackError:
            raise LockedError(
                f"another deployment is running (process {switch.pid()}); wait until it ends"
            ) from None
        with lock:
            yield

    def clean_up(self) -> None:
        """Stop what a killed deployment left running; remove what it had fetched only in part."""
        self.process("trial").stop()
        self.servers.clean_up()
        for partial in self._models.glob("*.partial"):
            shutil.rmtree(partial)

    def image_id(self, version: str) -> str:
        """Return a digest of the version's files and the model server's; it stands for the image id."""
        model = self.model_directory(version)
        if not model.exists():
            return ""
        digest = hashlib.sha256()
        for directory in (model, MODEL_SERVER):
            for file in sorted(directory.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    with file.open("rb") as contents:
                        content = hashlib.file_digest(contents, "sha256").hexdigest()
                    digest.update(f"{content} {file.relative_to(directory)}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    def fits_beside(self) -> bool:
        """Whether there is memory for a second model server beside the one that serves."""
        return self.servers.fits_beside()

    @contextmanager
    def trial(self, version: str) -> Iterator[str]:
        """Serve the version's files on a free port."""
        trial = self.process("trial")
        try:
            yield self.servers.start(trial, self._note(version), str(self.model_directory(version)))
        finally:
            trial.stop()

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve the version's files in place of what is served now."""
        self.servers.replace(self._note(version), str(self.model_directory(version)), check)

    def stop_serving(self) -> None:
        """Stop the model server."""
        for process in self.servers.processes():
            process.stop()

    def last_log(self) -> str:
        """Return the end of the log of the trial or, if none runs, of the model servers."""
        trial = self.process("trial")
        return (trial if trial.is_running() else self.servers.processes()[0]).log_tail()

    def served(self) -> Served | None:
        """Return what was noted when the running model server started."""
        current = self.servers.current()
        if current is None:
            return None
        note = Note.of(current)
        return Served(note.model_name, note.version, note.image_id, model_servers.is_healthy(current))

    def is_current(self) -> bool:
        """Whether the running model server was started with today's settings."""
        current = self.servers.current()
        return current is not None and Note.of(current).settings == self.servers.settings()

    def remember(self, version: str) -> None:
        """Keep the note of the model server that serves the version."""
        self.servers.remember(version)

    def last_served(self) -> str | None:
        """Return the version that was served last, if its files and the model server are the same."""
        note = self.servers.last_served()
        is_same = bool(note.image_id) and note.image_id == self.image_id(note.version)
        return note.version if is_same and note.model_name == self.config.model_name else None

    def baked_versions(self) -> list[str]:
        """Return the versions whose files are there."""
        return [path.name for path in self._models.glob("*") if path.name.isdigit()]

    def discard(self, version: str) -> None:
        """Remove the version's files, unless they are served."""
        served = self.served()
        if served is None or (served.model_name, served.version) != (self.config.model_name, version):
            shutil.rmtree(self.model_directory(version))

    def tidy(self) -> None:
        """Nothing to do: a bake takes the place of what was there."""

    def services(self) -> list[Service]:
        """Return the state of each part's process."""
        parts = {name: self.process(name) for name in ("tracking", "trainer", "deploy")}
        running = {name: process for name, process in parts.items() if process.is_running()}
        if serving := self.servers.current():
            running["serving"] = serving
        return [
            Service(name, True, "up", running[name].started_at())
            if name in running
            else Service(name, False, "not running", None)
            for name in (*parts, "serving")
        ]

    @property
    def _models(self) -> Path:
        return self.config.home / "models" / self.config.model_name

    def _note(self, version: str) -> Note:
        return Note(self.config.model_name, version, self.image_id(version))

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when no trainer that `up` has started runs."""
        trainer = self.process("trainer")
        wait_until(lambda: "training" if trainer.is_running() else None, timeout=math.inf, on_wait=on_wait)

"""How the parts are started, and how a version is baked and served, without Docker: as local processes.

All state lies in one directory: mlflow.db and artifacts/ of the tracking server, models/ with a directory
for each baked version, logs/, and run/ with the locks of the processes.
"""

import hashlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from stack.config import CHECKOUT, Config
from stack.errors import StackError, TrackingError
from stack.modes import model_servers
from stack.modes.mode import Check, Served, Service, nothing
from stack.modes.model_servers import MODEL_SERVER, ModelServers, Note, wait_until_healthy
from stack.modes.processes import Process, failure, part_environment
from stack.wait import wait_until

# Whoever starts a part is stopped before it: "switch" is a deployment, by whomever it was started.
STOP_ORDER = ("deploy", "switch", "trial", "trainer", *model_servers.NAMES, "tracking")


@dataclass(frozen=True)
class Native:
    """Bakes a directory, and serves it from a local process; starts and stops all the parts.

    ``on_wait`` is called again and again while something is waited for; what it raises ends the waiting.
    """

    config: Config
    on_wait: Callable[[], None] = lambda: None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def process(self, name: str) -> Process:
        """Return the process of that name, running or not."""
        return Process(self.config.home, name)

    @property
    def servers(self) -> ModelServers:
        """The model server, or two during a switch."""
        return ModelServers(self.config, self.on_wait, self.environ)

    @property
    def is_up(self) -> bool:
        """Whether any process of the stack runs."""
        processes = [self.process(name) for name in ("up", *STOP_ORDER)]
        return any(process.is_running() or process.members() for process in processes)

    def model_directory(self, version: str) -> Path:
        """Return where the version's baked files lie."""
        return self._models / version

    def bake(self, version: str) -> None:
        """Fetch the version's files; they get their final place only when they are complete.

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
        if missing := unmet_requirements(partial / "requirements.txt"):
            raise StackError(
                f"version {version} of {self.config.model_name} needs packages that the lock lacks:"
                f" {', '.join(missing)}; add them to pyproject.toml, and run ./scripts/upgrade PACKAGE"
            )
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other deployments away, and tell whoever watches serving that it may be replaced."""
        if not self.is_up:
            raise StackError("no stack without Docker is running here; run: ./scripts/up --native")
        with self.process("switch").claim():
            yield

    def clean_up(self) -> None:
        """Stop what a deployment that was killed left running; remove what it had fetched by half."""
        self.process("trial").stop()
        self.servers.clean_up()
        for partial in self._models.glob("*.partial"):
            shutil.rmtree(partial)

    def image_id(self, version: str) -> str:
        """Return a digest of the version's files and the model server's: here, they are what an image is."""
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

    def served(self) -> Served | None:
        """Return what is noted of the model server that runs."""
        current = self.servers.current()
        if current is None:
            return None
        note = Note.of(current)
        return Served(note.model_name, note.version, note.image_id, model_servers.is_healthy(current))

    def is_current(self) -> bool:
        """Whether the model server that runs was started with the settings of today."""
        current = self.servers.current()
        return current is not None and Note.of(current).settings == self.servers.settings()

    def last_served(self) -> str | None:
        """Return the version that was served last, if its files and the model server are the same."""
        note = self.servers.last_note()
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

    def start_tracking(self) -> None:
        """Start the tracking server; it is not waited for."""
        home = self.config.home
        tracking = self.process("tracking")
        tracking.start(
            [sys.executable, str(CHECKOUT / "tracking" / "server.py")],
            part_environment(
                self.environ,
                CHECKOUT / "tracking" / "server.env",
                MLFLOW_HOST="127.0.0.1",
                MLFLOW_PORT=str(self.config.tracking_port),
                MLFLOW_BACKEND_STORE_URI=f"sqlite:///{home / 'mlflow.db'}",
                MLFLOW_ARTIFACTS_DESTINATION=str(home / "artifacts"),
            ),
            home,
        )

    def wait_for_tracking(self) -> None:
        """Return when the tracking server is healthy, by whomever it was started."""
        wait_until_healthy(self.process("tracking"), self.config.own_tracking_url, self.on_wait)

    @contextmanager
    def jobs(self) -> Iterator[Callable[[str], str]]:
        """Start the trainer and the deployment at once; each waits for what it needs, its packages imported.

        Yields a function that waits for the one of that name to end, and returns what it printed; StackError
        if it failed, or the tracking server ended meanwhile. What still runs in the end is stopped.
        """
        children = {}
        try:
            children["trainer"] = self._start(
                "trainer", ["train.py", "--wait"], self.config.model_dir, self.config.trainer_environment()
            )
            children["deploy"] = self._start(
                "deploy",
                ["-m", "stack", "deploy", "--native", "--wait"],
                CHECKOUT,
                self.config.client_environment(),
            )
            yield lambda name: self._finish(name, children[name])
        finally:
            for name, child in reversed(children.items()):
                if child.poll() is None:
                    self.process(name).stop()

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when no trainer that `up` has started is at work."""
        trainer = self.process("trainer")
        wait_until(lambda: "training" if trainer.is_running() else None, timeout=math.inf, on_wait=on_wait)

    def watch(self, watched: set[str]) -> set[str]:
        """Return which of the servers run, to be watched next; not the model server while it may be replaced.

        Raises:
            StackError: if one of those ``watched`` has ended by itself.

        """
        running = self._running() - self._may_be_replaced()
        for name in watched - running - self._may_be_replaced():
            # Asked again, for a switch that has begun or come to its end between the questions.
            if name not in self._running() | self._may_be_replaced():
                log = self.process(name)
                raise failure(log, "has ended by itself, so the stack is stopped")
        return running

    def _running(self) -> set[str]:
        """Return which of the servers run."""
        found = {"tracking"} if self.process("tracking").is_running() else set()
        return found | ({"serving"} if self.servers.current() else set())

    def _may_be_replaced(self) -> set[str]:
        return {"serving"} if self.process("switch").is_running() else set()

    def stop(self) -> None:
        """Stop all the parts; StackError, after the last, if one does not end."""
        self._stop(STOP_ORDER)

    def stop_left_over(self) -> bool:
        """Stop what a killed `up` left behind, but no healthy model server; return whether there is one."""
        current = self.servers.current()
        kept = {current.name} if current and model_servers.is_healthy(current) else set()
        self._stop([name for name in STOP_ORDER if name not in kept])
        return bool(kept)

    def _stop(self, names: Iterable[str]) -> None:
        stuck = []
        for name in names:
            try:
                self.process(name).stop()
            except StackError as error:
                stuck.append(str(error))
        if stuck:
            raise StackError("; ".join(stuck))

    def _start(
        self, name: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return self.process(name).start(
            [sys.executable, *arguments],
            part_environment(
                self.environ,
                **environment,
                TRACKING_PORT=str(self.config.tracking_port),
                SERVING_PORT=str(self.config.serving_port),
                STACK_HOME=str(self.config.home),
            ),
            cwd,
        )

    def _finish(self, name: str, child: subprocess.Popen[bytes]) -> str:
        while (status := _status(child)) is None:
            self.on_wait()
            self.watch({"tracking"})
        if status != 0:
            raise failure(self.process(name), f"ended with status {status}")
        return self.process(name).log_tail()


def unmet_requirements(file: Path) -> list[str]:
    """Return those of a model's pip requirements that are not installed here in a version that they allow."""
    unmet = []
    for line in file.read_text().splitlines():
        text = line.partition(" #")[0].rstrip("\\ ").strip()
        if not text or text.startswith(("#", "-")):  # a comment, an option of pip's
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            unmet.append(f"{text} (not in the form NAME==VERSION)")
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = installed_version(wanted.name)
        except PackageNotFoundError:
            found = ""
        if not found or not wanted.specifier.contains(found, prereleases=True):
            unmet.append(f"{text} ({found or 'not'} installed)")
    return unmet


def _status(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return None

"""How the parts are started, and how a version is baked and served, without Docker: as local processes.

All state lies in one directory: mlflow.db and artifacts/ of the tracking server, models/ with a directory
for each baked version, logs/, and run/ with the locks of the processes.
"""

import hashlib
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from dotenv import dotenv_values
from packaging.requirements import InvalidRequirement, Requirement

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.mode import Check, Served, Service, nothing
from stack.processes import Process
from stack.wait import not_healthy, wait_until

# Whoever starts a part is stopped before it: "switch" is a deployment, by whomever it was started.
STOP_ORDER = ("deploy", "switch", "trial", "trainer", "serving", "tracking")
_HEALTHY_WITHIN = 120
_MODEL_SERVER = CHECKOUT / "serving" / "server"
# Such settings in the user's shell are for the user's own servers, or have been read by stack.config.
_FOREIGN = ("MLFLOW_", "UVICORN_", "GUNICORN_", "WEB_CONCURRENCY", "SERVER_", "PYTHONPATH")


def part_environment(environ: Mapping[str, str], *server_env: Path, **values: str) -> dict[str, str]:
    """Return the environment of a part: the user's, then the part's settings file, then ``values``."""
    own = {name: value for name, value in environ.items() if not name.startswith(_FOREIGN)}
    for file in server_env:
        own |= {name: value for name, value in dotenv_values(file).items() if value is not None}
    return own | values


def failure(process: Process, what: str) -> StackError:
    """Return the error that says what befell ``process``, and shows the end of its log."""
    return StackError(f"{process.name} {what}. The end of its log, {process.log}:\n{process.log_tail()}")


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

        target = self.model_directory(version)
        partial = target.with_name(f"{version}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        download_artifacts(f"models:/{self.config.model_name}/{version}", dst_path=str(partial))
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
        """Stop a server that was tried out when its deployment was killed; remove what was half fetched."""
        self.process("trial").stop()
        for partial in self._models.glob("*.partial"):
            shutil.rmtree(partial)

    def image_id(self, version: str) -> str:
        """Return a digest of the version's files and the model server's: here, they are what an image is."""
        model = self.model_directory(version)
        if not model.exists():
            return ""
        digest = hashlib.sha256()
        for directory in (model, _MODEL_SERVER):
            for file in sorted(directory.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    with file.open("rb") as contents:
                        content = hashlib.file_digest(contents, "sha256").hexdigest()
                    digest.update(f"{content} {file.relative_to(directory)}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    @contextmanager
    def trial(self, version: str) -> Iterator[str]:
        """Serve the version's files on a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        trial = self.process("trial")
        try:
            yield self._start_model_server(trial, version, port)
        finally:
            trial.stop()

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve the version's files in place of what is served now."""
        serving = self.process("serving")
        serving.stop()
        try:
            check(self._start_model_server(serving, version, self.config.serving_port))
        except StackError:
            serving.stop()
            raise

    def served(self) -> Served | None:
        """Return what the process noted when it was started."""
        serving = self.process("serving")
        if not serving.is_running():
            return None
        model_name, version, *_ = serving.note().split()
        is_healthy = not_healthy(self.config.serving_url) is None
        image_id = self.image_id(version) if model_name == self.config.model_name else ""
        return Served(model_name, version, image_id, is_healthy)

    def last_served(self) -> str | None:
        """Return the version that the last process notes, if its files and the server are the same."""
        serving = self.process("serving")
        if not serving.lock.exists():
            return None
        model_name, version, image_id = [*serving.note().split(), "", "", ""][:3]
        is_same = bool(image_id) and image_id == self.image_id(version)
        return version if is_same and model_name == self.config.model_name else None

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
        parts = [(name, self.process(name)) for name in ("tracking", "trainer", "deploy", "serving")]
        return [
            Service(name, True, "up", process.started_at())
            if process.is_running()
            else Service(name, False, "not running", None)
            for name, process in parts
        ]

    @property
    def _models(self) -> Path:
        return self.config.home / "models" / self.config.model_name

    def _start_model_server(self, process: Process, version: str, port: int) -> str:
        """Return the URL at which it answers."""
        image_id = self.image_id(version)
        process.start(
            [sys.executable, "-m", "model_server"],
            part_environment(
                self.environ,
                **self.config.server,
                PYTHONPATH=str(_MODEL_SERVER),
                MLFLOW_DISABLE_TELEMETRY="true",
                SERVER_HOST="127.0.0.1",
                SERVER_PORT=str(port),
                __pyfunc_model_path__=str(self.model_directory(version)),
                MODEL_NAME=self.config.model_name,
                MODEL_VERSION=version,
                IMAGE_ID=image_id,
            ),
            self.config.home,  # not the checkout, whose modules no image has
            note=f"{self.config.model_name} {version} {image_id}",
        )
        url = f"http://127.0.0.1:{port}"
        self._wait_healthy(process, url)
        return url

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
        self._wait_healthy(self.process("tracking"), self.config.own_tracking_url)

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
                ["-m", "serving", "deploy", "--native", "--wait"],
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
        switch = self.process("switch")
        exempt = {"serving"} if switch.is_running() else set()
        running = {name for name in ("tracking", "serving") if self.process(name).is_running()} - exempt
        for name in watched - running - exempt:
            # Asked again, for a switch that has begun or come to its end between the questions.
            if not (self.process(name).is_running() or (name == "serving" and switch.is_running())):
                raise failure(self.process(name), "has ended by itself, so the stack is stopped")
        return running

    def stop(self) -> None:
        """Stop all the parts; StackError, after the last, if one does not end."""
        stuck = []
        for name in STOP_ORDER:
            try:
                self.process(name).stop()
            except StackError as error:
                stuck.append(str(error))
        if stuck:
            raise StackError("; ".join(stuck))

    def _wait_healthy(self, process: Process, url: str) -> None:
        try:
            wait_until(
                lambda: not_healthy(url),
                timeout=_HEALTHY_WITHIN,
                alive=process.is_running,
                on_wait=self.on_wait,
            )
        except StackError as error:
            raise failure(process, f"did not start: {error}") from error

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

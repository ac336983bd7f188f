"""How a version is baked and served without Docker: as a directory, by a local process.

All state lies in one directory: mlflow.db and artifacts/ of the tracking server, models/ with a directory
for each baked version, environments/ for models that the lock does not do for, logs/, and run/ with the
locks of the processes.
"""

import hashlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stack.cluster import Cluster
from stack.config import Config
from stack.errors import LockedError, StackError
from stack.modes import at_stores, model_servers, native_environment, native_gateway, native_spark
from stack.modes.answering import answer_command, answered
from stack.modes.environment import Environment, is_of_todays_lock
from stack.modes.mode import AtStores, Check, ScoredPaths, Scorer, Served, Service, Unneeded, nothing
from stack.modes.model_servers import MODEL_SERVER, ModelServers, Note
from stack.modes.parts import Parts
from stack.modes.processes import Process, part_environment
from stack.wait import wait_until

_PARTIAL, _ENVIRONMENT = ".partial", ".environment"
_NO_SPLIT = "there is no canary without Docker; promote without --canary, or use Docker and the gateway"


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

    @property
    def python(self) -> str:
        """That of .venv."""
        return native_environment.own_python()

    def scratch(self) -> AbstractContextManager[str]:
        """Make it beside the baked models, so that a model's files are moved and not copied."""
        self._models.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self._models, suffix=_PARTIAL)

    def prepare(self, environment: Environment, on_wait: Callable[[], None]) -> str:
        """Make a virtual environment, if it is not there; return the packages that it holds."""
        return native_environment.prepare(self.config.home, environment, on_wait)

    def answer(
        self, model: Path, environment: Environment | None, request: str, on_wait: Callable[[], None]
    ) -> str:
        """Return what the model in a directory answers to a request."""
        own = {**self.config.model_environment, "MLFLOW_DISABLE_TELEMETRY": "true"}
        with tempfile.TemporaryDirectory() as directory:
            return answered(
                answer_command(self._python(environment.key if environment else ""), str(model)),
                request,
                environment=part_environment(os.environ, **own),
                directory=Path(directory),
                timeout=self.config.server_timeout,
                on_wait=on_wait,
            )

    def check_spark(self, cluster: Cluster) -> None:  # noqa: ARG002
        """Raise StackError if this machine lacks Java."""
        native_spark.check_java()

    def scorer(
        self,
        model: Path,
        environment: Environment | None,
        paths: ScoredPaths,  # noqa: ARG002
        cluster: Cluster | None,
    ) -> Scorer:
        """Return how the scorer is started: as a process of the environment's Python."""
        own = {**self.config.model_environment, "MLFLOW_DISABLE_TELEMETRY": "true"}
        searched = [str(MODEL_SERVER)]
        if cluster:
            spark = native_spark.prepare(self.config.home)
            searched.append(str(spark))
            own |= native_spark.variables(spark, model.parent)
        python = self._python(environment.key if environment else "")
        return Scorer(
            [python, "-P", "-m", "scorer"],
            part_environment(
                native_spark.without_sparks(os.environ) if cluster else os.environ,
                **own,
                PYTHONPATH=os.pathsep.join(searched),
            ),
            str(model),
        )

    def bake(self, version: str, model: Path, environment: Environment | None) -> None:
        """Put the version's files into their place, and beside them the key of its environment, if any."""
        self._remove(version)
        if environment is not None:
            self._key_file(version).write_text(environment.key)
        model.rename(self.model_directory(version))

    def _remove(self, version: str) -> None:
        shutil.rmtree(self.model_directory(version), ignore_errors=True)
        self._key_file(version).unlink(missing_ok=True)

    def _key_file(self, version: str) -> Path:
        return _key_of(self.model_directory(version))

    def _key(self, version: str) -> str:
        """Return the key of the environment of a baked version; empty if it has the locked packages."""
        file = self._key_file(version)
        return file.read_text() if file.exists() else ""

    def _python(self, key: str) -> str:
        """Return the Python of an environment, or that of .venv; StackError if the environment is gone."""
        python = native_environment.python_of(self.config.home, key) if key else Path(sys.executable)
        if python is None:
            raise StackError(f"its environment {key} is gone; deploy it again")
        return str(python)

    def check(self) -> None:
        """Raise StackError if no stack is up here, or one with another gateway than that of the settings."""
        if not self.is_up:
            raise StackError("no stack without Docker is running here; run: ./scripts/up --native")
        native_gateway.check_running(self.config)

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
        for partial in self._models.glob(f"*{_PARTIAL}"):
            shutil.rmtree(partial)

    def image_id(self, version: str) -> str:
        """Return a digest of the version's files and the model server's; it stands for the image id."""
        model, key = self.model_directory(version), self._key(version)
        is_whole = not key or native_environment.python_of(self.config.home, key) is not None
        if not model.exists() or not is_whole or (key and not is_of_todays_lock(key)):
            return ""
        digest = hashlib.sha256((key or Environment(self.python, ()).key).encode())
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
            yield self.servers.start(trial, *self._served_as(version))
        finally:
            trial.stop()

    def check_split(self) -> None:
        """Raise StackError: all that serves has one address."""
        raise StackError(_NO_SPLIT)

    def split(self, percent: int) -> AbstractContextManager[Callable[[], bool]]:
        """There is none."""
        del percent
        raise StackError(_NO_SPLIT)

    def served_url(self) -> str:
        """Return where the model server answers."""
        return self.config.serving_url

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve the version's files in place of what is served now."""
        self.servers.replace(*self._served_as(version), check=check)

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
            self._remove(version)

    def tidy(self) -> None:
        """Remove the environments that no baked version has."""
        native_environment.remove_unused(self.config.home, {file.read_text() for file in self._key_files()})

    def _key_files(self) -> list[Path]:
        """Return the files with the keys of the environments of all baked versions."""
        return list(self._models.parent.glob(f"*/*{_ENVIRONMENT}"))

    def at_stores(self) -> AbstractContextManager[AtStores]:
        """Yield how programs of tracking/ are started as processes."""
        return at_stores.here(self.config)

    def services(self) -> list[Service]:
        """Return the state of each part's process."""
        own = () if self.config.elsewhere else ("tracking",)
        if self.config.gateway:
            own = (native_gateway.NAME, *own)
        parts = {name: self.process(name) for name in (*own, "trainer", "deploy")}
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

    def _served_as(self, version: str) -> tuple[Note, str, str]:
        """Return a baked version's note, its directory, and its Python."""
        note = Note(self.config.model_name, version, self.image_id(version))
        return note, str(self.model_directory(version)), self._python(self._key(version))

    def of_model(self, name: str) -> "Native":
        """Return the mode for another registered model."""
        return replace(self, config=replace(self.config, model_name=name))

    def baked_models(self) -> list[str]:
        """Return the models that have a directory."""
        return sorted(path.name for path in self._models.parent.glob("*") if path.is_dir())

    def unneeded(self, versions: Mapping[str, Collection[str]]) -> list[Unneeded]:
        """Return the directories of these versions, and unused environments."""
        baked = [
            self.of_model(model).model_directory(version) for model in versions for version in versions[model]
        ]
        keys_of_baked = [_key_of(directory) for directory in baked]
        keys = {file.read_text() for file in self._key_files() if file not in keys_of_baked}
        left = native_environment.unused(self.config.home, keys)
        return [Unneeded(str(path), _size(path)) for path in (*baked, *left)]

    def remove(self, unneeded: Unneeded) -> str:
        """Remove a directory and, of a version, the key of its environment."""
        directory = Path(unneeded.name)
        try:
            shutil.rmtree(directory)
            _key_of(directory).unlink(missing_ok=True)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when no trainer that `up` has started runs."""
        trainer = self.process("trainer")
        wait_until(lambda: "training" if trainer.is_running() else None, timeout=math.inf, on_wait=on_wait)


def _key_of(baked: Path) -> Path:
    """Return the file with the key of the environment of a version that is baked in this directory."""
    return baked.with_name(f"{baked.name}{_ENVIRONMENT}")


def _size(directory: Path) -> int:
    """Return the size of all files in a directory."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())

"""How the parts are started, and how a version is baked and served, without Docker: as local processes.

All state lies in one directory: mlflow.db and artifacts/ of the tracking server, models/ with a directory
for each baked version, logs/, and run/ with the locks of the processes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.processes import Process
from stack.wait import not_healthy, wait_until

# Whoever starts a part is stopped before it: "switch" is a deployment, by whomever it was started.
STOP_ORDER = ("deploy", "switch", "trainer", "serving", "tracking")
_HEALTHY_WITHIN = 120
# Settings of MLflow and uvicorn in the user's shell are for the user's own servers, not for these.
_FOREIGN = ("MLFLOW_", "UVICORN_", "WEB_CONCURRENCY")


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
        return self.config.home / "models" / self.config.model_name / version

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
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other deployments away, and tell whoever watches serving that it may be replaced."""
        with self.process("switch").claim():
            yield

    def serve(self, version: str) -> None:
        """Serve the version's files in place of what is served now.

        Raises:
            StackError: if it does not become healthy; then nothing is served.

        """
        serving = self.process("serving")
        serving.stop()
        serving.start(
            [sys.executable, "-m", "uvicorn", "mlflow.pyfunc.scoring_server.app:app"],
            part_environment(
                self.environ,
                CHECKOUT / "serving" / "server.env",
                UVICORN_HOST="127.0.0.1",
                UVICORN_PORT=str(self.config.serving_port),
                __pyfunc_model_path__=str(self.model_directory(version)),
            ),
            CHECKOUT,
        )
        try:
            self._wait_healthy(serving, self.config.serving_url)
        except StackError:
            serving.stop()
            raise

    def start_tracking(self) -> None:
        """Start the tracking server; return when it is healthy."""
        home = self.config.home
        tracking = self.process("tracking")
        tracking.start(
            [sys.executable, "-m", "mlflow", "server"],
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
        self._wait_healthy(tracking, self.config.own_tracking_url)

    def run_trainer(self) -> str:
        """Train and register a candidate; return what the trainer printed."""
        return self._run("trainer", ["train.py"], CHECKOUT / "trainer")

    def run_deploy(self) -> str:
        """Bake the candidate and serve it; return what was printed."""
        return self._run("deploy", ["-m", "serving.deploy", "--native"], CHECKOUT)

    def check_servers(self) -> None:
        """Raise StackError if the tracking server or the model server has ended by itself."""
        for name in ("tracking", "serving"):
            process = self.process(name)
            switch = self.process("switch")
            # Asked twice, for a switch that comes to its end between the questions.
            if not (process.is_running() or switch.is_running() or process.is_running()):
                raise failure(process, "has ended by itself, so the stack is stopped")

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

    def _run(self, name: str, arguments: list[str], cwd: Path) -> str:
        process = self.process(name)
        child = process.start(
            [sys.executable, *arguments],
            part_environment(
                self.environ,
                **self.config.client_environment(),
                TRACKING_PORT=str(self.config.tracking_port),
                SERVING_PORT=str(self.config.serving_port),
                STACK_HOME=str(self.config.home),
            ),
            cwd,
        )
        while (status := _status(child)) is None:
            self.on_wait()
        if status != 0:
            raise failure(process, f"failed with status {status}")
        return process.log_tail()


def _status(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return None

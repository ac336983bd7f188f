"""The tutorial's own way, to be measured beside the stack: its commands, with their defaults."""

import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.processes import Process, part_environment
from stack.wait import not_healthy, wait_until
from tests.bench.disk import added, image_layers
from tests.bench.disk import together as images_together
from tests.bench.measure import container_processes, memory
from tests.bench.prepare import BUILD, base_image, say
from tests.bench.situations import SETTLED_AFTER, Note, change_model
from tests.bench.watching import answers_right
from tests.conftest import two_free_ports

FILES = CHECKOUT / "tests" / "bench" / "tutorial"
_HEALTHY_WITHIN = 180  # seconds
_OWN_PROGRAMS = Path(sys.executable).parent


def pythons(version: str) -> Iterator[str]:
    """Yield the Pythons of that version, such as 3.13, that run here; those that pyenv hides, too."""
    candidates = [
        f"python{version}",
        *sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))),
    ]
    ask = "import platform, sys; print(platform.python_version()); print(sys.executable)"
    for candidate in candidates:
        if not shutil.which(candidate):
            continue
        answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.startswith(f"{version}."):
            yield answer.stdout.splitlines()[1]


def programs(environments: Path) -> Path:
    """Return the bin/ of an environment with the locked packages, for the Python of the image to build on.

    The tutorial's model is pickled, with the byte code of its class: another Python could not load it.

    Raises:
        StackError: if there is no such Python here.

    """
    version = ".".join(base_image().removeprefix("python:").split(".")[:2])
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return _OWN_PROGRAMS
    made = environments / f"tutorial-{version}"
    lock = CHECKOUT / "lock" / "runtime.txt"
    installed = made / "installed.txt"
    if not installed.exists() or installed.read_text() != lock.read_text():
        python = next(pythons(version), None)
        if python is None:
            raise StackError(f"the image {base_image()} takes models of Python {version}, which is not here")
        say(f"installing the locked packages for Python {version} into {made} (once)")
        uv = str(_OWN_PROGRAMS / "uv")
        options = ["--quiet", "--compile-bytecode", "--require-hashes", "--python", str(made)]
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, str(made)], check=True)
        subprocess.run([uv, "pip", "sync", *options, str(lock)], check=True)
        installed.write_text(lock.read_text())
    return made / "bin"


@dataclass
class Tutorial:
    """One pass, in a directory of its own: a server, a model, an image, a container."""

    home: Path
    programs: Path
    note: Note
    name: str = field(default_factory=lambda: f"pyfunc-stack-bench-{uuid.uuid4().hex[:8]}")
    ports: tuple[int, int] = field(default_factory=two_free_ports)

    @property
    def server(self) -> Process:
        """The tracking server, with all that it starts."""
        return Process(self.home, "mlflow-server")

    @property
    def work(self) -> Path:
        """Where train.py lies."""
        return self.home / "work"

    def _environment(self) -> dict[str, str]:
        return part_environment(
            os.environ,
            PATH=f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{self.ports[0]}",
            MLFLOW_DISABLE_TELEMETRY="true",
        )

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.work, env=self._environment(), capture_output=True, text=True, timeout=1200
        )
        if done.returncode != 0:
            raise StackError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def start_server(self) -> None:
        """Do `mlflow server`; return when it is healthy."""
        port = str(self.ports[0])
        self.server.start(
            [f"{self.programs}/mlflow", "server", "--port", port], self._environment(), self.home
        )
        try:
            wait_until(
                lambda: not_healthy(f"http://127.0.0.1:{port}"),
                timeout=_HEALTHY_WITHIN,
                alive=self.server.is_running,
            )
        except StackError as error:
            raise StackError(f"mlflow server: {error}\n{self.server.log_tail()}") from error

    def image(self, number: int) -> str:
        """Name the image of one model."""
        return f"{self.name}:{number}"

    def deliver(self, situation: str, number: int, since: float) -> None:
        """Do `python train.py`, `mlflow models build-docker` and `docker run`, and ask; note the times."""
        found = re.search(r"^run id: (\w+)$", self._run("python", "train.py"), re.MULTILINE)
        if not found:
            raise StackError("the tutorial's train.py printed no run id")
        self.note(situation, "trained", time.time() - since)
        self._run(*self._build_command(f"runs:/{found[1]}/artifacts", self.image(number)))
        self.note(situation, "baked", time.time() - since)
        self._remove_container()
        published = f"127.0.0.1:{self.ports[1]}:8080"
        self._run(
            "docker", "run", "--detach", f"--name={self.name}", "--publish", published, self.image(number)
        )
        wait_until(lambda: None if answers_right(self.ports[1]) else "no right answer yet", timeout=180)
        self.note(situation, "first right answer", time.time() - since)

    def _build_command(self, model: str, name: str) -> list[str]:
        ask = "import platform; print(platform.python_version())"
        if base_image() == f"python:{self._run('python', '-c', ask).strip()}-slim":
            options = ["--model-uri", model, "--env-manager", "local", "--name", name]
            return ["mlflow", "models", "build-docker", *options]
        # The same with another base than that of Python's exact version, which can't be had here.
        return ["python", "-c", BUILD, model, name, base_image()]

    def _remove_container(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True)

    def first(self, situation: str) -> None:
        """Measure from nothing to the first right answer."""
        since = time.time()
        self.start_server()
        self.note(situation, "tracking healthy", time.time() - since)
        self.deliver(situation, 1, since)

    def follow_ups(self) -> None:
        """Weigh it, train a changed model, and serve that; measure what its image has added."""
        time.sleep(SETTLED_AFTER)
        tracking = memory(self.server.members())
        self.note("idle", "memory of all [MB]", tracking + memory(container_processes(self.name)))
        self.note("idle", "memory of tracking [MB]", tracking)
        change_model(self.work / "train.py")
        self.deliver("retrain", 2, time.time())
        first, second = (image_layers(self.image(number)) for number in (1, 2))
        self.note("idle", "all images [MB]", images_together([first]))
        self.note("idle", "one more model version [MB]", added(second, first))


@contextmanager
def tutorial(home: Path, bin_directory: Path, note: Note) -> Iterator[Tutorial]:
    """Prepare a pass; stop and remove at the end all that it has started and made."""
    shutil.copytree(FILES, home / "work")
    way = Tutorial(home, bin_directory, note)
    try:
        yield way
    finally:
        subprocess.run(["docker", "rm", "--force", way.name], capture_output=True)
        images = [way.image(number) for number in (1, 2)]
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True)
        way.server.stop()

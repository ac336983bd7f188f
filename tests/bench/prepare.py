"""What there must be before a server is measured: the peers' environments, the model, the stock image."""

import os
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.processes import part_environment
from tests.bench.servers import PEERS, THREADS

_PULLED_WITHIN = 300  # seconds
_PROGRAMS = Path(sys.executable).parent
BUILD = (
    "import sys; from mlflow.models import build_docker;"
    " build_docker(sys.argv[1], sys.argv[2], env_manager='local', base_image=sys.argv[3])"
)


def say(what: str) -> None:
    """Tell, apart from the results, what is going on."""
    print(f"==> {what} ({time.strftime('%H:%M:%S')})", file=sys.stderr, flush=True)


def run(command: list[str], **settings: str) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        StackError: if it fails, with the end of that.

    """
    environment = part_environment(os.environ, **THREADS, **settings)
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, text=True, capture_output=True)
    if done.returncode != 0:
        raise StackError(
            f"{' '.join(command)} exited {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}"
        )
    return done.stdout


def programs(environment: str, home: Path) -> Path:
    """Return the directory of an environment's programs, and make it if it lacks one of its packages.

    Raises:
        StackError: if it can't be made, for example because its packages run with no Python that is here.

    """
    if not environment:
        return _PROGRAMS
    requirements = PEERS / environment / "requirements.txt"
    made = home / environment
    installed = made / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        say(f"installing the packages of {environment} into {made} (once)")
        # MLServer 1.7 runs with nothing newer; the rest with the Python that we run with ourselves.
        is_too_new = environment == "mlserver" and sys.version_info >= (3, 13)
        python = ">=3.11,<3.13" if is_too_new else sys.executable
        uv = str(_PROGRAMS / "uv")
        run([uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", python, str(made)])
        run([uv, "pip", "sync", "--compile-bytecode", "--python", str(made), str(requirements)])
        installed.write_text(requirements.read_text())
    return made / "bin"


def make_model(home: Path) -> None:
    """Make the model and the cases in ``home``; see model.py."""
    say("training the model")
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "trainer")])
    run([sys.executable, "-m", "tests.bench.model", str(home)], PYTHONPATH=path)


@contextmanager
def stock_image(model: Path) -> Iterator[str]:
    """Bake the model as `mlflow models build-docker --env-manager local` does; remove the image at the end.

    Raises:
        StackError: if it can't be built.

    """
    name = f"pyfunc-stack-bench-{uuid.uuid4().hex[:8]}"
    base = base_image()
    say(f"building MLflow's stock image on {base} (about 90 s)")
    try:
        run([sys.executable, "-c", BUILD, str(model), name, base])
        yield name
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True)


@contextmanager
def baked_image(model: Path) -> Iterator[str]:
    """Bake the model as the stack does, on a base image of its own; remove both at the end.

    Raises:
        StackError: if one can't be built.

    """
    name = f"pyfunc-stack-bench-{uuid.uuid4().hex[:8]}"
    say("building this stack's base image, and the model's on it")
    try:
        run(["docker", "compose", f"--project-name={name}", "build", "tracking"])
        run([sys.executable, "-c", BUILD, str(model), name, f"{name}-base"])
        yield name
    finally:
        subprocess.run(["docker", "image", "rm", "--force", name, f"{name}-base"], capture_output=True)


@cache
def base_image() -> str:
    """Return the image that build-docker takes, or the newest like it that is here if that can't be had."""
    wanted = f"python:{platform.python_version()}-slim"
    for action in (["image", "inspect"], ["pull", "--quiet"]):
        with suppress(subprocess.TimeoutExpired):
            command = ["docker", *action, wanted]
            if subprocess.run(command, capture_output=True, timeout=_PULLED_WITHIN).returncode == 0:
                return wanted
    listed = run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter=reference=python:3.*-slim"]
    )
    if not listed:
        raise StackError(f"there is no image {wanted}, and none like it")
    return listed.split()[0]

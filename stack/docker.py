"""How a version is baked and served with Docker: an image by MLflow's build-docker, a Compose service.

How the other parts are started with Docker, docker-compose.yml says.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO

from stack.config import CHECKOUT, Config
from stack.errors import StackError

_HEALTHY_WITHIN = 120


def engine_answers() -> bool:
    """Whether a Docker engine can be reached from here."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def base_image(config: Config) -> str:
    """Name the image that holds Python and the locked packages; models are baked onto it."""
    return f"{config.project}-base"


def image(config: Config, version: str) -> str:
    """Name the image of one model version."""
    return f"{config.project}/{config.model_name}:{version}"


def compose_command(config: Config, *arguments: str) -> list[str]:
    """Build the command line of a Compose command on this stack."""
    return [
        "docker",
        "compose",
        f"--project-name={config.project}",
        f"--project-directory={CHECKOUT}",
        *arguments,
    ]


def serve_command(config: Config) -> list[str]:
    """Build the command line that replaces what `serving` runs, and returns when that is healthy."""
    wait = ("--wait", f"--wait-timeout={_HEALTHY_WITHIN}")
    return compose_command(config, "up", "--detach", "--no-deps", *wait, "--scale=serving=1", "serving")


def compose_environment(config: Config, version: str) -> dict[str, str]:
    """Return the values that docker-compose.yml fills in, for one version of the model."""
    return {
        "MODEL_NAME": config.model_name,
        "MODEL_VERSION": version,
        "TRACKING_PORT": str(config.tracking_port),
        "SERVING_PORT": str(config.serving_port),
    }


@dataclass(frozen=True)
class Docker:
    """Bakes an image, and serves it as the Compose service `serving`."""

    config: Config

    def bake(self, version: str) -> None:
        """Make the version's image with MLflow's build-docker; it gets its tag only when it is complete.

        MLflow's tracking URI must be set.
        """
        from mlflow.models import build_docker

        base, name = base_image(self.config), image(self.config, version)
        if not _image_id(base):
            raise StackError(f"the image {base} to bake on does not exist; run: docker compose build")
        replaced = _image_id(name)
        model_uri = f"models:/{self.config.model_name}/{version}"
        with tempfile.TemporaryFile() as output:
            try:
                with _standard_output_to(output):
                    build_docker(model_uri, name, env_manager="local", base_image=base)
            except RuntimeError as error:
                output.seek(0)
                lines = output.read().decode(errors="replace").splitlines()
                lines = [line for line in lines if "Requirement already satisfied" not in line]
                raise StackError(
                    "\n    ".join([f"baking {name} failed. The end of Docker's output:", *lines[-60:]])
                    + "\nIf pip found no matching distribution, the lock lacks a package that the model"
                    " needs:\nadd it to pyproject.toml, and run ./scripts/upgrade PACKAGE"
                ) from error
        if replaced and replaced != _image_id(name):
            # It would stay as a nameless image. Docker refuses while a container still needs it.
            _run(["docker", "image", "rm", replaced])

    def exclusive(self) -> AbstractContextManager[None]:
        """Do nothing: two deployments at a time are not kept apart with Docker."""
        return nullcontext()

    def serve(self, version: str) -> None:
        """Serve the version's image in place of what is served now.

        Raises:
            StackError: if it does not become healthy; then nothing is served.

        """
        environment = compose_environment(self.config, version)
        started = _run(serve_command(self.config), environment)
        if started.returncode == 0:
            return
        log = _run(compose_command(self.config, "logs", "--no-color", "--tail=20", "serving"), environment)
        _run(compose_command(self.config, "rm", "--stop", "--force", "serving"), environment)
        raise StackError(
            f"{image(self.config, version)} did not become healthy; its log ends:\n"
            f"{log.stdout}{started.stderr}"
        )


@contextmanager
def _standard_output_to(file: IO[bytes]) -> Iterator[None]:
    """Send what this process and its children print to ``file``: hundreds of lines, if all goes well."""
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        yield
    finally:
        for descriptor, before in zip((1, 2), saved, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def _image_id(name: str) -> str:
    """Return the id of an image, or nothing if there is no image of that name."""
    return _run(["docker", "image", "inspect", "--format={{.Id}}", name]).stdout.strip()


def _run(
    command: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # A session of its own keeps a terminal's Ctrl-C from it: a switch is finished or undone, not cut short.
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        start_new_session=True,
    )

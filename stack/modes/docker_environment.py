"""The environments of models with Docker: images; versions with the same requirements are baked onto one."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.build_error import environment_error
from stack.modes.compose import files_command
from stack.modes.engine import Image, find_image, run
from stack.modes.environment import Environment
from stack.modes.interruptible import run_interruptibly

# The labels of an environment's image, which the images that are baked onto it inherit: its key, and the base
# image of that time. What that is made of is in the environment too.
_KEY = "pyfunc-stack.environment"
_BASE = "pyfunc-stack.base"
# As an image's path. In the container of `deploy`, Compose has the user's certificates there.
_CERTIFICATES = Path("/run/secrets/ca")
_PACKAGES = "/opt/pyfunc-stack/packages.txt"


def base_image(config: Config) -> str:
    """Name the image that holds Python and the locked packages; models are baked onto it."""
    return f"{config.project}-base"


def python_image(python: str | None = None) -> str:
    """Name the image that the Dockerfile's images start from; with another Python, by its minor version."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert found  # noqa: S101 - tests/unit/test_repository.py checks it
    return found[1] if python is None else re.sub(r":[0-9.]+", f":{python}", found[1])


def base_python() -> str:
    """Return the minor version of Python in the base image."""
    return ".".join(python_image().partition(":")[2].split(".")[:2])


def environment_image(config: Config, key: str) -> str:
    """Name the image of an environment."""
    return f"{config.project}-environment:{key}"


def lies_on(image: Image, base: Image) -> bool:
    """Whether a baked image lies on this base image or, with its own environment, was made beside it."""
    if _KEY in image.labels:
        return image.labels.get(_BASE) == _digest(base)
    return image.layers[: len(base.layers)] == base.layers


def prepare(config: Config, environment: Environment, base: Image, on_wait: Callable[[], None]) -> str:
    """Make the environment's image, if it is not there; return the packages that it holds, a line each.

    An exception of ``on_wait`` ends that.

    Raises:
        StackError: if they can't be resolved or installed, with what uv says.

    """
    name = environment_image(config, environment.key)
    found = find_image(name)
    if found is None or found.labels.get(_BASE) != _digest(base):
        print(f"making an environment: {environment} (once for these requirements)", flush=True)
        _build(config, environment, base, on_wait)
    options = ("--rm", "--pull=never", "--network=none", "--entrypoint=cat")
    listed = run(["docker", "run", *options, name, _PACKAGES])
    if listed.returncode != 0:
        raise StackError(f"can't read the packages in {name}: {listed.stderr.strip()}")
    return listed.stdout


def remove_unused(config: Config) -> None:
    """Remove the environments on which no version of this project is baked."""
    if environments := _labels(environment_image(config, "*")):
        used = {labels.get(_KEY) for labels in _labels(f"{config.project}/*").values()}
        for name, labels in environments.items():
            if labels.get(_KEY) not in used:
                run(["docker", "image", "rm", name])


def build_command(
    config: Config,
    environment: Environment,
    base: Image,
    needs: str,
    *,
    arguments: Iterable[str],
    network: str,
    ca: str,
) -> list[str]:
    """Build the command line that makes the image; ``needs`` is the directory of what it needs.

    The ``network`` is that of the build, ``ca`` a file with certificates. The ``arguments`` get their values
    from the environment of the command: an address may hold a password.
    """
    labels = {_KEY: environment.key, _BASE: _digest(base), "com.docker.compose.project": config.project}
    if environment.python == base_python():
        below = f"--build-context=base=docker-image://{base_image(config)}"
    else:
        below = f"--build-arg=PYTHON_IMAGE={python_image(environment.python)}"
    return [
        *("docker", "build", "--progress=plain", "--target=environment", f"--platform={base.platform}"),
        below,
        f"--build-context=needs={needs}",
        # As CSV, so that the path may have a comma.
        '--secret=id=ca,"src={}"'.format(ca.replace('"', '""')),
        f"--network={network}",
        *(f"--build-arg={name}" for name in arguments),
        *(f"--label={name}={value}" for name, value in labels.items()),
        f"--tag={environment_image(config, environment.key)}",
        str(CHECKOUT),
    ]


def _build(config: Config, environment: Environment, base: Image, on_wait: Callable[[], None]) -> None:
    read = run(files_command(config))
    if read.returncode != 0:
        raise StackError(f"Compose can't read the Compose files or .env: {read.stderr.strip()}; correct them")
    files = json.loads(read.stdout)
    build = files["services"]["tracking"].get("build")
    if build is None:
        raise StackError("the Compose files do not build tracking, so nothing says how; remove that change")
    given = {name: value for name, value in (build.get("args") or {}).items() if value is not None}
    arguments = {name: _plain(value) for name, value in given.items()}
    ca = str(_CERTIFICATES) if config.container_url else _plain(files["secrets"]["ca"]["file"])
    network = build.get("network", "default")
    with tempfile.TemporaryDirectory() as needs:
        environment.write(Path(needs))
        command = build_command(config, environment, base, needs, arguments=arguments, network=network, ca=ca)
        built = run_interruptibly(
            command, on_wait, environment={**os.environ, **arguments}, directory=CHECKOUT
        )
    if built.how:
        raise environment_error(environment, built.how, built.output + built.log)


def _plain(value: str) -> str:
    """Return a value as it was before `docker compose config` wrote it."""
    return value.replace("$$", "$")


def _digest(image: Image) -> str:
    return hashlib.sha256(" ".join(image.layers).encode()).hexdigest()[:12]


def _labels(reference: str) -> dict[str, dict[str, str]]:
    """Return the labels of each image with such a name."""
    listed = ["docker", "image", "ls", f"--filter=reference={reference}", "--format={{.Repository}}:{{.Tag}}"]
    found = {name: find_image(name) for name in run(listed).stdout.split()}
    return {name: image.labels for name, image in found.items() if image}

"""The environments of models with Docker: images; versions with the same requirements are baked onto one."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.build_error import environment_error
from stack.modes.compose import plain, read_files
from stack.modes.engine import Image, find_image, image_names, run
from stack.modes.environment import Environment
from stack.modes.interruptible import run_interruptibly

# The labels of an environment's image, which the images that are baked onto it inherit: its key, and the base
# image of that time. What that is made of is in the environment too.
_KEY = "pyfunc-stack.environment"
_BASE = "pyfunc-stack.base"
# As an image's path. In the container of `deploy`, Compose has the user's certificates there.
_CERTIFICATES = Path("/run/secrets/ca")
_PACKAGES = "/opt/pyfunc-stack/packages.txt"


@dataclass(frozen=True)
class Fetching:
    """How a build fetches packages: its arguments, its network, and a file with certificates.

    The arguments get their values from the environment of the command: an address may hold a password.
    """

    arguments: Mapping[str, str]
    network: str
    ca: str

    def options(self) -> list[str]:
        """Return these as options of `docker build`."""
        # As CSV, so that the path may have a comma.
        secret = '--secret=id=ca,"src={}"'.format(self.ca.replace('"', '""'))
        return [secret, f"--network={self.network}", *(f"--build-arg={name}" for name in self.arguments)]


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


def spark_image(config: Config) -> str:
    """Name the image with Spark on the base image; that on an environment's has its key as its tag."""
    return f"{config.project}-score-spark"


def lies_on(image: Image, base: Image) -> bool:
    """Whether a baked image lies on this base image or, with its own environment, was made beside it."""
    if _KEY in image.labels:
        return image.labels.get(_BASE) == digest(base)
    return image.layers[: len(base.layers)] == base.layers


def prepare(config: Config, environment: Environment, base: Image, on_wait: Callable[[], None]) -> str:
    """Make the environment's image, if it is not there; return the packages that it holds, a line each.

    An exception of ``on_wait`` ends that.

    Raises:
        StackError: if they can't be resolved or installed, with what uv says.

    """
    name = environment_image(config, environment.key)
    found = find_image(name)
    if found is None or found.labels.get(_BASE) != digest(base):
        print(f"making an environment: {environment} (once for these requirements)", flush=True)
        _build(config, environment, base, on_wait)
    options = ("--rm", "--pull=never", "--network=none", "--entrypoint=cat")
    listed = run(["docker", "run", *options, name, _PACKAGES])
    if listed.returncode != 0:
        raise StackError(f"can't read the packages in {name}: {listed.stderr.strip()}")
    return listed.stdout


def unused(config: Config, but: Collection[str] = ()) -> list[str]:
    """Name the environments on which no version of this project is baked, but for these images.

    And Spark's image on each, which need not be there.
    """
    if environments := _labels(environment_image(config, "*")):
        baked = _labels(f"{config.project}/*").items()
        used = {labels.get(_KEY) for name, labels in baked if name not in but}
        left = [name for name, labels in environments.items() if labels.get(_KEY) not in used]
        return [it for name in left for it in (name, f"{spark_image(config)}:{name.rpartition(':')[2]}")]
    return []


def remove_unused(config: Config) -> None:
    """Remove the environments on which no version of this project is baked."""
    for name in unused(config):
        run(["docker", "image", "rm", name])


def build_command(
    config: Config,
    environment: Environment,
    base: Image,
    needs: str,
    *,
    fetching: Fetching,
) -> list[str]:
    """Build the command line that makes the image; ``needs`` is the directory of what it needs."""
    labels = {_KEY: environment.key, _BASE: digest(base), "com.docker.compose.project": config.project}
    if environment.python == base_python():
        below = f"--build-context=base=docker-image://{base_image(config)}"
    else:
        below = f"--build-arg=PYTHON_IMAGE={python_image(environment.python)}"
    return [
        *("docker", "build", "--progress=plain", "--target=environment", f"--platform={base.platform}"),
        below,
        f"--build-context=needs={needs}",
        *fetching.options(),
        *(f"--label={name}={value}" for name, value in labels.items()),
        f"--tag={environment_image(config, environment.key)}",
        str(CHECKOUT),
    ]


def fetching_as_set(config: Config) -> Fetching:
    """Return how builds fetch packages, as the Compose files and the settings say.

    Raises:
        StackError: if they can't be read, or build nothing.

    """
    files = read_files(config)
    build = files["services"]["tracking"].get("build")
    if build is None:
        raise StackError("the Compose files do not build tracking, so nothing says how; remove that change")
    given = {name: value for name, value in (build.get("args") or {}).items() if value is not None}
    arguments = {name: plain(value) for name, value in given.items()}
    ca = str(_CERTIFICATES) if config.container_url else plain(files["secrets"]["ca"]["file"])
    network = build.get("network", "default")
    return Fetching(arguments, network, ca)


def _build(config: Config, environment: Environment, base: Image, on_wait: Callable[[], None]) -> None:
    fetching = fetching_as_set(config)
    with tempfile.TemporaryDirectory() as needs:
        environment.write(Path(needs))
        command = build_command(config, environment, base, needs, fetching=fetching)
        built = run_interruptibly(
            command, on_wait, environment={**os.environ, **fetching.arguments}, directory=CHECKOUT
        )
    if built.how:
        raise environment_error(environment, built.how, built.output + built.log)


def digest(image: Image) -> str:
    """Return what an image is made of, in short."""
    return hashlib.sha256(" ".join(image.layers).encode()).hexdigest()[:12]


def _labels(reference: str) -> dict[str, dict[str, str]]:
    """Return the labels of each image with such a name."""
    found = {name: find_image(name) for name in image_names(reference)}
    return {name: image.labels for name, image in found.items() if image}

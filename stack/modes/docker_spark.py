"""Spark with Docker: an image on the base image or an environment's, for a cluster's workers, too."""

import hashlib
import os
from pathlib import Path

from stack.cluster import Cluster
from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.build_error import spark_error
from stack.modes.docker_environment import Fetching, digest, fetching_as_set, spark_image
from stack.modes.engine import Image, find_image, remove_replaced
from stack.modes.interruptible import run_interruptibly

# The label of an image: what it was made of.
_MADE_OF = "pyfunc-stack.spark"
SEARCH_PATH = "/opt/spark"
"""Where pyspark is in the image."""


def prepare(config: Config, below: str, on: Image) -> str:
    """Make the image with Spark on an image of that name, if it is not there; return its name.

    Raises:
        StackError: if it can't be made, with what Docker says.

    """
    tag = below.partition(":")[2]
    name = f"{spark_image(config)}:{tag or 'latest'}"
    found, made_of = find_image(name), _digest(on)
    if found is None or found.labels.get(_MADE_OF) != made_of:
        print(f"making the image {name} (once, about a minute; it fetches 456 MB)", flush=True)
        fetching = fetching_as_set(config)
        built = run_interruptibly(
            build_command(config, name, below, on, made_of, fetching),
            lambda: None,
            environment={**os.environ, **fetching.arguments},
            directory=CHECKOUT,
        )
        if built.how:
            raise spark_error(built.how, built.output + built.log)
        remove_replaced(name, found)
    return name


def check(cluster: Cluster, security_options: str) -> None:
    """Raise StackError if a container can't be the driver of a cluster.

    ``security_options`` are the engine's own, as it says them.
    """
    if cluster.master == "yarn":
        raise StackError("a container does not see the settings of Hadoop that yarn needs; use --native")
    if not cluster.is_local and "rootless" in security_options:
        raise StackError(
            "the Docker engine is rootless, so executors can't connect to a container; use --native"
        )


def users_file(model: Path) -> Path:
    """Return where the users of a container are written, beside the model's files."""
    return model.with_name("passwd")


def users(user: str) -> str:
    """Return a container's users: root and this one, by its ids. Java's Hadoop refuses one without a name."""
    own = "" if user.startswith("0:") else f"user:x:{user}::/:/bin/sh\n"
    return f"root:x:0:0::/root:/bin/sh\n{own}"


def build_command(
    config: Config, name: str, below: str, on: Image, made_of: str, fetching: Fetching
) -> list[str]:
    """Build the command line that makes the image of that name on the image ``below``."""
    labels = {_MADE_OF: made_of, "com.docker.compose.project": config.project}
    return [
        *("docker", "build", "--progress=plain", "--target=score-spark", f"--platform={on.platform}"),
        f"--build-context=base=docker-image://{below}",
        *fetching.options(),
        *(f"--label={key}={value}" for key, value in labels.items()),
        f"--tag={name}",
        str(CHECKOUT),
    ]


def _digest(on: Image) -> str:
    files = [(CHECKOUT / name).read_text() for name in ("Dockerfile", "lock/spark.txt")]
    return hashlib.sha256("\n".join([digest(on), *files]).encode()).hexdigest()[:12]

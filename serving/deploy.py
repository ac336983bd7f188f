"""Turn a registered model version into the running model server: resolve, bake, serve, move the aliases.

python -m serving.deploy [--docker | --native]
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stack.config import Config, load_config
from stack.docker import Docker, engine_answers
from stack.errors import StackError, exit_status
from stack.interruption import Interruption
from stack.native import Native


class Mode(Protocol):
    """How one mode bakes and serves a version of the model."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other deployments away for as long as this one lasts."""

    def bake(self, version: str) -> None:
        """Make that which serves the version; what serves now is not touched."""

    def serve(self, version: str) -> None:
        """Serve a baked version in place of what is served now; StackError if it does not become healthy."""


def deploy(
    client: MlflowClient, mode: Mode, model_name: str, check_interrupted: Callable[[], None] = lambda: None
) -> str:
    """Serve the candidate of ``model_name`` or, without one, its champion again; return the version.

    ``check_interrupted`` is called for the last time before what is served is touched.

    Raises:
        StackError: if there is nothing to deploy, or it can't be baked or served. Then the aliases are as
            they were, and the champion is served again if it was replaced.

    """
    aliases = registered_aliases(client, model_name)
    champion = aliases.get("champion")
    version = aliases.get("candidate", champion)
    if version is None:
        raise StackError(f"no version of {model_name} is a candidate or champion; run: ./scripts/train")
    since = time.monotonic()
    print(f"baking version {version} of {model_name}", flush=True)
    mode.bake(version)
    check_interrupted()
    print(f"baked in {time.monotonic() - since:.1f} s; starting to serve it", flush=True)
    try:
        mode.serve(version)
    except StackError as error:
        if champion not in (None, version):
            _serve_again(mode, champion, error)
        raise
    if version != champion:
        if champion is not None:
            client.set_registered_model_alias(model_name, "previous", champion)
        client.set_registered_model_alias(model_name, "champion", version)
    if registered_aliases(client, model_name).get("candidate") == version:
        client.delete_registered_model_alias(model_name, "candidate")
    return version


def _serve_again(mode: Mode, champion: str, error: StackError) -> None:
    try:
        mode.serve(champion)
    except StackError as second:
        raise StackError(
            f"{error}\nand version {champion}, the champion, does not serve either: {second}"
        ) from second


def registered_aliases(client: MlflowClient, model_name: str) -> dict[str, str]:
    """Return the version number that each alias of the registered model names.

    Raises:
        StackError: if no such model is registered, or the tracking server does not answer.

    """
    try:
        return dict(client.get_registered_model(model_name).aliases)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise StackError(f"no model is registered as {model_name}; run: ./scripts/train") from error
        raise StackError(
            f"the tracking server {client.tracking_uri} does not answer ({error}); is the stack up?"
        ) from error


def choose_mode(config: Config) -> Mode:
    """Choose the mode of the stack that runs on this machine.

    Raises:
        StackError: if none runs.

    """
    native = Native(config)
    if native.is_up:
        return native
    if engine_answers():
        return Docker(config)
    raise StackError("no stack is running here; run: ./scripts/up")


def main() -> int:
    """Run one deployment; return its exit status."""
    parser = argparse.ArgumentParser(prog="deploy", description="Bake the candidate version and serve it.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--docker", action="store_const", dest="mode", const=Docker)
    group.add_argument("--native", action="store_const", dest="mode", const=Native)
    arguments = parser.parse_args()
    for name, value in (("HTTP_REQUEST_MAX_RETRIES", "2"), ("ENABLE_ARTIFACTS_PROGRESS_BAR", "false")):
        os.environ.setdefault(f"MLFLOW_{name}", value)

    def command() -> None:
        interruption = Interruption()
        config = load_config()
        mode = arguments.mode(config) if arguments.mode else choose_mode(config)
        mlflow.set_tracking_uri(config.tracking_url)
        try:
            with mode.exclusive():
                version = deploy(MlflowClient(), mode, config.model_name, interruption.check)
        except MlflowException as error:
            raise StackError(
                f"the tracking server {config.tracking_url} failed in between ({error});"
                " see to it, then run this again"
            ) from error
        print(f"version {version} of {config.model_name} is served at {config.serving_url}/invocations")

    return exit_status("deploy", command)


if __name__ == "__main__":
    sys.exit(main())

"""What a person does to the model server.

python -m serving {deploy [--wait] | promote VERSION | rollback} [--docker | --native]
python -m serving status [--json]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from serving.meanwhile import serve_last
from stack.choice import choose_mode
from stack.config import Config, load_config
from stack.docker import Docker
from stack.errors import StackError, exit_status
from stack.interruption import Interruption
from stack.mode import Mode
from stack.native import Native
from stack.wait import not_healthy, wait_until

if TYPE_CHECKING:
    from serving.registry import Registry

_WAIT = "wait for the tracking server, and for the end of a training that `up` has started"
_TRACKING_WITHIN = 120  # seconds
# A training that takes longer than so many seconds does not keep other deployments away.
_LOCKED_FOR = 10


def run(arguments: argparse.Namespace, config: Config) -> None:
    """Run one command; StackError if it failed."""
    if arguments.command == "status":
        with _registry(config) as registry:
            from serving.status import show_status

            show_status(config, registry, as_json_text=arguments.json)
        return
    interruption = Interruption()
    mode = arguments.mode(config) if arguments.mode else choose_mode(config)
    with ExitStack() as lock:
        if arguments.command == "deploy" and arguments.wait:
            _start_up(config, mode, interruption, lock)
        else:
            lock.enter_context(mode.exclusive())
        with _registry(config) as registry:
            from serving.deploy import deploy, rollback_target

            version = None
            if arguments.command == "promote":
                version = arguments.version
            elif arguments.command == "rollback":
                version = rollback_target(registry, mode)
            served = deploy(registry, mode, version, interruption.check)
    print(f"version {served} of {config.model_name} is served at {config.serving_url}/invocations")


def _start_up(config: Config, mode: Mode, interruption: Interruption, lock: ExitStack) -> None:
    """Serve what is there to be served, and wait until nothing else is going on; then the lock is held."""
    with ThreadPoolExecutor() as pool:
        served = pool.submit(_serve_last, mode, lock)
        _wait_for_tracking(config, interruption)  # no import slows its own, or the trainer's, until then
        with _registry(config) as registry:
            from serving.deploy import resume

            is_locked = served.result()
            if is_locked:
                resume(registry, mode)
    since = time.monotonic()

    def meanwhile() -> None:
        nonlocal is_locked
        interruption.check()
        if is_locked and time.monotonic() - since > _LOCKED_FOR:
            is_locked = False
            lock.close()

    mode.wait_for_training(meanwhile)
    if not is_locked:
        lock.enter_context(mode.exclusive())


def _serve_last(mode: Mode, lock: ExitStack) -> bool:
    """Serve what was served last, if the lock is to be had, which is kept; return whether it was."""
    try:
        lock.enter_context(mode.exclusive())
    except StackError:  # another deployment is at work
        return False
    serve_last(mode)
    return True


def _wait_for_tracking(config: Config, interruption: Interruption) -> None:
    try:
        wait_until(
            lambda: not_healthy(config.tracking_url), timeout=_TRACKING_WITHIN, on_wait=interruption.check
        )
    except StackError as error:
        raise StackError(f"the tracking server did not start: {error}; see its log") from error


@contextmanager
def _registry(config: Config) -> Iterator["Registry"]:
    """Import MLflow and what uses it, which takes seconds; StackError if the tracking server fails."""
    import logging

    import mlflow
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from serving.registry import Registry

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # what is done is told here
    mlflow.set_tracking_uri(config.tracking_url)
    try:
        yield Registry(MlflowClient(), config.model_name)
    except MlflowException as error:
        raise StackError(
            f"the tracking server {config.tracking_url} failed in between ({error});"
            " see to it, then run this again"
        ) from error


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("deploy", "Bake the candidate, replay, and serve it; without one, serve the champion again."),
        ("promote", "Bake any registered version, replay, and serve it."),
        ("rollback", "Serve the version again that was champion before."),
    ):
        command = commands.add_parser(name, prog=name, description=what)
        if name == "promote":
            command.add_argument("version", metavar="VERSION")
        if name == "deploy":
            command.add_argument("--wait", action="store_true", help=_WAIT)
        group = command.add_mutually_exclusive_group()
        group.add_argument("--docker", action="store_const", dest="mode", const=Docker)
        group.add_argument("--native", action="store_const", dest="mode", const=Native)
    status = commands.add_parser("status", prog="status", description="Show what runs and what is served.")
    status.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Run one command; return its exit status."""
    arguments = parse()
    for name, value in (("HTTP_REQUEST_MAX_RETRIES", "2"), ("ENABLE_ARTIFACTS_PROGRESS_BAR", "false")):
        os.environ.setdefault(f"MLFLOW_{name}", value)
    return exit_status(arguments.command, lambda: run(arguments, load_config()))


if __name__ == "__main__":
    sys.exit(main())

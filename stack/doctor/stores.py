"""PostgreSQL and S3, where the tracking server has them: asked as it asks them before it starts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

from stack.config import CHECKOUT, TRACKING_ENV_FILE, Config, read_env_file
from stack.doctor.engine import Answer, ask
from stack.doctor.finding import Finding, fix, ok, skip
from stack.errors import StackError
from stack.modes.docker_environment import base_image
from stack.modes.parts import stores_of
from stack.modes.processes import part_environment

_PROGRAM = "/opt/pyfunc-stack/tracking/stores.py"
_PATIENCE = 60  # seconds, in which names that nobody knows are given up, too


def checks(
    config: Config, mode: str | None, *, has_docker: bool
) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """List the checks of the stores, in one mode or in both; none where the stack has no such store."""
    stores = config.stores
    if mode != "docker" and (stores.settings or (mode == "native" and stores.services)):
        yield "the stores", lambda: check_here(config)
    if mode != "native" and has_docker and (stores.settings or stores.services):
        yield "the stores, for containers", lambda: check_in_docker(config)


def check_here(config: Config) -> Finding:
    """Whether a process of this machine can use them."""
    try:
        config.stores.check_native()
    except StackError as error:
        return fix(str(error))
    program = [sys.executable, str(CHECKOUT / "tracking" / "stores.py")]
    files = CHECKOUT / "tracking" / "server.env", TRACKING_ENV_FILE
    environment = part_environment(os.environ, *files, **stores_of(config))
    try:
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return judge("the stores", Answer("", f"no answer within {_PATIENCE} s"))
    return judge("the stores", Answer(done.stdout, done.stderr.strip().rpartition("\n")[2]))


def check_in_docker(config: Config) -> Finding:
    """Whether the container of the tracking server can use them: that which runs, or else one like it."""
    what = "the stores, for containers"
    container = f"{config.project}-tracking-1"
    state = "--format={{.State.Running}} {{.State.Restarting}}"
    if ask("container", "inspect", state, container).output == "true false":
        return judge(what, ask("exec", container, "python", _PROGRAM, patience=_PATIENCE))
    if config.stores.services:
        return skip(f"{what}: the stack is not up")
    if ask("image", "inspect", base_image(config)).error:
        return skip(f"{what}: there is no image yet to ask them with")
    return judge(what, ask(*ask_command(config), patience=_PATIENCE, environment=_in_container(config)))


def ask_command(config: Config) -> list[str]:
    """Build the arguments of the docker command that asks them; it takes the values from its environment."""
    confined = ("--rm", "--pull=never", "--read-only", "--cap-drop=ALL")
    given = (f"--env={name}" for name in _in_container(config))
    return ["run", *confined, *given, "--entrypoint=python", base_image(config), _PROGRAM]


def _in_container(config: Config) -> dict[str, str]:
    own = {"BACKEND_STORE_URI": "sqlite:////mlflow/mlflow.db", "ARTIFACTS_DESTINATION": "/mlflow/artifacts"}
    own["STORE_DIRECTORY"] = "/mlflow"
    users = {name: value for name, value in read_env_file(TRACKING_ENV_FILE).items() if value is not None}
    return {**users, **own, **config.stores.settings}


def judge(what: str, answer: Answer) -> Finding:
    """Judge the stores by what tracking/stores.py printed."""
    try:
        found = json.loads(answer.output)
    except ValueError:
        return skip(f"{what}: could not be asked ({answer.error or 'no answer'})")
    if wrong := [reason for reason in found.values() if reason]:
        return fix(f"{what}: {'; and '.join(wrong)}")
    return ok(f"{what}: the {' and the '.join(found)} can be used")

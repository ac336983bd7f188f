"""A tracking server elsewhere: whether the Compose files fit the settings, and containers can reach it."""

import json
from typing import Any
from urllib.parse import urlsplit

from stack.config import LOOPBACK, Config
from stack.errors import StackError
from stack.modes.engine import containers, run

_OVERLAYS = "compose/tracking-elsewhere.yml", "compose/tracking-of-stack.yml"


def check_elsewhere(config: Config, files: list[str]) -> None:
    """Raise StackError if the containers of the stack could not use the tracking server that the user means.

    ``files`` is the command that prints what Compose makes of its files. What Compose itself can't read is
    told when it is used.
    """
    read = run(files)
    if read.returncode == 0:
        judge_files(config, json.loads(read.stdout))
    if config.tracking_stack and not _network_id(config):
        raise StackError(
            f"the stack {config.tracking_stack}, which TRACKING_STACK names, is not up in this engine; run"
            " ./scripts/up in its checkout first, or correct TRACKING_STACK"
        )


def remove_cut_off(config: Config) -> None:
    """Remove ended containers of this stack that the engine could not start again.

    When the other stack goes down and up, its network is another one of the same name.
    """
    if not config.tracking_stack:
        return
    today = _network_id(config)
    for found in containers(f"label=com.docker.compose.project={config.project}"):
        network = found["NetworkSettings"]["Networks"].get(_network(config), {})
        if not found["State"]["Running"] and network.get("NetworkID", today) != today:
            run(["docker", "rm", found["Id"]])


def _network(config: Config) -> str:
    """Name the network of the other stack; compose/tracking-of-stack.yml names it, too."""
    return f"{config.tracking_stack}_default"


def _network_id(config: Config) -> str:
    return run(["docker", "network", "inspect", "--format={{.Id}}", _network(config)]).stdout.strip()


def judge_files(config: Config, files: dict[str, Any]) -> None:
    """Compare the settings with what Compose makes of its files; StackError if they do not fit."""
    elsewhere, of_stack = (f"COMPOSE_FILE=docker-compose.yml:{name}" for name in _OVERLAYS)
    if files["services"]["tracking"].get("scale") != 0:
        if config.elsewhere:
            named = "TRACKING_STACK" if config.tracking_stack else "MLFLOW_TRACKING_URI"
            raise StackError(
                f"{named} says that the tracking server is {config.elsewhere}, and Compose would start"
                f" another; set {of_stack if config.tracking_stack else elsewhere} in .env, or remove {named}"
            )
        return
    inside = files["services"]["trainer"]["environment"]["MLFLOW_TRACKING_URI"]
    if urlsplit(inside).hostname in LOOPBACK:
        raise StackError(
            f"containers can't reach the tracking server {inside}, because that means themselves; if it is"
            f" that of another stack in this engine, set {of_stack} and TRACKING_STACK in .env, else set"
            " MLFLOW_TRACKING_URI to an address that other machines reach"
        )

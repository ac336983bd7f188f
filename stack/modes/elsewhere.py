"""A tracking server elsewhere: whether the Compose files fit the settings, and containers can reach it."""

import json
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from stack.config import Config
from stack.errors import StackError
from stack.modes.engine import containers, run

_OVERLAYS = "compose/tracking-elsewhere.yml", "compose/tracking-of-stack.yml"


def check_elsewhere(config: Config, files: list[str]) -> None:
    """Raise StackError if the containers of the stack could not use the tracking server that the user means.

    ``files`` is the command that prints what Compose makes of its files. What Compose itself can't read is
    told when it is used.
    """
    check_own_tracking(config)
    read = run(files)
    if read.returncode == 0:
        judge_files(config, json.loads(read.stdout))
    if not config.tracking_stack:
        return
    if not _network_id(config):
        raise StackError(
            f"the stack {config.tracking_stack}, which TRACKING_STACK names, is not up with Docker; run"
            " ./scripts/up in its checkout first, or correct TRACKING_STACK"
        )
    ports = {port for found in _tracking_of(config.tracking_stack) for port in _published(found)}
    if ports and str(config.tracking_port) not in ports:
        raise StackError(
            f"the stack {config.tracking_stack}, which TRACKING_STACK names, has its tracking server on port"
            f" {', '.join(ports)}, and TRACKING_PORT is {config.tracking_port}; set it to that port"
        )


def check_own_tracking(config: Config) -> None:
    """Raise StackError if the settings name a tracking server elsewhere, and this project has one of its own.

    Then it is another stack's, or this one's before the settings were changed: Compose would remove it.
    """
    if config.elsewhere and (config.tracking_stack == config.project or _tracking_of(config.project)):
        raise StackError(
            f"the stack {config.project} in Docker has its own tracking server, and {config.tracking_setting}"
            f" names another, {config.elsewhere}; run ./scripts/down first, or, for a second stack, set"
            " COMPOSE_PROJECT_NAME to another name"
        )


def _tracking_of(project: str) -> list[dict[str, Any]]:
    """Return the containers of a project's tracking server, running or not."""
    label = "label=com.docker.compose"
    return containers(f"{label}.project={project}", f"{label}.service=tracking", f"{label}.oneoff=False")


def _published(container: dict[str, Any]) -> list[str]:
    """Return the ports of this machine at which a tracking server is published."""
    bound = container["HostConfig"]["PortBindings"] or {}
    return [binding["HostPort"] for binding in bound.get("5000/tcp", [])]


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


def check_services(files: dict[str, Any], *names: str) -> None:
    """Raise StackError if what Compose makes of its files lacks these services: it is another project's."""
    if not files.get("services", {}).keys() >= set(names):
        raise StackError(
            "the Compose files that COMPOSE_FILE names are not those of this stack; remove COMPOSE_FILE, or"
            " begin it with docker-compose.yml"
        )


def judge_files(config: Config, files: dict[str, Any]) -> None:
    """Compare the settings with what Compose makes of its files; StackError if they do not fit."""
    check_services(files, "tracking", "trainer")
    elsewhere, of_stack = (f"COMPOSE_FILE=docker-compose.yml:{name}" for name in _OVERLAYS)
    if files["services"]["tracking"].get("scale") != 0:
        if config.elsewhere:
            named = config.tracking_setting
            raise StackError(
                f"{named} says that the tracking server is {config.elsewhere}, and Compose would start"
                f" another; set {of_stack if config.tracking_stack else elsewhere} in .env, or remove {named}"
            )
        return
    inside = files["services"]["trainer"]["environment"]["MLFLOW_TRACKING_URI"]
    if _is_this_machine(urlsplit(inside).hostname or ""):
        raise StackError(
            f"containers can't reach the tracking server {inside}, because that means themselves; if it is"
            f" that of another stack in this engine, set {of_stack} and TRACKING_STACK in .env, else set"
            " MLFLOW_TRACKING_URI to an address that other machines reach"
        )


def _is_this_machine(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified

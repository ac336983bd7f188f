"""What the Compose files, the user's own among them, say of `serving`, where Compose runs in a container.

The checkout has another path there than on the host, and that Compose may be older than the host's.
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.compose import VERSION, files_command
from stack.modes.elsewhere import check_services
from stack.modes.engine import containers, run
from stack.modes.engine_error import EngineError
from stack.modes.owner import DIRECTORY

# An older Compose refuses these keys or, if it was built with a newer parser as Debian's 2.26, ignores them.
_SINCE_2_30 = {"gpus", "post_start", "pre_stop"}
_MADE_BY = "com.docker.compose.version"


def seen_from_host(config: Config) -> Config:
    """In a container of ours, let Compose name the files of the checkout by their paths on the host.

    The engine looks for them there. Compose finds them in the container, by a link.
    """
    path = Path(_own_labels(config).get(DIRECTORY, ""))
    if not path.is_absolute():  # this is the host, or the host is Windows
        return config
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(CHECKOUT)
    return replace(config, directory=path) if path.resolve() == CHECKOUT else config


def check_files(config: Config) -> None:
    """Raise StackError if the Compose that runs here can't do what the files say of `serving`."""
    read = run(files_command(config))
    if read.returncode != 0:
        why = read.stderr.strip().rpartition("\n")[2]
        raise _can_not(config, f"can't use the Compose files: {why}; correct them")
    files = json.loads(read.stdout)
    check_services(files, "serving")
    ignored = sorted(_SINCE_2_30 & files["services"]["serving"].keys())
    if ignored and _is_before_2_30(_version()):
        keys = ", ".join(ignored)
        raise _can_not(config, f"ignores what the Compose files set on serving: {keys}; remove it")
    if config.container_url is None:
        return
    is_hosts = _own_labels(config).get(DIRECTORY) == str(config.directory)
    # Compose makes of ~ the home directory of the user who runs it.
    own = [Path.home()] if is_hosts else [Path.home(), CHECKOUT]
    for file in _mounted(files):
        if is_hosts and file.is_relative_to(config.directory):
            continue
        if any(file.is_relative_to(directory) for directory in own):
            what = f"can't mount {file} on serving, because the path is another on the host"
            raise _can_not(config, f"{what}; give the host's whole path")


def _can_not(config: Config, what: str) -> StackError:
    if config.container_url is None:
        return StackError(f"Compose {_version()} {what}, or install a newer Compose")
    return StackError(
        f"Compose {_version()}, in this container, {what}, or run ./scripts/deploy on the host,"
        f" whose Compose is {_own_labels(config)[_MADE_BY]}"
    )


def _mounted(files: dict[str, Any]) -> Iterator[Path]:
    """Yield the paths on the host that `serving` is given."""
    serving = files["services"]["serving"]
    yield from (Path(mount["source"]) for mount in serving.get("volumes", []) if mount["type"] == "bind")
    for kind in ("secrets", "configs"):
        for used in serving.get(kind, []):
            yield Path(files[kind][used["source"]].get("file", ""))


def _own_labels(config: Config) -> dict[str, str]:
    """Return the labels of the container that this is; none if it is the host."""
    if config.container_url is None:
        return {}
    host_name = socket.gethostname()  # which is the container's id, unless somebody gives it another
    own = containers(f"id={host_name}")
    if not own:
        raise EngineError(
            f"the engine behind it runs no container {host_name}: it is another engine, or this container has"
            " another host name (remove `hostname` and `network_mode` of this service in the Compose files)"
        )
    labels: dict[str, str] = own[0]["Config"]["Labels"]
    return labels


def _version() -> str:
    return run(VERSION).stdout.strip().removeprefix("v")


def _is_before_2_30(version: str) -> bool:
    return tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 30)

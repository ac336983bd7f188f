"""What the Compose files, the user's own among them, say of `serving`, as far as a cluster is told it."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stack.config import SERVER_SETTINGS
from stack.errors import StackError
from stack.modes.compose import plain

# What a cluster has in its own way, or what is of no use there.
_OTHERWISE = {
    *("build", "container_name", "cpu_shares", "depends_on", "expose", "healthcheck", "hostname", "image"),
    *("init", "labels", "logging", "memswap_limit", "oom_score_adj", "pids_limit", "platform", "ports"),
    *("profiles", "pull_policy", "restart", "scale", "stdin_open", "tty"),
}
_HARDENED = {"no-new-privileges:true"}
_TAKEN = {
    *("cap_drop", "command", "cpus", "deploy", "entrypoint", "environment", "mem_limit", "networks"),
    *("read_only", "security_opt", "stop_grace_period", "tmpfs", "user"),
}
# The rest of the environment may hold secrets.
_OWN = (
    *("IMAGE_ID", "MODEL_NAME", "MODEL_VERSION", "PYTHONPATH", "SERVER_HOST", "SERVER_PORT"),
    "__pyfunc_model_path__",
)
_NAMES = "SERVER_SERVICE_NAMES"
_OPEN = "serving-open"
_NETWORKS = {"serving-closed", _OPEN}
# As Linux reads it: https://docs.kernel.org/filesystems/tmpfs.html. A percentage is of the machine's memory.
_SIZE = re.compile(r"(?:^|,)size=(\d+)([kmgtpe]?)(?=,|$)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Service:
    """The container of `serving`: what it runs, as whom, and within which limits.

    ``settings`` are the model server's settings that have a value, ``environment`` what else the stack sets
    by itself, and ``private`` the names of all other variables. ``grace`` is in seconds, ``memory`` in bytes;
    that and ``cpus`` are None if there is no limit. ``tmpfs`` are directories in memory, with their sizes as
    quantities of Kubernetes; one without a limit has "". ``is_closed`` is whether the model reaches nothing
    outside. ``left_out`` are keys that nothing here stands for.
    """

    command: tuple[str, ...]
    arguments: tuple[str, ...]
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    private: tuple[str, ...]
    user: int
    group: int | None
    is_read_only: bool
    tmpfs: Mapping[str, str]
    grace: int
    memory: int | None
    cpus: float | None
    is_closed: bool
    left_out: tuple[str, ...]

    @property
    def port(self) -> int:
        """Where the model server listens."""
        return int(self.environment["SERVER_PORT"])

    @property
    def workers(self) -> int | None:
        """How many workers the settings ask for; None if the server decides."""
        return self._number("SERVER_WORKERS")

    @property
    def timeout(self) -> int:
        """For how many seconds the server waits for a prediction."""
        return self._number("SERVER_TIMEOUT") or 60

    def _number(self, name: str) -> int | None:
        text = self.settings.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else None  # the server refuses another text


def read_service(files: Mapping[str, Any]) -> Service:
    """Read what `docker compose config --format json` prints.

    Raises:
        StackError: if they say what can't be exported.

    """
    found = {key: value for key, value in files["services"]["serving"].items() if value not in (None, [], {})}
    limits = found.get("deploy", {}).get("resources", {}).get("limits", {})
    memory, cpus = found.get("mem_limit", limits.get("memory")), found.get("cpus", limits.get("cpus"))
    # A name without a value is a variable that is not there.
    given = {name: plain(value) for name, value in found["environment"].items() if value is not None}
    given["SERVER_PORT"] = _port(given.get("SERVER_PORT", ""))
    user, group = _user(found.get("user", ""))
    return Service(
        command=tuple(map(plain, found.get("entrypoint", ()))),
        arguments=tuple(map(plain, found.get("command", ()))),
        settings=_settings(given),
        environment={name: given[name] for name in _OWN if name in given},
        private=tuple(sorted(given.keys() - {*SERVER_SETTINGS, *_OWN, _NAMES})),
        user=user,
        group=group,
        is_read_only=found.get("read_only", False),
        tmpfs=dict(_tmpfs(each) for each in found.get("tmpfs", ())),
        grace=_seconds(found.get("stop_grace_period", "10s")),
        memory=int(memory) if memory else None,
        cpus=float(cpus) if cpus else None,
        is_closed=_OPEN not in found.get("networks", {}),
        left_out=tuple(_left_out(found)),
    )


def _left_out(serving: Mapping[str, Any]) -> Iterator[str]:
    yield from sorted(serving.keys() - _OTHERWISE - _TAKEN)
    if set(serving.get("security_opt", ())) - _HARDENED:
        yield "security_opt"
    if serving.get("deploy", {}).get("resources", {}).get("reservations"):
        yield "deploy.resources.reservations"
    yield from (f"networks.{name}" for name in sorted(serving.get("networks", {}).keys() - _NETWORKS))
    yield from (f"tmpfs {each}" for each in serving.get("tmpfs", ()) if "size=" in each and not _size(each))


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the model server's settings that have a value; each is to be one line of a file."""
    settings = {name: given[name] for name in SERVER_SETTINGS if given.get(name)}
    for name, value in settings.items():
        if not value.isprintable():
            raise StackError(f"{name} holds a line break or another control character; remove it")
    return settings


def _port(text: str) -> str:
    if text and not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise StackError(
            f"SERVER_PORT of serving: expected a number from 1 to 65535, found {text!r}; change it"
        )
    return text or "8080"  # as the server takes it


def _user(text: str) -> tuple[int, int | None]:
    user, _, group = text.partition(":")
    if not user.isdigit() or int(user) == 0 or (group and not group.isdigit()):
        raise StackError(
            f"the Compose files let serving run as {text or 'the user of the image'}: expected numbers of a"
            " user other than root, and of a group, such as 10001:10001; change `user`"
        )
    return int(user), int(group) if group else None


def _tmpfs(written: str) -> tuple[str, str]:
    """Read a path, and options such as size=64m."""
    return written.partition(":")[0], _size(written)


def _size(written: str) -> str:
    size = _SIZE.search(written.partition(":")[2].lower())
    if not size:
        return ""
    return f"{size[1]}{size[2].upper()}i" if size[2] else size[1]


def _seconds(duration: str) -> int:
    """Read a duration as Compose writes it, such as 1m30s; round up."""
    parts = re.findall(r"([0-9.]+)(h|ms|us|ns|m|s)", duration)
    return math.ceil(sum(float(number) * _SECONDS[unit] for number, unit in parts))

"""Docker: the command, the engine that answers it, Compose, and the socket that `deploy` gets."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from stack.doctor.finding import Finding, fix, ok, skip
from stack.modes.engine_error import engine_error

# docker-compose.yml sets `start_interval`, which needs the engine's API 1.44: Docker Engine 25. On an older
# engine, Compose 2.24 and newer refuse to create the container (docker/compose#10939, #11360).
_ENGINE = (25, 0, 0)
# The first version with `env_file.required`; an older one refuses the whole file.
_COMPOSE = (2, 24, 0)
_PATIENCE = 10
_DEFAULT_SOCKET = "/var/run/docker.sock"
_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_NATIVE = "or use ./scripts/up --native"


@dataclass(frozen=True)
class Answer:
    """What the docker command answered; ``output`` is empty if it failed, and ``error`` says why."""

    output: str
    error: str = ""


@dataclass(frozen=True)
class Docker:
    """Docker's answers to all questions. ``error`` says why no engine answers; empty if one does.

    ``command`` is the output of `docker --version`; empty if there is no such command. ``endpoint`` is where
    the command looks for the engine. ``asked`` and ``answered`` are the host's times around its answer.
    """

    command: str = ""
    error: str = ""
    endpoint: str = ""
    version: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    compose: Answer = Answer("")
    asked: datetime = datetime.min
    answered: datetime = datetime.min

    @property
    def is_usable(self) -> bool:
        """Whether there is a Docker engine, of any version."""
        return bool(self.command) and not self.error and not self.is_podman

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman: its command under Docker's name, or its engine behind Docker's socket."""
        return "podman" in f"{self.command} {json.dumps(self.version)}".lower()

    @property
    def is_in_a_machine(self) -> bool:
        """Whether the engine runs in a virtual machine, so its files and sockets are not this machine's."""
        return sys.platform == "darwin" or self.info.get("OperatingSystem") == "Docker Desktop"

    @property
    def is_elsewhere(self) -> bool:
        """Whether the engine is on another machine."""
        parts = urlsplit(self.endpoint)
        return parts.scheme in ("tcp", "ssh", "http", "https") and parts.hostname not in _OWN_NAMES

    @property
    def is_local(self) -> bool:
        """Whether the engine's files are on this machine."""
        return not self.is_in_a_machine and not self.is_elsewhere


def ask(*arguments: str, patience: float = _PATIENCE, environment: Mapping[str, str] | None = None) -> Answer:
    """Run one docker command to its end, with ``environment`` added to this process's."""
    command = ["docker", *arguments]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
        )
    except subprocess.TimeoutExpired:
        return Answer("", f"no answer within {patience} s")
    except OSError as error:
        return Answer("", error.strerror or str(error))
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines()]
        told = [line for line in lines if line and not line.startswith("WARNING")]
        # The first line says what is wrong; the usage of the command may follow.
        return Answer("", told[0] if told else f"it ended with status {done.returncode}")
    return Answer(done.stdout.strip())


def look_at_docker(ask: Callable[..., Answer] = ask) -> Docker:
    """Ask Docker what the checks need; less if no engine answers."""
    command = ask("--version")
    if command.error:
        return Docker()
    compose = ask("compose", "version", "--short")
    endpoint = ask("context", "inspect", "--format={{.Endpoints.docker.Host}}").output
    asked = datetime.now(UTC)
    info = ask("info", "--format={{json .}}")
    answered = datetime.now(UTC)
    if info.error:
        return Docker(command.output, info.error, endpoint, compose=compose)
    known = _read(info)
    if problems := known.get("ServerErrors"):  # older commands succeed anyway
        return Docker(command.output, "; ".join(problems), endpoint, compose=compose)
    version = _read(ask("version", "--format={{json .}}"))
    return Docker(command.output, "", endpoint, version, known, compose, asked, answered)


def check_engine(docker: Docker, *, is_wanted: bool = False) -> Finding:
    """Whether an engine answers that is new enough; with ``is_wanted``, a missing Docker is to be fixed."""
    if not docker.command:
        if is_wanted:
            return fix(f"Docker is not installed: install Docker Engine 25 or newer, {_NATIVE}")
        return skip("Docker is not installed: without it, ./scripts/up --native works")
    if docker.is_podman:
        return fix(
            f"Podman answers as Docker, but Compose refuses this stack's health checks on it: use a Docker"
            f" engine, {_NATIVE}"
        )
    if docker.error:
        known = engine_error(docker.error)
        return fix(f"{known}, {_NATIVE}" if known else f"Docker does not work ({docker.error})")
    version = str(docker.info.get("ServerVersion", ""))
    found = _numbers(version)
    if not found:
        return skip(f"Docker engine: its version can't be read from {version!r}; 25 or newer is needed")
    if found < _ENGINE:
        return fix(f"Docker engine {version} is too old: upgrade it to 25 or newer, {_NATIVE}")
    return ok(f"Docker engine {version}")


def check_compose(docker: Docker) -> Finding:
    """Whether Compose is installed, and new enough for docker-compose.yml."""
    version = docker.compose.output
    if not version:
        return fix(f"docker compose does not work: install Docker's Compose plugin, {_NATIVE}")
    found = _numbers(version)
    wanted = ".".join(map(str, _COMPOSE))
    if not found:
        return skip(f"Compose: its version can't be read from {version!r}; {wanted} or newer is needed")
    if found < _COMPOSE:
        return fix(f"Compose {version} is too old: upgrade it to {wanted} or newer, {_NATIVE}")
    return ok(f"Compose {version}")


def check_socket(docker: Docker, setting: str | None) -> Finding:
    """Whether the socket that `deploy` gets is the engine's; ``setting`` is DOCKER_SOCKET."""
    given = setting or _DEFAULT_SOCKET
    if docker.is_elsewhere:
        return fix(
            f"the Docker engine is on another machine ({docker.endpoint}), which has neither this directory"
            f" nor these ports: unset DOCKER_HOST or choose another docker context, {_NATIVE}"
        )
    if docker.is_in_a_machine:
        return skip(f"the engine's socket: it is in the engine's virtual machine, expected at {given} there")
    parts = urlsplit(docker.endpoint)
    if parts.scheme == "unix" and os.path.realpath(parts.path) != os.path.realpath(given):
        return fix(
            f"the engine's socket is {parts.path}, but deploy would get {given}: set"
            f" DOCKER_SOCKET={parts.path} in .env"
        )
    return ok(f"the engine's socket is {given}")


@dataclass(frozen=True)
class Publisher:
    """A running container that publishes a port, and its Compose project, if it has one."""

    container: str
    project: str


def publisher(port: int) -> Publisher | None:
    """Return which container publishes a port of this machine."""
    answer = ask(
        "ps", f"--filter=publish={port}", '--format={{.Names}}\t{{.Label "com.docker.compose.project"}}'
    )
    container, _, project = answer.output.partition("\n")[0].partition("\t")
    return Publisher(container, project) if container else None


def _read(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.output)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _numbers(version: str) -> tuple[int, int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

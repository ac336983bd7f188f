"""Look at this machine, and at what the stack has left on it; change nothing."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from stack.config import CHECKOUT, Config, load_config, load_values, read_env_file
from stack.doctor import engine, gateway, machine, network, state, stores
from stack.doctor.engine import Docker, ask, look_at_docker
from stack.doctor.finding import Finding, fix, ok, skip
from stack.errors import StackError
from stack.modes.compose import files_command
from stack.modes.docker_environment import base_image, python_image
from stack.modes.door import shown_at
from stack.modes.elsewhere import check_elsewhere
from stack.modes.engine import moment
from stack.tracking import BEHIND, is_gateway, remedy

# The name of a check, for the line that says that the check itself failed; and the check.
Check = tuple[str, Callable[[], Finding]]


def check_python(found: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Whether .venv was made with a Python that the lock supports."""
    text = ".".join(map(str, found))
    if not (3, 11) <= found < (3, 14):
        return fix(f".venv has Python {text}: delete it, and set PYTHON to a Python 3.11, 3.12 or 3.13")
    return ok(f"Python {text} in .venv")


def all_checks(mode: str | None, environ: Mapping[str, str]) -> Iterator[Check]:
    """List the checks for one mode, or for both."""
    yield "Python", check_python
    docker = look_at_docker()
    if mode != "native":
        yield from docker_checks(docker, is_wanted=mode == "docker")
    yield (
        "this machine's clock",
        lambda: machine.check_clock(datetime.now(UTC), machine.newest_change(CHECKOUT)),
    )
    yield "proxy", lambda: network.check_shell_proxy(environ)
    try:
        config = load_config()
    except StackError as error:
        reason = str(error)
        yield "settings", lambda: fix(reason)
        yield "the rest", lambda: skip("ports, disk and data: not checked until the settings are right")
        return
    yield "settings", lambda: state.check_names(read_env_file(), state.known_settings())
    yield from port_checks(config, docker)
    if config.gateway:
        yield from gateway.checks(
            config.gateway,
            config.tracking_port,
            config.project,
            has_docker=docker.is_usable and mode != "native",
        )
    if mode != "docker":
        yield "disk", lambda: machine.check_home_disk(config.home)
        yield "state directory", lambda: state.check_home(config.home)
        yield "tracking server of that directory", lambda: state.check_home_server(config)
    if not config.elsewhere:
        yield from stores.checks(config, mode, has_docker=docker.is_usable)
    if mode != "docker" and not config.elsewhere and not config.stores.has_database:
        yield "database", lambda: state.check_native_database(config.home, state.known_revisions())
    if mode != "native" and docker.is_usable:
        yield from data_checks(config, docker, environ)


def docker_checks(docker: Docker, *, is_wanted: bool) -> Iterator[Check]:
    """List the checks of Docker that need no settings; fewer if Docker can't be used."""
    yield "Docker engine", lambda: engine.check_engine(docker, is_wanted=is_wanted)
    if docker.command and not docker.is_podman:
        yield "Compose", lambda: engine.check_compose(docker)
    if not docker.is_usable:
        return
    yield "the engine's socket", lambda: engine.check_socket(docker, load_values().get("DOCKER_SOCKET"))
    yield (
        "the engine's clock",
        lambda: machine.check_engine_clock(docker.asked, moment(docker.info["SystemTime"]), docker.answered),
    )
    yield (
        "Docker's disk",
        lambda: machine.check_docker_disk(docker.info["DockerRootDir"], is_local=docker.is_local),
    )


def port_checks(config: Config, docker: Docker) -> Iterator[Check]:
    """List the ports, and the tracking server behind the first."""
    ports = {"TRACKING_PORT": config.tracking_port, "SERVING_PORT": config.serving_port}
    if config.elsewhere:
        del ports["TRACKING_PORT"]
    publishers = {name: engine.publisher(port) if docker.is_usable else None for name, port in ports.items()}

    def check(setting: str) -> Finding:
        return machine.check_port(
            setting,
            ports[setting],
            container=publishers[setting],
            project=config.project,
            own=state.own_processes(config.home),
        )

    for setting in ports:
        yield setting, partial(check, setting)
    if is_gateway(config):
        yield "tracking server", lambda: fix(f"{BEHIND}: run ./scripts/up, or choose it again in .env")
        return
    yield "tracking server", lambda: check_tracking(config)
    publisher = publishers.get("TRACKING_PORT")
    if publisher and publisher.project == config.project and not config.gateway:
        yield (
            "tracking server in Docker",
            lambda: network.check_tracking(config.own_tracking_url, is_own=True, host="tracking:5000"),
        )


def check_tracking(config: Config) -> Finding:
    """Whether the tracking server answers a client on this machine."""
    url = config.tracking_url
    if config.elsewhere or not config.gateway:
        is_own = not config.elsewhere
        return network.check_tracking(url, is_own=is_own, client=config.client, remedy=remedy(config))
    if not machine.is_taken(config.tracking_port) or not config.gateway.authority.exists():
        return skip(f"the tracking server {url} is not running")
    try:
        shown_at(config.tracking_port, config.gateway.authority)
    except OSError:
        return skip(f"the tracking server {url} was not asked, for the gateway's certificate")
    return network.check_tracking(url, is_own=False, client=config.client, remedy="run ./scripts/up")


def data_checks(config: Config, docker: Docker, environ: Mapping[str, str]) -> Iterator[Check]:
    """List the checks of this stack's images and volume."""
    base, volume = base_image(config), f"{config.project}_mlflow"
    has_base = not ask("image", "inspect", base).error

    def check_proxy() -> Finding:
        has_first = has_base or not ask("image", "inspect", python_image()).error
        return network.check_engine_proxy(environ, docker.info, has_base_image=has_first)

    def check_database() -> Finding:
        if ask("volume", "inspect", volume).error:
            return skip(f"the database in the volume {volume}: not there yet")
        if not has_base:
            return skip(f"the database in the volume {volume}: there is no image yet to read it with")
        revision = ask(*state.read_command(volume, base))
        return state.check_docker_database(volume, revision, state.known_revisions())

    yield "whose stack it is in Docker", lambda: state.check_project(config)
    yield "the engine's proxy", check_proxy
    yield "the tracking server, for containers", lambda: check_containers(config)
    if not config.elsewhere and not config.stores.has_database:
        yield "the database in Docker", check_database


def check_containers(config: Config) -> Finding:
    """Whether the containers use the tracking server that the settings name, and can reach it."""
    try:
        check_elsewhere(config, files_command(config))
    except StackError as error:
        return fix(str(error))
    whose = (
        f"the tracking server {config.elsewhere}" if config.elsewhere else "the stack's own tracking server"
    )
    return ok(f"containers are to use {whose}")


def find(name: str, check: Callable[[], Finding]) -> Finding:
    """Make a check; if it fails itself, say so in its line and go on."""
    try:
        return check()
    except Exception as error:
        return skip(f"{name}: could not be checked ({type(error).__name__}: {error})")


def examine(mode: str | None, environ: Mapping[str, str]) -> int:
    """Print a line for each check; return 1 if there is something to be fixed, else 0."""
    # scripts/lib.sh keeps the shell's own value here, because it sets another for the stack's requests.
    given = environ.get("SHELL_NO_PROXY", "")
    to_fix = 0
    try:
        for name, check in all_checks(mode, {**environ, "NO_PROXY": given, "no_proxy": given}):
            finding = find(name, check)
            to_fix += finding.state == "fix"
            print(finding, flush=True)
    except BrokenPipeError:  # as with `| head`; the output that is left would fail again at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(to_fix > 0)

"""How programs of tracking/ that work on the stores are started, whether or not the stack is up."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stack.config import CHECKOUT, TRACKING_ENV_FILE, Config
from stack.errors import StackError
from stack.modes.build_error import STARTING, docker_error
from stack.modes.compose import compose_command, service_containers
from stack.modes.docker_environment import base_image
from stack.modes.engine import Lock, find_image, run, run_shown
from stack.modes.mode import AtStores, Program
from stack.modes.parts import stores_of
from stack.modes.preflight import prepare_home
from stack.modes.processes import part_environment

_PROGRAMS = "/opt/pyfunc-stack/tracking"


@contextmanager
def here(config: Config) -> Iterator[AtStores]:
    """Yield how one is started as a process of this machine."""
    prepare_home(config)
    files = CHECKOUT / "tracking" / "server.env", TRACKING_ENV_FILE
    environment = part_environment(os.environ, *files, **stores_of(config))
    programs = CHECKOUT / "tracking"
    yield lambda name, *arguments: Program([sys.executable, str(programs / name), *arguments], environment)


@contextmanager
def in_docker(config: Config) -> Iterator[AtStores]:
    """Yield how one is started in the container of the tracking server.

    If that is not up, in one like it, which is there meanwhile.

    Raises:
        StackError: if there can be none.

    """
    with _container(config) as container:
        # Not `docker run`: the engine would log what it writes, which may be a whole archive.
        command = ["docker", "exec", "--interactive", container, "python"]
        environment = dict(os.environ)
        yield lambda name, *arguments: Program([*command, f"{_PROGRAMS}/{name}", *arguments], environment)


def failure(said: str) -> StackError:
    """Return the error for a program that failed without an answer, by what it wrote as errors."""
    last = said.strip().rpartition("\n")[2]
    if "can't open file" in last:
        last = "the tracking server that runs is older than this checkout; run ./scripts/up"
    return StackError(last or "the program at the stores ended without a word; run this again")


@contextmanager
def _container(config: Config) -> Iterator[str]:
    """Yield the name of a container that is as the tracking server's; it may be that.

    If it is not, it is a lock, too: whoever has it stops the servers of the stores at the end.
    """
    found = service_containers(config, "tracking")
    if found and found[0]["State"]["Running"] and not found[0]["State"]["Restarting"]:
        yield str(found[0]["Id"])
        return
    if find_image(base_image(config)) is None:
        status, printed = run_shown(compose_command(config, "build", "tracking"))
        if status != 0:
            raise docker_error("Compose did not build the tracking server's image", printed, STARTING)
    stopped = [it for it in config.stores.services if not _is_running(config, it)]
    name = f"{config.project}-stores"
    command = compose_command(config, "run", "--rm", "-T", f"--name={name}", "tracking", "cat")
    lock = Lock(name, command, "another ./scripts/backup, restore or gc")
    lock.acquire()
    try:
        yield name
    finally:
        if stopped and not _comes_up(config):
            run(compose_command(config, "stop", *stopped))
        lock.release()


def _comes_up(config: Config) -> bool:
    """Whether somebody has brought the stack up meanwhile, or is about to."""
    return any(found["State"]["Status"] != "exited" for found in service_containers(config, "tracking"))


def _is_running(config: Config, service: str) -> bool:
    return any(found["State"]["Running"] for found in service_containers(config, service))

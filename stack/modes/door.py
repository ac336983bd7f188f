"""The gateway, as its clients on this machine need it, and with Docker as its users do."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack.config import Config
from stack.errors import StackError
from stack.gateway import Gateway
from stack.modes.engine import container_log, hold, moment, run
from stack.modes.processes import Process
from stack.tracking import BEHIND, is_gateway
from stack.wait import wait_until

_UP_WITHIN = 30  # seconds
# Where Caddy keeps its own authority, in its storage.
ROOT = "pki/authorities/local/root.crt"


def trust(config: Config) -> None:
    """See to it that this machine's clients have the certificate of the gateway's authority, and a login.

    Raises:
        StackError: if no gateway has made one yet, or one runs that the settings do not choose.

    """
    gateway = config.gateway
    if gateway is None and is_gateway(config):
        raise StackError(f"{BEHIND}; run ./scripts/up, or choose it again in .env")
    if gateway is None or config.container_url:
        return
    if not gateway.authority.exists() or _is_replaced(config, gateway):
        renew_trust(config, gateway)
    if not gateway.has_login:  # it was started by `docker compose up`
        gateway.login()
        reload(config)


def _is_replaced(config: Config, gateway: Gateway) -> bool:
    """Whether the authority is not that of the gateway any more, as after `docker compose down --volumes`."""
    try:
        shown_at(config.tracking_port, gateway.authority)
    except ssl.SSLError:
        return True
    except OSError:  # it is not up
        return False
    return False


def renew_trust(config: Config, gateway: Gateway) -> None:
    """Do so although one is there: data that were deleted had another authority."""
    gateway.home.mkdir(parents=True, exist_ok=True)
    if Process(config.home, "gateway").is_running():
        gateway.authority.write_bytes((gateway.home / "caddy" / ROOT).read_bytes())
        return
    copied = run(["docker", "cp", f"{_container(config)}:/data/{ROOT}", str(gateway.authority)])
    if copied.returncode != 0:
        raise StackError(
            f"the gateway is not up, so its certificate is not known ({copied.stderr.strip()}); run"
            " ./scripts/up"
        )
    gateway.authority.chmod(0o644)


def shown_at(port: int, authority: Path) -> dict[str, Any]:
    """Return the certificate for localhost that the gateway shows at a port, as getpeercert has it.

    Raises:
        OSError: if it shows none that the authority in that file vouches for; an SSLError is one, too.

    """
    return shake_hands(port, "localhost", ssl.create_default_context(cafile=authority))


def shake_hands(port: int, name: str, context: ssl.SSLContext) -> dict[str, Any]:
    """Return the certificate that a port of this machine shows for a name, as getpeercert has it.

    Raises:
        OSError: if there is none that the context accepts; an SSLError is one, too.

    """
    with (
        socket.create_connection(("localhost", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.getpeercert() or {}


def not_up(config: Config, authority: Path) -> str | None:
    """Connect to both ports once; return None if each shows a certificate for localhost, else the reason."""
    try:
        for port in (config.tracking_port, config.serving_port):
            shown_at(port, authority)
    except OSError as error:
        return str(error)
    return None


def check_up(config: Config, gateway: Gateway) -> None:
    """Return when the gateway that Docker has started answers, and its clients can check its certificate.

    A certificate of the user's that was renewed since it was started is loaded by starting it again: a file
    that was replaced is another one, for a container.

    Raises:
        StackError: if it does not answer, with the end of its log.

    """
    container = _container(config)
    started = run(["docker", "container", "inspect", "--format={{.State.StartedAt}}", container]).stdout
    files = [file for file in (gateway.certificate, gateway.key) if file]
    changed = [found.st_ctime for file in files for found in (file.stat(), file.lstat())]
    if started and changed and max(changed) > moment(started.strip()).timestamp():
        run(["docker", "restart", container])

    def not_yet() -> str | None:
        try:
            renew_trust(config, gateway)
        except StackError as error:
            return str(error)
        return not_up(config, gateway.authority)

    try:
        wait_until(not_yet, timeout=_UP_WITHIN)
    except StackError as error:
        log = "\n".join(f"    {line}" for line in container_log(container, "--tail=3").splitlines())
        raise StackError(f"the gateway fails to start: {error}; the end of its log:\n{log}") from error


def _container(config: Config) -> str:
    return f"{config.project}-gateway-1"


def reload(config: Config) -> bool:
    """Let a gateway that runs with Docker read its users and certificates again; return whether one runs.

    Raises:
        StackError: if it goes on with those that it has.

    """
    running = run(["docker", "container", "inspect", "--format={{.State.Running}}", _container(config)])
    if running.stdout.strip() != "true":
        return False
    command = reload_command("caddy", "/etc/caddy/Caddyfile", "unix//data/admin.sock")
    check_reload(run(["docker", "exec", _container(config), *command]))
    return True


def reload_command(caddy: str, file: str, admin: str) -> list[str]:
    """Build the command line that lets a gateway load all anew, its certificates too."""
    return [caddy, "reload", "--force", f"--config={file}", f"--address={admin}"]


def check_reload(told: "subprocess.CompletedProcess[str]") -> None:
    """Raise StackError if Caddy has refused that."""
    if told.returncode != 0:
        last = told.stderr.strip().rpartition("\n")[2]
        raise StackError(
            f"the gateway goes on with the users that it had: Caddy says: {last}; correct or remove that file"
            " in gateway/users, then run this again"
        )


# The gateway splits while its process runs, which ends with its standard input.
_SPLIT = """
cd /data/canary && trap 'rm -f share' EXIT && printf %s "$1" >address && printf %s "$2" >share && cat
"""


@contextmanager
def splitting(config: Config, address: str, percent: int) -> Iterator[Callable[[], bool]]:
    """Let the gateway that runs with Docker send so many of 100 requests to an address, while this runs.

    Yields whether it still does so; when it is started again, it does not.

    Raises:
        StackError: if it does not begin.

    """
    share = f"{round(percent * 65536 / 100):04x}"
    command = ["docker", "exec", "--interactive", _container(config), "sh", "-c", _SPLIT, "-", address, share]
    holder, error = hold(command)
    if holder is None:
        raise StackError(f"the gateway does not split the requests ({error}); run ./scripts/up")
    try:
        yield lambda: holder.poll() is None
    finally:
        holder.communicate()

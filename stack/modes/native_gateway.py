"""The gateway without Docker: Caddy as a local process, and where the servers behind it listen.

They listen on ports of their own and answer only who shows a secret. The ports are kept, so that each command
and a server that is started later find them.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.gateway import Gateway
from stack.modes.aside import Aside
from stack.modes.build_error import caddy_error
from stack.modes.door import ROOT, check_reload, not_up, reload_command, renew_trust
from stack.modes.processes import Process, failure, part_environment
from stack.wait import wait_until

NAME = "gateway"
_CADDY = Aside("Caddy", "gateway", "a few seconds; it fetches 18 MB", caddy_error)
_OLDEST = (2, 11)
_CADDYFILE = CHECKOUT / "gateway" / "Caddyfile"
# From the state directory on: a socket's whole path might be too long.
_ADMIN = "unix/gateway/caddy/admin.sock"
_UP_WITHIN = 30  # seconds


@dataclass(frozen=True)
class Behind:
    """Where the stack's own servers listen: on the public ports or, behind a gateway, on others.

    ``secret`` is what they want to see then, and ``host`` the name by which they are asked.
    """

    tracking_port: int
    serving_port: int
    secret: str = ""
    host: str = ""

    @property
    def tracking_url(self) -> str:
        """Where the tracking server answers that it is healthy."""
        return f"http://127.0.0.1:{self.tracking_port}"


def behind(config: Config) -> Behind:
    """Return where the servers listen; behind a gateway, choose that at the first call."""
    gateway = config.gateway
    if gateway is None:
        return Behind(config.tracking_port, config.serving_port)
    file = _ports_file(gateway)
    if not file.exists():
        _choose(gateway)
    tracking, serving = map(int, file.read_text().split())
    return Behind(tracking, serving, gateway.secret(), gateway.host)


def choose_ports(config: Config, *, is_serving: bool) -> None:
    """Choose inner ports anew, if there is a gateway; not that of a model server, if one ``is_serving``."""
    if config.gateway:
        _choose(config.gateway, str(behind(config).serving_port) if is_serving else "")


def _choose(gateway: Gateway, serving: str = "") -> None:
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        ports = (one.getsockname()[1], serving or other.getsockname()[1])
    gateway.home.mkdir(parents=True, exist_ok=True)
    _ports_file(gateway).write_text(" ".join(map(str, ports)))


def _ports_file(gateway: Gateway) -> Path:
    return gateway.home / "ports"


def check_running(config: Config) -> None:
    """Raise StackError if the stack that runs was started with another gateway than the settings choose."""
    process = Process(config.home, NAME)
    runs = process.note() if process.is_running() else ""
    wanted = chosen(config)
    if runs == wanted:
        return
    how = (
        "with other settings of the gateway" if runs and wanted else f"with{'' if runs else 'out'} a gateway"
    )
    raise StackError(f"the stack that runs here was started {how}; run ./scripts/up --native")


def prepare(home: Path, on_wait: Callable[[], None] = lambda: None) -> str:
    """Return a Caddy that is new enough: that of the PATH, or else the locked one, which is installed.

    Raises:
        StackError: if it can't be installed, with what uv says.

    """
    found = shutil.which("caddy")
    if found and _release(found) >= _OLDEST:
        return found
    return str(_CADDY.prepare(home, on_wait) / "bin" / "caddy")


def _release(caddy: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([caddy, "version"], capture_output=True, text=True).stdout
    except OSError:
        return ()
    found = re.match(r"v?(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def start_command(caddy: str) -> list[str]:
    """Build its command line."""
    return [caddy, "run", "--config", str(_CADDYFILE)]


def variables(config: Config, gateway: Gateway) -> dict[str, str]:
    """Return what the Caddyfile names. compose/gateway.yml sets the same for the other mode."""
    inner, storage = behind(config), str(gateway.home / "caddy")
    own = "own-" if gateway.certificate else ""
    return {
        "GATEWAY_HOST": gateway.host,
        "GATEWAY_BIND": gateway.bind,
        "GATEWAY_ADMIN": _ADMIN,
        "GATEWAY_STORAGE": storage,
        "GATEWAY_USERS": str(gateway.users),
        "GATEWAY_SECRET": inner.secret,
        "TRACKING_PORT": str(config.tracking_port),
        "SERVING_PORT": str(config.serving_port),
        "TRACKING_UPSTREAM": f"127.0.0.1:{inner.tracking_port}",
        "SERVING_UPSTREAM": "process",
        "SERVING_ADDRESS": f"127.0.0.1:{inner.serving_port}",
        "CERTIFICATE": f"{'acme-' if gateway.acme_email else own}certificate",
        "TLS_CERTIFICATE": str(gateway.certificate or ""),
        "TLS_KEY": str(gateway.key or ""),
        "ACME_EMAIL": gateway.acme_email,
        # Caddy keeps there what it was told last, the secret too.
        "XDG_CONFIG_HOME": storage,
        "XDG_DATA_HOME": storage,
    }


def chosen(config: Config) -> str:
    """Return a digest of the gateway that the settings choose, without its ports behind; empty if none."""
    gateway = config.gateway
    if gateway is None:
        return ""
    own = (gateway.host, gateway.bind, gateway.certificate, gateway.key, gateway.acme_email)
    text = json.dumps([*map(str, own), config.tracking_port, config.serving_port])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def start(config: Config, caddy: str, environ: Mapping[str, str], on_wait: Callable[[], None]) -> None:
    """Start the gateway; return when it answers and this machine's clients can check its certificate.

    Raises:
        StackError: if it does not start, with the end of its log.

    """
    gateway = config.gateway
    if gateway is None:
        return
    gateway.login()
    (gateway.home / "caddy").mkdir(parents=True, exist_ok=True)
    process = Process(config.home, NAME)
    environment = part_environment(environ, **variables(config, gateway))
    process.start(start_command(caddy), environment, config.home, note=chosen(config))
    try:
        wait_until(
            lambda: not_up(config, gateway.home / "caddy" / ROOT),
            timeout=_UP_WITHIN,
            alive=process.is_running,
            on_wait=on_wait,
        )
    except StackError as error:
        if why := _refused(caddy, environment):
            raise StackError(f"the gateway fails to start: Caddy says: {why}") from error
        raise failure(process, f"fails to start: {error}") from error
    renew_trust(config, gateway)


def reload(config: Config) -> bool:
    """Let a gateway that runs read its users and certificates again; return whether one runs.

    Raises:
        StackError: if it goes on with those that it has.

    """
    if config.gateway is None or not Process(config.home, NAME).is_running():
        return False
    command = reload_command(prepare(config.home), str(_CADDYFILE), _ADMIN)
    environment = part_environment(os.environ, **variables(config, config.gateway))
    told = subprocess.run(command, env=environment, cwd=config.home, capture_output=True, text=True)
    check_reload(told)
    return True


def _refused(caddy: str, environment: Mapping[str, str]) -> str:
    """Return why Caddy refuses its settings, which its log does not say; empty if it does not."""
    command = [caddy, "validate", "--config", str(_CADDYFILE)]
    checked = subprocess.run(command, env=environment, capture_output=True, text=True)
    if checked.returncode == 0:
        return ""
    last = checked.stderr.splitlines()[-1:] or ["nothing"]
    try:
        return str(json.loads(last[0])["msg"])
    except (ValueError, KeyError, TypeError):
        return last[0]

"""The gateway with Docker, as its clients on this machine need it."""

import http
import http.client
import ssl

from stack.config import Config
from stack.errors import StackError
from stack.gateway import Gateway, token
from stack.modes.engine import run
from stack.modes.processes import Process
from stack.wait import wait_until

# Caddy looks for users once a second.
_SEEN_WITHIN = 10
# Where Caddy keeps its own authority, in its storage.
ROOT = "pki/authorities/local/root.crt"


def trust(config: Config) -> None:
    """Put the certificate of the gateway's authority where its clients look for it, if it is not there.

    Raises:
        StackError: if no gateway has made one yet.

    """
    gateway = config.gateway
    if gateway is None or config.container_url:
        return
    if not gateway.authority.exists():
        renew_trust(config, gateway)
    if not gateway.has_login:
        gateway.login()
        wait_until(lambda: _not_let_in(config, gateway), timeout=_SEEN_WITHIN)


def _not_let_in(config: Config, gateway: Gateway) -> str | None:
    """Ask the gateway once as the stack's own user; return None if it lets that in, else the reason."""
    context = ssl.create_default_context(cafile=str(gateway.authority))
    connection = http.client.HTTPSConnection("localhost", config.serving_port, timeout=5, context=context)
    login = {"Authorization": f"Bearer {token(*gateway.login())}"}
    try:
        connection.request("GET", "/version", headers=login)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the gateway: {error}"
    finally:
        connection.close()
    return f"the gateway answers with status {status}" if status == http.HTTPStatus.UNAUTHORIZED else None


def renew_trust(config: Config, gateway: Gateway) -> None:
    """Do so although one is there: data that were deleted had another authority."""
    gateway.home.mkdir(parents=True, exist_ok=True)
    if Process(config.home, "gateway").is_running():
        gateway.authority.write_bytes((gateway.home / "caddy" / ROOT).read_bytes())
        return
    copied = run(["docker", "cp", f"{config.project}-gateway-1:/data/{ROOT}", str(gateway.authority)])
    if copied.returncode != 0:
        raise StackError(
            f"the gateway is not up, so its certificate is not known ({copied.stderr.strip()}); run"
            " ./scripts/up"
        )

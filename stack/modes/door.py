"""The gateway with Docker, as its clients on this machine need it."""

from stack.config import Config
from stack.errors import StackError
from stack.gateway import Gateway
from stack.modes.engine import run
from stack.modes.processes import Process

# Where Caddy keeps its own authority, in its storage.
ROOT = "pki/authorities/local/root.crt"


def trust(config: Config) -> None:
    """Put the certificate of the gateway's authority where its clients look for it, if it is not there.

    Raises:
        StackError: if no gateway has made one yet.

    """
    gateway = config.gateway
    if gateway is None or config.container_url or gateway.authority.exists():
        return
    renew_trust(config, gateway)


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

"""The verbs for those who may log in at the gateway."""

from stack.config import Config
from stack.errors import StackError
from stack.gateway import OVERLAY, Gateway, check_name, token
from stack.modes import door, native_gateway


def add(config: Config, name: str, role: str) -> None:
    """Let a user in, and print the secret, once; StackError if nobody can have that name."""
    gateway = _gateway(config)
    check_name(name)
    secret = gateway.add(name, role)
    _tell(config)
    print(f"{name} may log in as {role}; this secret is shown once:")
    print(f"    secret  {secret}")
    print(f"    token   {token(name, secret)}")


def remove(config: Config, name: str) -> None:
    """Let a user in no more; StackError if there is none of that name."""
    gateway = _gateway(config)
    check_name(name)
    gateway.remove(name)
    _tell(config)
    print(f"{name} may not log in any more")


def listed(config: Config) -> None:
    """Print each user and the role."""
    users = _gateway(config).listed()
    for user in users:
        print(f"{user.name:20} {user.role}")
    if not users:
        print("there is no user yet; run: ./scripts/user add NAME")


def _tell(config: Config) -> None:
    """Let a gateway that runs know; one that starts later reads the users then."""
    if not native_gateway.reload(config):
        door.reload(config)


def _gateway(config: Config) -> Gateway:
    if config.gateway is None:
        raise StackError(
            f"there is no gateway to log in at; set COMPOSE_FILE=docker-compose.yml:{OVERLAY} in .env first"
        )
    return config.gateway

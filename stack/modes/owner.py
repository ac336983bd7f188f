"""Whose a stack is: two checkouts may have the same project name, or the same state directory."""

from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.engine import containers

DIRECTORY = "com.docker.compose.project.working_dir"


class OwnerError(StackError):
    """The stack is another checkout's."""


def is_another(checkout: str) -> bool:
    """Whether that is another checkout which still exists; one that was moved or deleted owns nothing."""
    path = Path(checkout)
    try:
        (path / "docker-compose.yml").stat()
        return path.resolve() != CHECKOUT
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # this user may not look into it, so it is another user's
        return True


def check_owner(config: Config) -> None:
    """Raise OwnerError if another checkout has made a container of this project.

    Compose notes the directory on each container, and on nothing that outlives `down`.
    """
    for found in containers(f"label=com.docker.compose.project={config.project}"):
        checkout = found["Config"]["Labels"].get(DIRECTORY, "")
        if checkout and is_another(checkout):
            raise OwnerError(
                f"the stack {config.project} in Docker is that of {checkout}; run ./scripts/down there, or"
                " set COMPOSE_PROJECT_NAME, TRACKING_PORT and SERVING_PORT in .env, to have another one here"
            )

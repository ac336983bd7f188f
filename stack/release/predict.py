"""Send a file to the model server."""

from http import HTTPStatus
from pathlib import Path

from stack.config import Config
from stack.errors import StackError
from stack.modes.door import trust
from stack.release.client import NO_DOOR, Door, ask


def door_of(config: Config) -> Door:
    """Return how this machine's own user passes the gateway, if there is one."""
    if config.gateway is None:
        return NO_DOOR
    trust(config)
    return Door(config.gateway.login(), str(config.gateway.authority))


def predict(url: str, file: Path, timeout: int, door: Door = NO_DOOR) -> str:
    """Post a request, as JSON or as CSV, to the model server at ``url``; return the body of its answer.

    ``timeout`` is the server's own limit for a prediction, in seconds; ``door`` is what lies before it.

    Raises:
        StackError: if the file can't be read, nothing answers, or the server refuses the request.

    """
    try:
        body = file.read_bytes()
    except OSError as error:
        raise StackError(f"can't read {file} ({error.strerror}); name a file that exists") from error
    content_type = "text/csv" if file.suffix == ".csv" else "application/json"
    answer = ask(url, body, content_type, timeout=timeout, door=door)
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and door.login:
        raise StackError(
            f"the gateway does not let {door.login[0]} in (status {answer.status_code}); run ./scripts/up, or"
            " see its log"
        )
    if not answer.ok:
        hint = f"; {url}/docs shows what it takes" if answer.status_code < 500 else ""
        raise StackError(
            f"the model server refused {file} with status {answer.status_code}: {answer.text}{hint}"
        )
    return answer.text

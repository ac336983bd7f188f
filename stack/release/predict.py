"""Send a file to the model server."""

from pathlib import Path

from stack.config import Config
from stack.errors import StackError
from stack.modes.door import trust
from stack.release.client import NO_DOOR, Door, ask


def predict(config: Config, file: Path) -> str:
    """Post a request, as JSON or as CSV, to the model server; return the body of its answer.

    Raises:
        StackError: if the file can't be read, nothing answers, or the server refuses the request.

    """
    try:
        body = file.read_bytes()
    except OSError as error:
        raise StackError(f"can't read {file} ({error.strerror}); name a file that exists") from error
    content_type = "text/csv" if file.suffix == ".csv" else "application/json"
    url, door = config.serving_url, NO_DOOR
    if config.gateway:
        trust(config)
        door = Door(config.gateway.login(), str(config.gateway.authority))
    answer = ask(url, body, content_type, timeout=config.server_timeout, door=door)
    if not answer.ok:
        hint = f"; {url}/docs shows what it takes" if answer.status_code < 500 else ""
        raise StackError(
            f"the model server refused {file} with status {answer.status_code}: {answer.text}{hint}"
        )
    return answer.text

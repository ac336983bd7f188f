"""The client of a model server on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import requests

from stack.errors import StackError
from stack.tracking import BEHIND


@dataclass(frozen=True)
class Door:
    """What a model server's client needs to be let in: a login, the authority's file, headers."""

    login: tuple[str, str] | None = None
    verified_by: str | bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


NO_DOOR = Door()
# So many seconds after its own limit, the server should have said that the model is too slow.
_MORE = 5


def ask(
    url: str, body: str | bytes, content_type: str = "application/json", *, timeout: int, door: Door = NO_DOOR
) -> requests.Response:
    """Post a request for predictions to the model server at ``url``, past any proxy; return its answer.

    ``timeout`` is the server's own limit for a prediction, in seconds; ``door`` is what lies before it.

    Raises:
        StackError: if nothing answers, or not in time.

    """
    session = requests.Session()
    session.trust_env = False  # a proxy that the environment names can't reach this machine's own ports
    session.auth, session.verify = door.login, door.verified_by
    headers = {"Content-Type": content_type, **door.headers}
    try:
        answer = session.post(
            f"{url}/invocations", data=body, headers=headers, timeout=timeout + _MORE, allow_redirects=False
        )
    except requests.Timeout as error:
        raise StackError(
            f"{url} gave no answer within {timeout + _MORE} s; send fewer rows, or make the model faster"
        ) from error
    except requests.RequestException as error:
        raise StackError(f"nothing answers at {url} ({type(error).__name__}); run: ./scripts/up") from error
    if answer.is_redirect:
        raise StackError(f"{BEHIND}; run ./scripts/up, or choose it again in .env")
    return answer

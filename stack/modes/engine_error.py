"""Why no Docker engine answers, by the words of the docker command, and what to do."""

import re
import subprocess
from dataclasses import dataclass

from stack.errors import StackError

_ASK = ["docker", "version", "--format={{.Server.Version}}"]
_PATIENCE = 20  # seconds


class EngineError(StackError):
    """No Docker engine answers: ``what`` says why, and ``remedy`` what to do, if that is known.

    ``is_absent`` says that there is none, or none runs, so nothing of ours can run in it.
    """

    def __init__(self, what: str, remedy: str = "", *, is_absent: bool = False) -> None:
        """Make the text of both."""
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy
        self.is_absent = is_absent


@dataclass(frozen=True)
class _Kind:
    """A pattern of the docker command's words, and what they mean."""

    words: str
    what: str
    remedy: str
    is_absent: bool = False


_REFUSED = "permission denied while trying to connect"
_NOTHING = "(cannot connect to the docker daemon|failed to connect to the docker api)"
_USUAL = r" .*unix://(/var)?/run/docker\.sock"
# The words of Docker 26 to 29. The first that fits counts.
_KINDS = (
    _Kind(
        _REFUSED + _USUAL,
        "this user may not use the Docker engine",
        "run: sudo usermod -aG docker $USER, and log in again",
    ),
    _Kind(
        _REFUSED,
        "this user may not use the Docker engine that DOCKER_HOST or docker context names",
        "correct that",
    ),
    _Kind(_NOTHING + _USUAL, "no Docker engine answers", "start it", is_absent=True),
    _Kind(
        _NOTHING,
        "no Docker engine answers where DOCKER_HOST or docker context says",
        "start it, or correct that",
        is_absent=True,
    ),
    _Kind(
        "error during connect|unable to resolve docker endpoint|unable to parse docker host",
        "Docker does not reach the engine that DOCKER_HOST or docker context names",
        "correct that",
    ),
    _Kind("no answer within", "the Docker engine does not answer", "restart it"),
)


def engine_error(said: str) -> EngineError | None:
    """Return what these words of the docker command mean; None if an engine has answered."""
    for kind in _KINDS:
        if found := re.search(f".*({kind.words}).*", said, re.IGNORECASE):
            # The request that could not be sent says nothing to a user.
            request = r'(Get|Post|Head) "\S*": '
            words = re.sub(rf"^(ERROR|docker): |{request}|: {request}dial unix .*", "", found[0].strip())
            return EngineError(f"{kind.what} ({words})", kind.remedy, is_absent=kind.is_absent)
    return None


def why_no_engine() -> EngineError | None:
    """Ask whether a Docker engine can be used from here; return None if one can."""
    try:
        asked = subprocess.run(
            _ASK, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return engine_error(f"no answer within {_PATIENCE} s")
    except OSError as error:
        what = f"there is no docker command that can be run here ({error.strerror})"
        return EngineError(what, "install Docker Engine 25 or newer", is_absent=True)
    if asked.returncode == 0:
        return None
    said = (asked.stderr or asked.stdout).strip()
    return engine_error(said) or EngineError(f"Docker does not work here ({said})")

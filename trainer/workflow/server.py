"""The tracking server, as the trainer sees it: it waits for one that starts, and tells why one fails."""

import os
import time
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException, RestException
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from workflow.answers import first_paragraph
from workflow.definition import TrainingError

Caught = TypeVar("Caught", bound=BaseException)
_WITHIN, _ELSEWHERE_WITHIN = 120, 30
_NO_ANSWER = 502


def is_elsewhere() -> bool:
    """Whether the stack only uses the server: then it does not start at the same time."""
    return bool(os.environ.get("TRACKING_ELSEWHERE"))


def _remedy() -> str:
    if is_elsewhere():
        is_stacks = os.environ.get("TRACKING_STACK")
        correct = "TRACKING_STACK or TRACKING_PORT" if is_stacks else "MLFLOW_TRACKING_URI"
        return f"see its log, or correct {correct}"
    return "see its log: docker compose logs tracking, or logs/tracking.log in the state directory"


def wait_for_server(uri: str, within: float | None = None) -> None:
    """Return when there is an answer at ``uri``; ``within`` is in seconds.

    Whatever it is, unless it says that a gateway gets none from the server behind it.

    Raises:
        TrainingError: if there is none by then.

    """
    if within is None:
        within = _ELSEWHERE_WITHIN if is_elsewhere() else _WITHIN
    certificate = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    deadline = time.monotonic() + within
    while True:
        try:
            answer = requests.get(f"{uri}/health", timeout=5, verify=certificate)
            if answer.status_code == _NO_ANSWER:
                raise requests.HTTPError("the gateway gets no answer from it")
        except requests.exceptions.SSLError:  # there is one; MLflow's client may know its certificate
            return
        except requests.RequestException as error:
            if time.monotonic() >= deadline:
                raise TrainingError(
                    f"the tracking server {uri} did not answer within {within:.0f} s: {_reason(error)};"
                    f" {_remedy()}"
                ) from error
            time.sleep(0.1)
        else:
            return


def is_down(uri: str, error: Exception) -> bool:
    """Whether an error says that the tracking server gave no answer, or only answers of status 5xx."""
    return (
        isinstance(error, MlflowException)
        and uri in str(error)
        and bool(_causes(error, requests.RequestException))
    )


def why_failed(uri: str, error: MlflowException) -> str:
    """Say what failed at the tracking server, in its own last words, and what to do if that is known."""
    said = first_paragraph(error)
    for cause in _causes(error, requests.RequestException):
        if _causes(cause, NewConnectionError, ConnectTimeoutError):
            return f"the tracking server {uri} did not answer: {_reason(cause)}; start it, then train again"
        # It has broken off the request, or has given answers of status 5xx, and no others.
        if away := _away(uri, cause):
            return f"the tracking server {uri} failed: {away}; then train again"
        return f"the tracking server {uri} failed: {_answer(cause) or _reason(cause)}; {_remedy()}"
    if _causes(error, RestException):
        return f"the tracking server {uri} refused a request: {said}"
    return f"MLflow failed: {said}"


def _causes(error: BaseException, *kinds: type[Caught]) -> list[Caught]:
    """Return those of these kinds among an error and its causes."""
    found = []
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kinds):
            found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _reason(error: BaseException) -> str:
    """Return the innermost error, without the names of the layers around it."""
    inside = (getattr(error, "reason", None), *error.args)  # `reason` is of urllib3's MaxRetryError
    inner = next((part for part in inside if isinstance(part, BaseException)), None)
    return _reason(inner) if inner else " ".join(str(error).rpartition(": ")[2].split())


def _away(uri: str, error: requests.RequestException) -> str:
    """Ask what is wrong with the server's database or bucket, with the login of the request that failed."""
    login = dict(error.request.headers) if error.request is not None else {}
    headers = {"Authorization": login["Authorization"]} if "Authorization" in login else {}
    certificate = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    try:
        answer = requests.get(f"{uri}/stores", timeout=15, verify=certificate, headers=headers)
        told = answer.json() if answer.status_code == 503 else {}
        return "; and ".join(filter(None, (told.get("database"), told.get("artifacts"))))
    except (requests.RequestException, OSError, ValueError, AttributeError, TypeError):
        return ""  # another server has no such page


def _answer(error: requests.RequestException) -> str:
    """Ask once more, because the client keeps no answer of status 5xx; return what the server says."""
    if error.request is None:
        return ""
    try:
        with requests.Session() as session:
            answer = session.send(error.request, timeout=5)  # type: ignore[arg-type]
        return str(answer.json()["message"]).splitlines()[0]
    except (requests.RequestException, ValueError, KeyError, TypeError, IndexError):
        return ""  # the body of an upload is gone, and the answer to it says nothing but the status

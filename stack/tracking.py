"""Whether the tracking server answers: the stack's own, or one elsewhere."""

import http.client
from collections.abc import Mapping

from stack.config import Config
from stack.wait import health_status, not_healthy

BEHIND = "the stack that runs here was started with a gateway, and the settings choose none"
_WITHIN, _ELSEWHERE_WITHIN = 120, 30


def seconds_to_wait(config: Config) -> float:
    """Return for how long a start waits for the server: the stack's own starts at the same time."""
    return _ELSEWHERE_WITHIN if config.elsewhere else _WITHIN


def remedy(config: Config) -> str:
    """Say what mends a server elsewhere that does not answer."""
    correct = "TRACKING_STACK or TRACKING_PORT" if config.tracking_stack else "MLFLOW_TRACKING_URI"
    return f"start that server, or correct {correct}"


def no_answer(config: Config) -> str | None:
    """Ask the tracking server once; return None if it answers, else the reason.

    Of a server elsewhere, or behind a gateway, any answer will do: what lies before it may want a login. It
    is asked as MLflow's client asks it, by a proxy if one is set.
    """
    if not config.elsewhere and not config.is_guarded:
        return not_healthy(config.tracking_url)
    import requests

    verify, name = verified_by(config.client), config.elsewhere or config.tracking_url
    try:
        with requests.Session() as session:
            status = session.get(f"{config.tracking_url}/health", timeout=5, verify=verify).status_code
    except (requests.RequestException, OSError) as error:  # OSError: the file of the certificate
        return f"{name}: {_innermost(error)}"
    return None if status < 500 else f"{name}: it answers with status {status}"


def is_gateway(config: Config) -> bool:
    """Whether a gateway answers where the stack's own tracking server is to answer: it wants HTTPS."""
    if config.gateway or config.elsewhere or config.container_url:
        return False
    try:
        return health_status(config.own_tracking_url) == http.client.PERMANENT_REDIRECT
    except (OSError, http.client.HTTPException):
        return False


def stores_away(config: Config) -> list[str]:
    """Ask the stack's own tracking server what is wrong with its database and its bucket, if it has any."""
    if config.elsewhere:
        return []
    client = config.client
    login = client.get("MLFLOW_TRACKING_USERNAME", ""), client.get("MLFLOW_TRACKING_PASSWORD", "")
    import requests

    try:
        answer = requests.get(
            f"{config.tracking_url}/stores",
            timeout=15,
            verify=verified_by(client),
            auth=login if any(login) else None,
        )
        told = answer.json() if answer.status_code == 503 else {}
        return [str(told[name]) for name in ("database", "artifacts") if told.get(name)]
    except (requests.RequestException, OSError, ValueError, AttributeError):
        return []  # it has none of them


def verified_by(client: Mapping[str, str]) -> str | bool:
    """Return what a server's certificate is checked by: a file, the usual ones (True), or nothing (False)."""
    is_unsafe = client.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    return client.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or not is_unsafe


def _innermost(error: BaseException) -> str:
    """Return the error's cause, without the names of the layers around it."""
    inside = (getattr(error, "reason", None), *error.args)  # `reason` is of urllib3's MaxRetryError
    inner = next((part for part in inside if isinstance(part, BaseException)), None)
    return _innermost(inner) if inner else str(error).rpartition(": ")[2]

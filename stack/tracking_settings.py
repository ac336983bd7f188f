"""The settings of the tracking server: where it is, and how a client logs in there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from stack.errors import StackError

_CERTIFICATE, _INSECURE = "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"
# How MLflow's client logs in at a tracking server, and checks its certificate.
CLIENT_SETTINGS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    _CERTIFICATE,
    _INSECURE,
)
_OWN_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0", "::1")  # noqa: S104 - nothing listens there


@dataclass(frozen=True)
class OwnServer:
    """A server of this stack, as it is reached on this machine; ``gateway`` is the name of one before it."""

    port: int
    gateway: str | None = None

    @property
    def url(self) -> str:
        """Its address, in the one spelling that the stack uses."""
        # The gateway's own authority vouches for localhost.
        return f"http://127.0.0.1:{self.port}" if self.gateway is None else f"https://localhost:{self.port}"

    def is_at(self, parts: SplitResult) -> bool:
        """Whether an address is another spelling of its own."""
        scheme = urlsplit(self.url).scheme
        is_here = parts.hostname in _OWN_HOSTS or parts.hostname == self.gateway
        return is_here and (parts.scheme, parts.port, parts.path) == (scheme, self.port, "")


def tracking_url(values: Mapping[str, str], own: OwnServer) -> str:
    """Return the address of the tracking server, without a password; the stack's own has one spelling only.

    What is no server's address, such as `databricks`, is for other programs and names none here:
    check_tracking refuses it where the server is asked.
    """
    parts = _address(values)
    if parts is None:
        return own.url
    return own.url if own.is_at(parts) else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def client_settings(values: Mapping[str, str], checkout: Path) -> dict[str, str]:
    """Return what MLflow's client logs in with; the path of a certificate is one from the checkout on."""
    found = {name: values[name] for name in CLIENT_SETTINGS if name in values}
    return {name: str(checkout / value) if name == _CERTIFICATE else value for name, value in found.items()}


def check_tracking(values: Mapping[str, str], project: str, own: OwnServer, checkout: Path) -> None:
    """Raise StackError if the settings name no tracking server, or two; or if a client can't use them."""
    is_container = "CONTAINER_URL" in values  # there, the stack itself has set some of them
    parts = _address(values)
    if "MLFLOW_TRACKING_URI" in values and parts is None:
        # Another kind of address may hold a password, so it is not shown.
        raise StackError(
            "MLFLOW_TRACKING_URI is not the address of a tracking server; set it to one that begins with"
            " http:// or https://, or remove it"
        )
    if parts is not None and "@" in parts.netloc:
        raise StackError(
            "MLFLOW_TRACKING_URI holds a name or a password, which logs would show; take them out, and set"
            " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if values.get("TRACKING_STACK") == project:
        raise StackError(
            f"TRACKING_STACK names this stack itself, {project}; set it to the COMPOSE_PROJECT_NAME of the"
            " stack that has the tracking server, and give this one another, or remove it"
        )
    if "TRACKING_STACK" in values and not is_container and tracking_url(values, own) != own.url:
        raise StackError(
            "MLFLOW_TRACKING_URI and TRACKING_STACK name two tracking servers, and the containers could use"
            " another than this machine; remove one of them"
        )
    _check_client(values, None if is_container else checkout)


def _check_client(values: Mapping[str, str], checkout: Path | None) -> None:
    """Check what MLflow's client would raise at; ``checkout`` is None where paths are another machine's."""
    insecure = values.get(_INSECURE, "false").lower()
    if insecure not in ("true", "false", "1", "0"):
        raise StackError(f"{_INSECURE} must be true or false, found {values[_INSECURE]!r}; change it")
    if _CERTIFICATE not in values:
        return
    if insecure in ("true", "1"):
        raise StackError(
            f"{_INSECURE} says to check no certificate, and {_CERTIFICATE} by what to check it; remove one"
        )
    if checkout is not None and not (file := checkout / values[_CERTIFICATE]).is_file():
        raise StackError(f"{_CERTIFICATE} names no file: found nothing at {file}; correct or remove it")


def _address(values: Mapping[str, str]) -> SplitResult | None:
    """Split MLFLOW_TRACKING_URI; None if it is not set, or not the address of a server."""
    try:
        parts = urlsplit(values.get("MLFLOW_TRACKING_URI", "").rstrip("/"))
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port
        return None
    return parts if is_server else None

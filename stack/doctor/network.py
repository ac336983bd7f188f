"""What stands between a client and the stack's servers: proxies, and the hosts that the server allows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import should_bypass_proxies

from stack.doctor.finding import Finding, fix, ok, skip
from stack.tracking import verified_by
from stack.wait import not_healthy

_OWN = ("localhost", "127.0.0.1")
_PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


def _through_proxy(hosts: tuple[str, ...], no_proxy: str) -> list[str]:
    """Return the hosts that are not exempt, by the rules that MLflow's client follows."""
    return [host for host in hosts if not should_bypass_proxies(f"http://{host}/", no_proxy or " ")]


def check_shell_proxy(environ: Mapping[str, str]) -> Finding:
    """Whether requests to this machine's own ports avoid a proxy of the user's shell."""
    named = [name for name in _PROXIES if environ.get(name)]
    if not named:
        return ok("no proxy is set in this shell")
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in named):
        return ok(f"{named[0]} is set, and the stack's own addresses do not go through it")
    name = "no_proxy" if environ.get("no_proxy") else "NO_PROXY"
    if missing := _through_proxy(_OWN, environ.get(name, "")):
        value = ",".join(filter(None, (environ.get(name), *missing)))
        return fix(
            f"{named[0]} is set, and {name} does not name {' and '.join(missing)}, so requests to the stack"
            f" go to the proxy: export {name}={value}"
        )
    return ok(f"{named[0]} is set, and {name} keeps it from the stack's own addresses")


def check_engine_proxy(
    environ: Mapping[str, str], info: Mapping[str, Any], *, has_base_image: bool
) -> Finding:
    """Whether the engine has a proxy to pull the first image through; it does not see the shell's."""
    named = [name for name in _PROXIES if environ.get(name)]
    if named and not has_base_image and not (info.get("HttpProxy") or info.get("HttpsProxy")):
        return fix(
            f"{named[0]} is set in this shell, but the Docker engine, which pulls the images, has no proxy:"
            ' set "proxies" in its daemon.json and restart it (docs.docker.com/engine/daemon/proxy)'
        )
    return ok("the engine has the proxy that it needs, or needs none")


def check_tracking(
    url: str,
    *,
    is_own: bool,
    host: str | None = None,
    client: Mapping[str, str] | None = None,
    remedy: str = "start it",
) -> Finding:
    """Whether the tracking server at ``url`` answers a client's request to its API, sent to ``host``.

    Its health check is not enough: the server answers that for any host. ``client`` holds how to log in;
    ``remedy`` is for a server elsewhere that does not answer.
    """
    name = f"the tracking server {url}"
    if is_own and not_healthy(url):
        return skip(f"{name} is not running")
    try:
        status = _ask(url, host, client or {})
    except requests.RequestException as error:
        reason = type(error).__name__
        if is_own:
            return fix(
                f"{name} is healthy, but a client's request fails ({reason}): if a proxy is set, NO_PROXY"
                " must name localhost and 127.0.0.1"
            )
        if isinstance(error, requests.exceptions.SSLError):
            return fix(
                f"{name} has a certificate that can't be checked: set MLFLOW_TRACKING_SERVER_CERT_PATH to the"
                " PEM file of the authority that has signed it"
            )
        return fix(f"{name} does not answer ({reason}): {remedy}")
    return judge_answer(name, status, host or urlsplit(url).netloc)


def _ask(url: str, host: str | None, client: Mapping[str, str]) -> int:
    """Ask as MLflow's client does; return the status of the answer."""
    name, password, token = (
        client.get(f"MLFLOW_TRACKING_{what}", "") for what in ("USERNAME", "PASSWORD", "TOKEN")
    )
    headers = {"Host": host} if host else {}
    if token and not name:
        headers["Authorization"] = f"Bearer {token}"
    login = (name, password) if name else None
    with requests.Session() as session:
        answer = session.get(
            url + _SEARCH, headers=headers, auth=login, timeout=10, verify=verified_by(client)
        )
    return answer.status_code


def judge_answer(name: str, status: int, host: str) -> Finding:
    """Say what the status of an answer to a request to ``host`` means."""
    if status == 200:
        return ok(f"{name} answers requests to {host}")
    if status == 403:
        # A name without a port does not match one with a port.
        allowed = f"{host.rpartition(':')[0]}:*" if ":" in host else host
        return fix(
            f"{name} refuses requests to {host} (403): add {allowed} to the MLFLOW_SERVER_ALLOWED_HOSTS that"
            " it is started with"
        )
    if status == 401:
        return fix(
            f"{name} wants a password (401): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return fix(f"{name} answers with status {status}: see its log; if a proxy answered instead, see NO_PROXY")

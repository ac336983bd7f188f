"""The options of MLflow's server that tracking.env sets, and those that it can't set."""

import re
from collections.abc import Collection, Mapping, MutableMapping
from difflib import get_close_matches

HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
ORIGINS = "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
# The health check, the other containers, and a browser on this machine.
_OWN_HOSTS = ("localhost", "127.0.0.1", "tracking")

# The stack gives these as arguments, or finds its data, its health check or its clients by their defaults.
_OWN = (
    "MLFLOW_HOST",
    "MLFLOW_PORT",
    "MLFLOW_WORKERS",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
    "MLFLOW_REGISTRY_STORE_URI",
    "MLFLOW_WORKSPACE_STORE_URI",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_DEFAULT_ARTIFACT_ROOT",
    "MLFLOW_ARTIFACTS_DESTINATION",
    "MLFLOW_ARTIFACTS_ONLY",
    "MLFLOW_SERVE_ARTIFACTS",
    "MLFLOW_STATIC_PREFIX",
    "MLFLOW_GUNICORN_OPTS",
)
# MLflow reads these and lists them nowhere. A unit test looks through its source for others.
_UNLISTED = (
    "MLFLOW_CLAUDE_TRACING_ENABLED",
    "MLFLOW_CRYPTO_KEK_PASSPHRASE",
    "MLFLOW_CRYPTO_KEK_VERSION",
    "MLFLOW_DEPLOYMENT_ENV",
    "MLFLOW_ENABLE_TRACE_IN_SERVING",
    "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION",
    "MLFLOW_HOME",
    "MLFLOW_LOGGING_CONFIGURE_LOGGING",
    "MLFLOW_MCP_TOOLS",
    "MLFLOW_MODELS_WORKERS",
    "MLFLOW_PYFUNC_INFERENCE_CONFIG",
    "MLFLOW_SERVER_SECRETS_CACHE_MAX_SIZE",
    "MLFLOW_SERVER_SECRETS_CACHE_TTL",
    "MLFLOW_TMP_DIR",
)
_PREFIX = "MLFLOW_"
# Nobody would find a server that speaks TLS or listens elsewhere.
_ELSEWHERE = re.compile(r"--(ssl-\S*|uds|fd)\b")


def refused(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the options that are set and would break the stack."""
    uvicorn = "MLFLOW_UVICORN_OPTS"
    found = [name for name in _OWN if environ.get(name)]
    return found + [f"{uvicorn} with {word[0]}" for word in _ELSEWHERE.finditer(environ.get(uvicorn, ""))]


def unknown(environ: Mapping[str, str], listed: Collection[str]) -> list[str]:
    """Return the names that are set and MLflow does not know, each with the nearest of those that it does.

    ``listed`` are those that MLflow lists. Names without its prefix are others'.
    """
    known = [name.removeprefix(_PREFIX) for name in (*listed, *_UNLISTED) if name.startswith(_PREFIX)]
    set_here = [name.removeprefix(_PREFIX) for name in environ if name.startswith(_PREFIX) and environ[name]]
    found = []
    for name in sorted(set(set_here) - set(known)):
        nearest = "".join(f" (is {_PREFIX}{it} meant?)" for it in get_close_matches(name, known, 1))
        found.append(f"{_PREFIX}{name}{nearest}")
    return found


def let_in_gateway(environ: MutableMapping[str, str]) -> None:
    """Set the names that the server answers to, and the origin of its pages where a gateway shows them.

    What the user's tracking.env sets of both counts, too.
    """
    environ[HOSTS] = allowed_hosts(environ.get(HOSTS, ""), environ.get("GATEWAY_HOST", ""))
    origin = environ.get("GATEWAY_ORIGIN", "").removesuffix(":443")  # as browsers write it
    origins = [environ.get(ORIGINS, ""), origin]
    if any(origins):
        environ[ORIGINS] = ",".join(filter(None, origins))


def allowed_hosts(given: str, gateway: str = "") -> str:
    """Return the names that the server answers to: the stack's own, its gateway's, and those ``given``.

    A name without a port counts for any port. MLflow compares the whole Host header, in which clients leave
    the port out if it is 80 or 443.
    """
    names = [*_OWN_HOSTS, *filter(None, map(str.strip, [gateway, *given.split(",")]))]
    if "*" in names:
        return "*"
    return ",".join(form for name in names for form in ([name] if ":" in name else [name, f"{name}:*"]))

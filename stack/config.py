"""The settings of the stack, from environment variables and the file .env: no other module reads them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from stack.errors import StackError
from stack.gateway import Gateway, find_gateway
from stack.model_env import read_model_env
from stack.stores import SETTINGS as STORE_SETTINGS
from stack.stores import Stores, find_stores
from stack.tracking_settings import OwnServer, check_tracking, client_settings, tracking_url

CHECKOUT = Path(__file__).resolve().parent.parent
ENV_FILE = CHECKOUT / ".env"
TRACKING_ENV_FILE = CHECKOUT / "tracking.env"
"""The user's options of MLflow's server; docker-compose.yml names it, too."""
MODEL_ENV_FILE = CHECKOUT / "model.env"
"""The user's own variables of the model; docker-compose.yml names it, too."""
_GATE = ("GATE_THRESHOLD", "GATE_TOLERANCE")
SERVER_SETTINGS = (
    "SERVER_WORKERS",
    "SERVER_THREADS",
    "SERVER_PRELOAD",
    "SERVER_QUEUE",
    "SERVER_TIMEOUT",
    "SERVER_MAX_BODY_MB",
    "SERVER_REQUEST_LOG",
    "SERVER_STRICT",
    "SERVER_ALLOWED_HOSTS",
    "SERVER_CORS_ORIGINS",
)
SERVING_NETWORKS = ("closed", "open")
"""In docker-compose.yml, their names begin with `serving-`."""
# What is set in .env and nowhere else, of all that a trainer, a model server or their user might look for.
SETTINGS = (
    *("MLFLOW_TRACKING_URI", "MODEL_DIR", "MODEL_NAME", "SERVING_PORT", "STACK_HOME", "TRACKING_PORT"),
    *("NO_PROXY", "no_proxy"),
    *("ACME_EMAIL", "BIND_ADDRESS", "GATEWAY_HOST", "TLS_CERTIFICATE", "TLS_KEY"),
    *_GATE,
    *SERVER_SETTINGS,
    *STORE_SETTINGS,
)
# What Docker allows as the last part of an image's name, which keeps it a plain directory name too.
_IMAGE_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")


@dataclass(frozen=True)
class Config:
    """Every setting, checked; .env.example says what each is for.

    ``tracking_url`` and ``serving_url`` are where this process reaches the two servers;
    ``tracking_port`` and ``serving_port`` are where they are published on this machine. ``elsewhere`` is the
    address of a tracking server that this stack only uses, as its user knows it; empty if it starts its own.
    ``login`` holds what the user logs in with there, or at the ``gateway``, the door before both servers.
    ``stores`` are those of the stack's own server, if they are not a file and a directory.
    ``tracking_stack`` is the project whose server it uses, if that is in the same engine. ``gate`` holds the
    bounds that override those of the model's train.py. ``container_url`` is where the containers answer, with
    {} for a service's name, if this process is in their network. ``server`` holds the model server's
    settings, as given; ``serving_network`` is the network of its container. ``model_environment`` holds the
    variables of the user's model. ``directory`` is the checkout as Compose is told of it.
    """

    project: str
    model_name: str
    model_dir: Path
    gate: Mapping[str, str]
    server: Mapping[str, str]
    serving_network: str
    tracking_port: int
    serving_port: int
    tracking_url: str
    container_url: str | None
    home: Path
    elsewhere: str = ""
    tracking_stack: str = ""
    login: Mapping[str, str] = field(default_factory=dict)
    gateway: Gateway | None = None
    stores: Stores = field(default_factory=Stores)
    is_watched: bool = False
    model_environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = CHECKOUT

    @property
    def own_tracking_url(self) -> str:
        """Where the stack's own tracking server answers on this machine, without a gateway."""
        return OwnServer(self.tracking_port).url

    @property
    def is_guarded(self) -> bool:
        """Whether this process reaches the stack's own servers by a gateway."""
        return self.gateway is not None and not self.container_url

    @property
    def client(self) -> Mapping[str, str]:
        """What a client of the tracking server on this machine logs in with."""
        if self.gateway is None or self.container_url:
            return self.login
        return {**self.gateway.trust(), **self.gateway.credentials()}  # the shell's are for other servers

    @property
    def tracking_setting(self) -> str:
        """Name the setting that says which tracking server elsewhere it is."""
        return "TRACKING_STACK" if self.tracking_stack else "MLFLOW_TRACKING_URI"

    @property
    def serving_url(self) -> str:
        """Where the model server answers on this machine."""
        return OwnServer(self.serving_port, self.gateway.host if self.gateway else None).url

    @property
    def server_timeout(self) -> int:
        """For how many seconds the model server waits for a prediction."""
        return self._server_number("SERVER_TIMEOUT", 60)

    @property
    def server_queue(self) -> int:
        """How many requests may wait or be in work in each worker of the model server."""
        return self._server_number("SERVER_QUEUE", 64)

    def _server_number(self, name: str, default: int) -> int:
        text = self.server.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else default  # the server refuses another text

    def client_environment(self) -> dict[str, str]:
        """Return what a client of the tracking server, such as the trainer, reads from its environment."""
        return {
            **self.client,
            "MLFLOW_TRACKING_URI": self.tracking_url,
            "TRACKING_ELSEWHERE": self.elsewhere,
            "TRACKING_STACK": self.tracking_stack,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MODEL_NAME": self.model_name,
        }

    def trainer_environment(self) -> dict[str, str]:
        """Return what the trainer reads from its environment, its search path for modules included."""
        own = {**self.client_environment(), **self.gate, "PYTHONPATH": str(CHECKOUT / "trainer")}
        return {**self.model_environment, **own}

    def trainer_arguments(self, *arguments: str) -> list[str]:
        """Return what Python is called with to train; train.py gets ``arguments``."""
        return ["-P", "-m", "workflow", str(self.model_dir / "train.py"), *arguments]


def read_env_file(env_file: Path = ENV_FILE) -> dict[str, str | None]:
    """Return what the file sets; nothing if there is no file.

    Raises:
        StackError: if it can't be read.

    """
    try:
        return dotenv_values(env_file)
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"can't read {env_file} ({error}); correct or remove it") from error


def load_values(environ: Mapping[str, str] = os.environ, env_file: Path = ENV_FILE) -> dict[str, str]:
    """Read everything that is set; the environment overrides the file; an empty value counts as not set."""
    return {name: value for name, value in (read_env_file(env_file) | dict(environ)).items() if value}


def load_config(
    environ: Mapping[str, str] = os.environ,
    env_file: Path = ENV_FILE,
    model_env_file: Path | None = None,
    *,
    asks_tracking: bool = True,
) -> Config:
    """Read the settings; the environment overrides .env.

    An empty value counts as not set, as for Compose. Not ``asks_tracking`` is for what works without a
    tracking server: wrong settings of it are then no error.

    Raises:
        StackError: if a value can't be used.

    """
    values = load_values(environ, env_file)
    tracking_port = _port(values, "TRACKING_PORT", "5000")
    serving_port = _port(values, "SERVING_PORT", "5002")
    if tracking_port == serving_port:
        raise StackError(f"TRACKING_PORT and SERVING_PORT are both {tracking_port}; give each its own")
    model_name = values.get("MODEL_NAME", "iris")
    if not _IMAGE_NAME.fullmatch(model_name):
        raise StackError(
            f"MODEL_NAME can't name an image: expected lower-case letters and digits, with single"
            f" '.', '_' or '-' between them, found {model_name!r}; choose another name"
        )
    named = Path(values.get("MODEL_DIR", "trainer"))
    model_dir = (CHECKOUT / named).resolve()
    if named.is_absolute() or not model_dir.is_relative_to(CHECKOUT) or not (model_dir / "train.py").exists():
        raise StackError(
            f"MODEL_DIR is not the directory of a model: expected a path relative to {CHECKOUT}, of a"
            f" directory with a train.py, found {named}; set another, for example examples/diabetes"
        )
    serving_network = values.get("SERVING_NETWORK", SERVING_NETWORKS[0])
    if serving_network not in SERVING_NETWORKS:
        raise StackError(
            f"SERVING_NETWORK names no network: expected {' or '.join(SERVING_NETWORKS)}, found"
            f" {serving_network!r}; change it"
        )
    project = values.get("COMPOSE_PROJECT_NAME", "pyfunc-stack")
    home = (CHECKOUT / values.get("STACK_HOME", ".stack")).resolve()
    gateway = find_gateway(values, CHECKOUT, home)
    own = OwnServer(tracking_port, gateway.host if gateway else None)
    if asks_tracking:
        check_tracking(values, project, own, CHECKOUT)
    url = tracking_url(values, own)
    is_elsewhere = "TRACKING_STACK" in values or url != own.url
    if gateway and is_elsewhere and "CONTAINER_URL" not in values:
        raise StackError(
            "compose/gateway.yml guards this stack's own tracking server, and the settings name another,"
            f" {url}; remove one of the two from .env"
        )
    stores = find_stores(values, CHECKOUT)
    if (stores.settings or stores.services) and is_elsewhere and "CONTAINER_URL" not in values:
        raise StackError(
            "BACKEND_STORE_URI, ARTIFACTS_DESTINATION, compose/postgres.yml and compose/s3.yml are for this"
            f" stack's own tracking server, and the settings name another, {url}; remove one or the other"
        )
    if container_url := values.get("CONTAINER_URL"):  # a container reaches each server by another address
        elsewhere = values.get("TRACKING_ELSEWHERE", "")
    else:
        elsewhere = url if is_elsewhere else ""
    return Config(
        project=project,
        model_name=model_name,
        model_dir=model_dir,
        gate={name: values[name] for name in _GATE if name in values},
        server={name: values[name] for name in SERVER_SETTINGS if name in values},
        serving_network=serving_network,
        tracking_port=tracking_port,
        serving_port=serving_port,
        tracking_url=url,
        container_url=container_url,
        elsewhere=elsewhere,
        tracking_stack=values.get("TRACKING_STACK", ""),
        login=client_settings(values, CHECKOUT),
        gateway=gateway,
        stores=stores,
        is_watched=not {"watch", "*"}.isdisjoint(values.get("COMPOSE_PROFILES", "").split(",")),
        home=home,
        model_environment=read_model_env(model_env_file or env_file.with_name(MODEL_ENV_FILE.name), SETTINGS),
    )


def _port(values: Mapping[str, str], name: str, default: str) -> int:
    text = values.get(name, default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise StackError(
            f"{name} is not a port: expected a number from 1 to 65535, found {text!r}; change it"
        )
    return int(text)

"""The servers that are compared: how each is started, asked, and understood. All serve the same model."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stack.config import CHECKOUT

WORKERS = 2
# A prediction is too little work to be worth spreading over threads: for every server, ours or not.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
PEERS = CHECKOUT / "tests" / "bench" / "peers"


@dataclass(frozen=True)
class Place:
    """What one start of a server is given: ``programs`` is the bin/ of its virtual environment."""

    model: Path
    programs: Path
    port: int
    other_port: int
    scratch: Path
    image: str = ""

    @property
    def container(self) -> str:
        """The name of the container; empty, if the server runs in none."""
        return f"{self.image}-{self.port}" if self.image else ""

    @property
    def classifier(self) -> Path:
        """The scikit-learn classifier inside the model."""
        return self.model / "artifacts" / "classifier.joblib"


Rows = list[list[float]]


def dataframe_split(columns: list[str], rows: Rows) -> bytes:
    """Write a request as MLflow's model servers take it."""
    return _json({"dataframe_split": {"columns": columns, "data": rows}})


def predictions(body: bytes) -> list[str]:
    """Read an answer of such a server."""
    found: list[str] = json.loads(body)["predictions"]
    return found


def v2_request(columns: list[str], rows: Rows) -> bytes:
    """Write a request of the Open Inference Protocol (V2): a tensor for each column."""
    values = zip(columns, zip(*rows, strict=True), strict=True)
    shape = [len(rows), 1]
    tensors = [{"name": name, "datatype": "FP64", "shape": shape, "data": data} for name, data in values]
    return _json({"inputs": tensors})


def v2_answers(body: bytes) -> list[str]:
    """Read an answer of the same protocol."""
    found: list[str] = json.loads(body)["outputs"][0]["data"]
    return found


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _docker_run(place: Place) -> list[str]:
    """Start the command line of a container."""
    settings = [f"--env={name}={value}" for name, value in THREADS.items()]
    published = f"--publish=127.0.0.1:{place.port}:8080"
    return ["docker", "run", "--rm", f"--name={place.container}", published, *settings]


@dataclass(frozen=True)
class Peer:
    """A server; ``environment`` is the directory of PEERS that lists its packages, or empty for our lock."""

    name: str
    title: str
    command: Callable[[Place], list[str]]
    settings: Callable[[Place], Mapping[str, str]]
    environment: str = ""
    path: str = "/invocations"
    write: Callable[[list[str], Rows], bytes] = dataframe_split
    read: Callable[[bytes], list[str]] = predictions
    workers: int = WORKERS


OURS = Peer(
    "ours",
    "this server",
    command=lambda place: [f"{place.programs}/python", "-m", "model_server"],
    settings=lambda place: {
        "PYTHONPATH": str(CHECKOUT / "serving"),
        "__pyfunc_model_path__": str(place.model),
        "SERVER_HOST": "127.0.0.1",
        "SERVER_PORT": str(place.port),
        "SERVER_WORKERS": str(WORKERS),
    },
)
# The same in the image that the stack bakes, as Compose runs it; so that two images can be compared.
BAKED = Peer(
    "baked",
    "this server, in its image",
    command=lambda place: [
        *_docker_run(place),
        *("--env=PYTHONPATH=/opt/pyfunc-stack", "--env=__pyfunc_model_path__=/opt/ml/model"),
        *("--env=SERVER_HOST=0.0.0.0", f"--env=SERVER_WORKERS={WORKERS}", "--entrypoint=python"),
        *(place.image, "-m", "model_server"),
    ],
    settings=lambda _: {},
)
# The entry point of an image made by build-docker, nginx included; its uvicorn has a worker for each core.
IMAGE = Peer(
    "image",
    "MLflow's stock image",
    command=lambda place: [
        *_docker_run(place),
        f"--env=MLFLOW_MODELS_WORKERS={WORKERS}",
        place.image,
    ],
    settings=lambda _: {},
)
# Its uvicorn finds uvloop and httptools, which our lock holds, by itself.
MLFLOW = Peer(
    "mlflow",
    "mlflow models serve",
    command=lambda place: [
        *(f"{place.programs}/mlflow", "models", "serve", "--model-uri", str(place.model)),
        *("--env-manager", "local", "--workers", str(WORKERS)),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ],
    settings=lambda _: {},
)
# By its own protocol, which took half as long for 10,000 rows as the /invocations that it has, too. Without
# parallel inference: that hands each request to another process, which measured worse in every cell, with one
# process or two (and uvloop is pinned at 0.21 because it can't start with a newer one). Without adaptive
# batching, which is off unless asked for: it tripled the requests/s of 16 clients, and the latency of one.
MLSERVER = Peer(
    "mlserver",
    "MLServer",
    command=lambda place: [f"{place.programs}/mlserver", "start", str(place.scratch)],
    settings=lambda place: {
        "MLSERVER_DEBUG": "false",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(place.port),
        "MLSERVER_GRPC_PORT": str(place.other_port),
        "MLSERVER_METRICS_ENDPOINT": "",
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_MODEL_NAME": "iris",
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
        "MLSERVER_MODEL_URI": str(place.model),
    },
    environment="mlserver",
    path="/v2/models/iris/infer",
    write=v2_request,
    read=v2_answers,
    workers=1,
)
BENTOML = Peer(
    "bentoml",
    "BentoML",
    command=lambda place: [
        *(f"{place.programs}/bentoml", "serve", "service:Iris", "--working-dir", str(PEERS / "bentoml")),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ],
    settings=lambda place: {
        "CLASSIFIER": str(place.classifier),
        "PYTHONPATH": str(place.model / "code"),
        "BENTOML_HOME": str(place.scratch),
        "BENTOML_DO_NOT_TRACK": "true",
    },
    environment="bentoml",
    path="/predict",
    write=lambda _, rows: _json({"rows": rows}),
    read=json.loads,
)
FASTAPI = Peer(
    "fastapi",
    "FastAPI by hand",
    command=lambda place: [
        *(f"{place.programs}/uvicorn", "app:app", "--app-dir", str(PEERS / "fastapi")),
        *("--workers", str(WORKERS), "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ],
    settings=lambda place: {"CLASSIFIER": str(place.classifier), "PYTHONPATH": str(place.model / "code")},
    environment="fastapi",
)
IMAGES = (BAKED, IMAGE)
IN_LOOP = replace(
    FASTAPI, name="fastapi-in-loop", title="FastAPI, blocking its loop", path="/invocations-in-loop"
)
ALL = (OURS, BAKED, FASTAPI, IN_LOOP, BENTOML, MLSERVER, MLFLOW, IMAGE)

"""train.py as a program: how it was started, and the exit status that it ends with."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from workflow import surroundings
from workflow.definition import TrainingError
from workflow.server import why_failed


@dataclass
class Call:
    """How this process was started, and what train.py has turned out to be."""

    force: bool = False
    """Train although nothing has changed."""
    wait: bool = False
    """The tracking server starts at the same time."""
    is_training: bool = False
    """Whether train.py has called `main`, with its Training."""

    @property
    def model_name(self) -> str:
        """The name of the registered model, and of the experiment."""
        return os.environ.get("MODEL_NAME", "iris")


CALL = Call()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line say how to train."""
    parser.add_argument("--force", action="store_true", help="train although nothing has changed")
    parser.add_argument("--wait", action="store_true", help="wait for the tracking server to start")


def status_of(train: Callable[[], int]) -> int:
    """Train; return the exit status, which is 1 if the training failed. Then say why, in one sentence."""
    uri = surroundings.FOUND.tracking
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "INSECURE_TLS"):
        if os.environ.get(f"MLFLOW_TRACKING_{name}") == "":  # MLflow's client would use that
            del os.environ[f"MLFLOW_TRACKING_{name}"]
    try:
        if "@" in urlsplit(uri).netloc:
            raise TrainingError(
                "the tracking URI holds a name or a password, which logs would show; take them out, and set"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        if urlsplit(uri).scheme not in ("http", "https"):
            raise TrainingError(
                f"the tracking URI must be a server's, http:// or https://, found {uri!r};"
                " set MLFLOW_TRACKING_URI, for example to http://127.0.0.1:5000"
            )
        return train()
    except TrainingError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted", file=sys.stderr)
        return 130
    except MlflowException as error:
        print(f"train.py: {why_failed(uri, error)}", file=sys.stderr)
        return 1

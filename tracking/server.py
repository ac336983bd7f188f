"""Run `mlflow server` in one process: python server.py, configured by MLflow's own environment variables.

The command itself starts uvicorn as a child, which imports all of MLflow a second time: 4 s more until it
answers, and 200 MB for a parent that only waits. Here uvicorn runs where the command has checked the settings
and migrated the database.
"""

import gc
import os
from collections.abc import Mapping, Sequence

import mlflow.server
import uvicorn
from mlflow.cli import cli
from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION


def run_here(command: Sequence[str], *, extra_env: Mapping[str, str], **_: object) -> None:
    """Run ``python -m uvicorn ARGUMENTS`` in this process; takes the place of ``mlflow.server._exec_cmd``."""
    os.environ.update(extra_env)
    uvicorn.main(list(command[3:]))


if __name__ == "__main__":
    # What the imports have made lives for ever.
    gc.freeze()
    # With a job runner beside it, MLflow watches over both.
    if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = run_here  # type: ignore[assignment]
    cli(["server"])

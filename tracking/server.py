"""Run `mlflow server` in one process: python server.py, configured by MLflow's own environment variables.

The command itself starts uvicorn as a child, which imports all of MLflow a second time: 4 s more until it
answers, and 200 MB for a parent that only waits. Here uvicorn runs where the command has checked the settings
and migrated the database.
"""

import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence


def run_here(command: Sequence[str], *, extra_env: Mapping[str, str], **_: object) -> None:
    """Run ``python -m uvicorn ARGUMENTS`` in this process; takes the place of ``mlflow.server._exec_cmd``."""
    os.environ.update(extra_env)
    import mlflow.server.fastapi_app  # noqa: F401 - what uvicorn would import
    import uvicorn

    gc.collect()
    gc.freeze()
    gc.enable()
    uvicorn.main(list(command[3:]))


def main() -> None:
    """Run the command; it ends with the server."""
    # Until uvicorn hears it: the first process of a container ignores what it does not listen to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gc.disable()  # imports make no garbage; looking for it takes a tenth of their time
    import mlflow.server
    from mlflow.cli import cli
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

    # With a job runner beside it, MLflow watches over both.
    if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = run_here  # type: ignore[assignment]
    cli(["server"])


if __name__ == "__main__":
    main()

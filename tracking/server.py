"""Run `mlflow server` in one process: python server.py, configured by MLflow's own environment variables.

The command itself starts uvicorn as a child, which imports all of MLflow a second time: 4 s more until it
answers, and 200 MB for a parent that only waits. Here uvicorn runs where the command has checked the settings
and migrated the database.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def leave(*_: object) -> None:
    """Handle a signal where nothing is half done."""
    sys.exit(0)


def main() -> None:
    """Run the command; it ends with the server."""
    # The first process of a container ignores the signals that it does not listen to.
    signal.signal(signal.SIGTERM, leave)
    gc.disable()  # imports make no garbage; looking for it takes a tenth of their time
    import mlflow.server
    from mlflow.cli import cli
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

    asked_to_stop: list[object] = []
    mlflows_own: Callable[..., Any] = mlflow.server._exec_cmd

    def run_here(command: Sequence[str], *, extra_env: Mapping[str, str], **options: Any) -> Any:  # noqa: ANN401
        """Run ``python -m uvicorn ARGUMENTS`` in this process."""
        if list(command[1:3]) != ["-m", "uvicorn"]:
            return mlflows_own(command, extra_env=extra_env, **options)
        os.environ.update(extra_env)
        import mlflow.server.fastapi_app  # noqa: F401 - what uvicorn would import
        import uvicorn

        gc.collect()
        gc.freeze()
        gc.enable()
        if asked_to_stop:
            leave()
        signal.signal(signal.SIGTERM, leave)
        return uvicorn.main(list(command[3:]))

    # With a job runner beside it, MLflow watches over both.
    if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = run_here  # type: ignore[assignment]
    # A migration that is cut short can't be taken up again.
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    cli(["server"])


if __name__ == "__main__":
    main()

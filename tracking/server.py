"""Run `mlflow server` in one process: python server.py. MLflow's own environment variables configure it.

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
    """Exit at a signal, when nothing is half done."""
    sys.exit(0)


def main() -> None:
    """Run the command; it ends with the server."""
    # The first process of a container ignores the signals that it has no handler for.
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

    # If there is a job runner too, MLflow must watch both.
    if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow.server._exec_cmd = run_here  # type: ignore[assignment]
    # An interrupted migration can't be resumed.
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    cli(["server"])


if __name__ == "__main__":
    main()

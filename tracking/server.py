"""Run `mlflow server` in one process: python server.py ARGUMENTS, which are those of `mlflow server`.

All other options come from MLflow's own environment variables, which tracking/server.env and the user's
tracking.env set, and from those that stores.py reads. Arguments, which all users of a machine see, hold no
password.

The command itself starts uvicorn as a child, which imports all of MLflow a second time: 4 s more until it
answers, and 200 MB for a parent that only waits. Here uvicorn runs where the command has checked the settings
and migrated the database.
"""

import gc
import os
import signal
import sys
from functools import partial
from typing import Any

import options
import stores
from database import StoreError
from door import Door

# What the gateway shows, where it and this are local processes.
_SHOWN = "GATEWAY_SECRET"


def leave(*_: object) -> None:
    """Exit at a signal; what is half done then is done anew at the next start."""
    sys.exit(0)


def upgrade(uri: str) -> None:
    """Let MLflow make or migrate a database."""
    import mlflow_internals

    mlflow_internals.upgrade_database(uri)


def add_stores(application: Any, used: stores.Stores) -> None:  # noqa: ANN401
    """Let /stores tell what is wrong with them: /health is 200 whatever becomes of them."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def tell(_: Request) -> JSONResponse:
        found = used.wrong()
        return JSONResponse(found, 503 if any(found.values()) else 200)

    application.router.routes.insert(0, Route("/stores", tell))  # the last of MLflow's own takes all


def run_here(used: stores.Stores, arguments: list[str]) -> Any:  # noqa: ANN401
    """Run ``python -m uvicorn ARGUMENTS`` in this process."""
    import mlflow_internals

    application = mlflow_internals.import_application()
    mlflow_internals.pass_artifacts_on()
    if used.may_be_away:
        add_stores(application, used)
    if secret := os.environ.get(_SHOWN):
        application.add_middleware(Door, secret=secret)
    import uvicorn

    gc.collect()
    gc.freeze()
    gc.enable()
    return uvicorn.main(arguments)


def main() -> None:
    """Run the command; it ends with the server."""
    # The first process of a container ignores the signals that it has no handler for.
    signal.signal(signal.SIGTERM, leave)
    if names := options.refused(os.environ):
        sys.exit(
            f"tracking server: {', '.join(names)} would break the stack; remove it from tracking.env"
            " (docs/tracking-server.md says what can be set there)"
        )
    options.let_in_gateway(os.environ)
    try:
        used = stores.use(os.environ)
        used.check()
    except StoreError as error:
        sys.exit(f"tracking server: {error}")
    gc.disable()  # imports make no garbage; looking for it takes a tenth of their time
    import mlflow_internals

    names = options.unknown(os.environ, mlflow_internals.listed_variables())
    if names and not mlflow_internals.extensions():
        sys.exit(
            f"tracking server: MLflow does not know {', '.join(names)}; correct or remove it in tracking.env"
        )
    try:
        used.prepare(upgrade)
    except StoreError as error:
        sys.exit(f"tracking server: {error}")
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

    # If there is a job runner too, MLflow must watch both.
    if not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get():
        mlflow_internals.start_uvicorn_by(partial(run_here, used))
    elif os.environ.get(_SHOWN):
        sys.exit(
            "tracking server: MLFLOW_SERVER_ENABLE_JOB_EXECUTION needs a server without a gateway, or one in"
            " Docker; remove it from tracking.env"
        )
    elif used.has_bucket:
        # Then MLflow would send its clients to S3, which they may not reach: see pass_artifacts_on.
        sys.exit(
            "tracking server: MLFLOW_SERVER_ENABLE_JOB_EXECUTION needs artifacts in a directory, and not in a"
            " bucket; remove it from tracking.env"
        )
    mlflow_internals.run_mlflow("server", *sys.argv[1:])


if __name__ == "__main__":
    main()

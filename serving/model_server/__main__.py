"""Serve the model at __pyfunc_model_path__: `python -m model_server`."""

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile

from model_server.output import configure_output
from model_server.settings import SettingError, Settings, load_settings

_logger = logging.getLogger("model_server")


def main() -> int:
    """Serve until a signal says to stop; return the exit status if the server can't start."""
    configure_output()
    # Until gunicorn handles it: the first process of a container ignores signals without a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = load_settings()
    except SettingError as error:
        print(f"model server: {error}", file=sys.stderr)
        return 1
    own, directory = os.getpid(), tempfile.mkdtemp(prefix="model-server-metrics-")
    _set_environment(settings, directory)
    try:
        return _serve(settings)
    finally:
        if os.getpid() == own:  # and not in a worker, which is a copy of this
            shutil.rmtree(directory, ignore_errors=True)


def _set_environment(settings: Settings, metrics: str) -> None:
    """Set what NumPy, MLflow, gunicorn and the metrics' library read when they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, str(settings.blas_threads))
    os.environ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] = str(settings.timeout)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
    os.environ.pop("WEB_CONCURRENCY", None)


def _serve(settings: Settings) -> int:
    gc.disable()  # imports make no garbage; looking for it takes a tenth of their time
    try:
        from mlflow.pyfunc import load_model

        from model_server.app import Application
        from model_server.supervisor import Supervisor

        # Without its warnings: looking for them takes half a second, and the bake has checked the packages.
        model = load_model(settings.model_path, suppress_warnings=True)
        application = Application(model, settings)
    except Exception:
        _logger.exception("the model at %s can't be served", settings.model_path)
        return 1
    # What exists now is never freed. The collector does not touch it, so its memory pages stay shared. A
    # large request makes tens of thousands of lists without a cycle: a search at every 700 took a fifth of
    # the request's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
    try:
        supervisor = Supervisor(application, settings)
    except OSError as error:
        print(
            f"model server: can't listen on port {settings.port} or {settings.own_port}: {error}",
            file=sys.stderr,
        )
        return 1
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

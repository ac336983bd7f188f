"""Serve the model at __pyfunc_model_path__: `python -m model_server`."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from typing import NoReturn

from model_server.output import configure_output
from model_server.settings import SettingError, Settings, load_settings


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
    from model_server.loading import KeptOpenError, LoadError, load
    from model_server.supervisor import Supervisor

    application = None
    if settings.preload is not False:
        try:
            application = load(settings)
        except KeptOpenError as error:
            print(f"each worker loads the model by itself, because it keeps open: {error}", flush=True)
            _start_anew(SERVER_PRELOAD="false")
        except LoadError:
            return 1
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


def _start_anew(**settings: str) -> NoReturn:
    """Replace this process by one with these settings, and without the threads and files of the model."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
    os.environ.update(settings)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - it needs no shell


if __name__ == "__main__":
    sys.exit(main())

"""How the model is loaded: once before the workers are forked, or in each if a fork would break it."""

import gc
import logging
import sys
import threading
from contextlib import suppress
from pathlib import Path

from mlflow.pyfunc import load_model

from model_server.app import Application
from model_server.settings import Settings

_DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")

_logger = logging.getLogger("model_server")


class LoadError(Exception):
    """The model can't be loaded; the log says why."""


class KeptOpenError(Exception):
    """The model, when it is loaded, leaves something open that a fork would break; the text names it."""


def load(settings: Settings) -> Application:
    """Load the model, and make the application around it.

    Raises:
        KeptOpenError: if it leaves threads or files open, and no setting says that it is shared nevertheless.
        LoadError: if it can't be loaded.

    """
    try:
        before = _kept_open()
        # Without its warnings: looking for them takes half a second, and the bake has checked the packages.
        model = load_model(settings.model_path, suppress_warnings=True, model_config=settings.model_config)
        if settings.preload is None and _kept_open() - before:
            gc.collect()  # what is garbage is closed; it takes a tenth of a second, so not at each start
            if kept := _kept_open() - before:
                raise KeptOpenError(", ".join(sorted(kept)))
        application = Application(model, settings)
    except KeptOpenError:
        raise
    except Exception as error:
        _logger.exception("the model at %s can't be served", settings.model_path)
        raise LoadError from error
    # What exists now is never freed. The collector does not touch it, so its memory pages stay shared. A
    # large request makes tens of thousands of lists without a cycle: a search at every 700 took a fifth of
    # the request's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
    return application


def _kept_open() -> set[str]:
    """Name the threads and the open files of this process, sockets and pipes included.

    A fork does not copy a thread, so what waits for it hangs. It shares files, sockets and connections to
    databases, so that two processes read each other's bytes.
    """
    found = {f"the thread {thread.name}" for thread in threading.enumerate()}
    for descriptor in _DESCRIPTORS.iterdir():
        with suppress(OSError):  # the one by which they are listed
            found.add(f"the file {descriptor.readlink()}")
    return found

"""How the model is loaded: once before the workers are forked, or in each if a fork would break it."""

import gc
import logging

from model_server.app import Application
from model_server.model_files import load_and_look
from model_server.settings import Settings

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
        model, kept = load_and_look(settings.model_path, settings.model_config)
        if settings.preload is None and kept:
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

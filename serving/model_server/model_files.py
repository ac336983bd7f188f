"""Load a model as MLflow does, and look at what it keeps open: a fork would break that."""

import gc
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.pyfunc import PyFuncModel, load_model

_DESCRIPTORS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def load_and_look(path: str, config: dict[str, Any]) -> tuple[PyFuncModel, frozenset[str]]:
    """Load the model in a directory; also return the threads and files that it keeps open, each in words.

    ``config`` replaces values of the model's own model_config.
    """
    before = _kept_open()
    # Without its warnings: looking for them takes half a second, and the bake has checked the packages.
    model = load_model(path, suppress_warnings=True, model_config=config)
    if _kept_open() - before:
        gc.collect()  # what is garbage is closed; it takes a tenth of a second, so not at each start
    return model, frozenset(_kept_open() - before)


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

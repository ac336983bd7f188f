"""The process that forks the workers; one that dies is replaced. They share the model that it has loaded.

That is gunicorn's `preload`: https://docs.gunicorn.org/en/stable/settings.html#preload-app
"""

import sys
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from model_server.app import Application
from model_server.loading import LoadError, load
from model_server.metrics import EndedWorkers
from model_server.settings import Settings
from model_server.shared_port import bind

# A stop waits this many seconds for the requests in flight.
_GRACE = 10
_KEEP_ALIVE = 75


class Supervisor(BaseApplication):  # type: ignore[misc]
    """Gunicorn, configured here and nowhere else."""

    def __init__(self, application: Application | None, settings: Settings) -> None:
        """Take the application that all workers run; None if each is to load its own."""
        self._application, self._settings = application, settings
        self._ended = EndedWorkers(settings.name, settings.version)
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn."""
        options: dict[str, Any] = {
            "bind": self._bound(),
            "workers": self._settings.workers,
            "worker_class": "model_server.worker.Worker",
            "preload_app": self._application is not None,
            "graceful_timeout": _GRACE,
            "keepalive": _KEEP_ALIVE,
            "loglevel": "warning",
            "control_socket_disable": True,
            "when_ready": lambda _: self._say_ready(),
            "child_exit": lambda _, worker: self._ended.count(worker.pid),
            # A worker whose event loop does not run for so long is replaced.
            "timeout": self._settings.timeout + 30,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def _bound(self) -> list[str]:
        """Return what to listen on: the port or, if another server may share it, sockets that are bound."""
        of = self._settings
        if not of.own_port:
            return [f"{of.host}:{of.port}"]
        # Not by gunicorn's `reuse_port`: each worker would have sockets, and a queue, of its own.
        own = bind(of.host, of.own_port, shared=False)
        return [f"fd://{number}" for number in (own, bind(of.host, of.port, shared=True))]

    def _say_ready(self) -> None:
        of = self._settings
        where = f"{of.host}:{of.port}"
        workers = "1 worker" if of.workers == 1 else f"{of.workers} workers"
        print(f"serving {of.name}, version {of.version}, on {where} with {workers}", flush=True)

    def load(self) -> Application:
        """Return the application; in a worker, load it if there is none to share."""
        if self._application is not None:
            return self._application
        try:
            return load(self._settings)
        except LoadError:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)  # so that gunicorn ends, and does not start another worker

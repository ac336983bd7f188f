"""One worker: gunicorn's process, uvicorn's HTTP."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from ctypes import CDLL
from socket import socket

from gunicorn.arbiter import Arbiter
from uvicorn import Server
from uvicorn_worker import UvicornWorker

from model_server.protocol import Protocol
from model_server.shared_port import steer_away

# For so many seconds, an open connection without a request may bring one more; its answer closes it. Where no
# other server takes over, a wait lengthens the time without a server, so it is only for what is on its way.
_LAST_CALL_SHARED = 0.5
_LAST_CALL = 0.1
_POLL = 0.01
# Of glibc: gives free memory back to the system. https://man7.org/linux/man-pages/man3/malloc_trim.3.html
_malloc_trim = getattr(CDLL(None), "malloc_trim", lambda _: None)


class _Server(Server):
    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Answer all requests that were on their way when the signal to stop came, then stop as uvicorn does.

        A listening socket that is closed resets the connections which nobody has accepted yet, so they are
        accepted first. Then each connection is closed after its next answer.
        """
        application = self.config.loaded_app
        application.draining = True
        for listener in sockets or []:
            steer_away(listener)
        await asyncio.sleep(_POLL)  # for what is on its way
        accepted = [connection for listener in sockets or [] for connection in _waiting(listener)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in accepted:
            await loop.connect_accepted_socket(self._protocol, connection)
        end = loop.time() + (_LAST_CALL_SHARED if application.settings.own_port else _LAST_CALL)
        while self.server_state.connections and loop.time() < end:
            await asyncio.sleep(_POLL)
        if self.server_state.connections:  # otherwise uvicorn, too, would wait for a tenth of a second
            await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _waiting(listener: socket) -> Iterator[socket]:
    """Accept the connections that wait."""
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:  # that client has disconnected
            continue
        yield connection


class Worker(UvicornWorker):  # type: ignore[misc]
    """Runs the application in an event loop of its own."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as in the base class
        # With asyncio's own loop, Nagle's algorithm holds small answers back for 40 ms.
        "loop": "uvloop",
        "http": Protocol,
        "lifespan": "off",
        "access_log": False,
        "proxy_headers": False,
        "ws": "none",
        "interface": "asgi3",
        "timeout_notify": 1,
    }

    async def _serve(self) -> None:
        # As in the base class, except for the server.
        self.config.app = self.wsgi
        self._server = server = _Server(self.config)
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGQUIT, server.handle_exit, signal.SIGTERM, None
        )
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def callback_notify(self) -> None:
        """Tell the supervisor each second that this worker runs; stop if the supervisor has ended.

        Connections whose headers do not come are closed. Memory of large bodies is given back. A worker all
        of whose threads hang in the model ends at once, and is replaced.
        """
        self.notify()
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Protocol):
                connection.look()
        if self.wsgi.has_dropped_large_bodies():
            _malloc_trim(0)
        if self.wsgi.is_stuck:
            self.log.error("all threads hang in the model, so this worker is replaced")
            os._exit(1)
        if os.getppid() != self.ppid:
            os.kill(os.getpid(), signal.SIGTERM)

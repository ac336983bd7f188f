"""One client of a model server whose versions change: it asks without a break, and nothing a second time."""

import errno
import json
import os
import random
import select
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache

from stack.errors import StackError
from tests.bench.load import Client, http_request
from tests.bench.switch_results import WRONG

_AFTER_FAILURE = 0.02  # seconds; asked at once, clients would take the CPU from the server that starts
Record = tuple[float, float, bool, str]
"""The fields of a Request."""


@dataclass(frozen=True)
class Job:
    """Whom to ask what: each question is a body and the right predictions; times in seconds.

    Behind a gateway, ``authority`` is the file by which its certificate is checked, ``token`` what logs in.
    """

    port: int
    questions: list[tuple[str, list[str]]]
    kept: int = 4
    fresh: int = 4
    think: float = 0.012
    patience: float = 10.0
    authority: str = ""
    token: str = ""


@dataclass
class Asker:
    """One client, with at most one request on its way."""

    job: Job
    number: int
    poll: select.epoll
    due: float = 0.0
    late: float = 0.0
    """By how many seconds a request began too late at most: what held this process up."""
    begun: float = 0.0
    is_busy: bool = False
    client: Client | None = None
    _is_new: bool = False
    _is_sent: bool = False
    _right: set[bytes] = field(default_factory=set)

    @property
    def next_at(self) -> float:
        """When it does something by itself: begin a request, or give it up."""
        return self.begun + self.job.patience if self.is_busy else self.due

    def begin(self) -> Record | None:
        """Send a request, or connect for it; return what became of it, if it has failed already."""
        self.begun, self.is_busy = time.monotonic(), True
        self.late = max(self.late, self.begun - self.due)
        self._is_new = self._is_sent = False
        try:
            if self.client is None:
                self._is_new = True
                self.client = self._connect()
            else:
                self.client.send()
                self._is_sent = True
        except OSError as error:
            return self._end(_why(error))
        return None

    def go_on(self) -> Record | None:
        """Do what the connection is ready for; return what became of the request, when it has ended."""
        if self.client is None or not self.is_busy:
            self._look_idle()
            return None
        try:
            if not self._is_sent:
                self._send_first(self.client)
                return None
            answer = self.client.receive()
        except ssl.SSLWantReadError:
            return None
        except (OSError, StackError) as error:
            return self._end(_why(error))
        if answer is None:
            return None
        head, body = answer
        if self.number >= self.job.kept or b"\r\nconnection: close" in head:
            self.close()
        status = head.split(maxsplit=2)[1].decode()
        return self._end(f"status {status}" if status != "200" else "" if self._is_right(body) else WRONG)

    def give_up(self) -> Record:
        """Wait no longer."""
        return self._end(f"no answer within {self.job.patience:g} s")

    def _look_idle(self) -> None:
        """Close a connection that no request is on, if the server has; with TLS, it also sends tickets."""
        if self.client is not None and isinstance(self.client.connection, ssl.SSLSocket):
            try:
                self.client.connection.recv(1)
            except ssl.SSLWantReadError:
                return
            except OSError:
                pass
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self.client is not None:
            self.client.close()
            self.client = None

    def _connect(self) -> Client:
        body, _ = self.job.questions[self.number % len(self.job.questions)]
        client = Client(self.job.port, http_request("/invocations", body.encode(), self.job.token))
        client.connection = socket.socket()
        client.connection.setblocking(False)
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        status = client.connection.connect_ex(("127.0.0.1", self.job.port))
        if status not in (0, errno.EINPROGRESS):
            client.close()
            raise OSError(status, os.strerror(status))
        self.poll.register(client.connection, select.EPOLLOUT)
        return client

    def _send_first(self, client: Client) -> None:
        """Send when the connection is there and, with TLS, its handshake is over."""
        if status := client.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(status, os.strerror(status))
        if self.job.authority:
            if not isinstance(client.connection, ssl.SSLSocket):
                client.connection = _context(self.job.authority).wrap_socket(
                    client.connection, do_handshake_on_connect=False, server_hostname="localhost"
                )
            try:
                client.connection.do_handshake()
            except ssl.SSLWantReadError:
                self.poll.modify(client.connection, select.EPOLLIN)
                return
        client.send()
        self._is_sent = True
        self.poll.modify(client.connection, select.EPOLLIN)

    def _is_right(self, body: bytes) -> bool:
        if body in self._right:
            return True
        _, expected = self.job.questions[self.number % len(self.job.questions)]
        with suppress(ValueError, KeyError, TypeError):
            if json.loads(body)["predictions"] == expected:
                self._right.add(body)
                return True
        return False

    def _end(self, failure: str) -> Record:
        now, self.is_busy = time.monotonic(), False
        pause = self.job.think * random.uniform(0.5, 1.5)  # noqa: S311 - so that they do not march in step
        if failure:
            self.close()
            pause = _AFTER_FAILURE
        self.due = now + pause
        return self.begun, now, self._is_new, failure


@cache
def _context(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def _why(error: OSError | StackError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)

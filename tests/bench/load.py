"""A load generator: one process, one epoll, and as little Python as can be for each request.

Client and servers share the machine's cores, so whatever this takes is missing there: about 15 microseconds
a request, the same for every server.
"""

import select
import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from stack.errors import StackError

_HOST = "127.0.0.1"
_PATIENCE = 30  # seconds without an answer, after which a server counts as hung
_WARM_UP = 0.2  # of the measured time


@dataclass(frozen=True)
class Load:
    """What was found: latencies in milliseconds, and requests answered per second."""

    p50: float
    p99: float
    rate: float


def http_request(path: str, body: bytes, token: str = "", secret: str = "") -> bytes:
    """Return the bytes of a POST of JSON; HTTP/1.1 keeps the connection open.

    ``token`` logs in at a gateway; ``secret`` is what a gateway itself shows.
    """
    login = f"Authorization: Bearer {token}\r\n" if token else ""
    login += f"X-Gateway-Secret: {secret}\r\n" if secret else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\nAccept: application/json\r\n{login}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Client:
    """One connection, with at most one request on its way; ``authority`` is a file to check TLS by."""

    port: int
    request: bytes
    patience: float = _PATIENCE
    authority: str = ""
    connection: socket.socket = field(init=False)
    sent_at: float = 0.0
    _received: bytes = b""

    def connect(self) -> None:
        """Open the connection."""
        self.connection = socket.create_connection((_HOST, self.port), timeout=self.patience)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.authority:
            context = ssl.create_default_context(cafile=self.authority)
            self.connection = context.wrap_socket(self.connection, server_hostname="localhost")

    def close(self) -> None:
        """Close it."""
        self.connection.close()

    def send(self) -> None:
        """Send the request, and note when.

        Even the largest here fits the buffers of a local connection, so this does not wait for the server.
        """
        self.sent_at = time.perf_counter()
        self.connection.sendall(self.request)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Take what has come; return head, in lower case, and body of the answer when it is complete.

        Raises:
            StackError: if the server has closed the connection, or gives no Content-Length.

        """
        chunk = self.connection.recv(1 << 20)
        if not chunk:
            raise StackError("the server closed the connection instead of answering")
        self._received += chunk
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._received[:end].lower()
        _, found, length = head.partition(b"\r\ncontent-length:")
        if not found:
            raise StackError(f"expected an answer with a Content-Length, found {head!r}")
        if len(self._received) < end + 4 + int(length.split(b"\r\n", 1)[0]):
            return None
        body, self._received = self._received[end + 4 :], b""
        return head, body


def ask(port: int, request: bytes, patience: float = _PATIENCE, authority: str = "") -> tuple[int, bytes]:
    """Send one request on a connection of its own; return status and body of the answer.

    Raises:
        OSError: if there is none, also if nothing comes for ``patience`` seconds.
        StackError: if the server closes the connection instead.

    """
    client = Client(port, request, patience, authority)
    client.connect()
    with client.connection:
        client.send()
        while (answer := client.receive()) is None:
            pass
    return int(answer[0].split()[1]), answer[1]


def measure(
    port: int, request: bytes, answer: bytes, clients: int, seconds: float, authority: str = ""
) -> Load:
    """Send the same request over and over on ``clients`` connections, each waiting for its answer.

    Each answer must have status 200 and be as long as ``answer``, which the caller has found right.

    Raises:
        StackError: if an answer is another, or none comes.

    """
    with ExitStack() as open_connections:
        connected = [Client(port, request, authority=authority) for _ in range(clients)]
        for client in connected:
            client.connect()
            open_connections.callback(client.close)
        _drive(connected, len(answer), seconds * _WARM_UP)
        latencies, elapsed = _drive(connected, len(answer), seconds)
    latencies.sort()
    at = [latencies[int(len(latencies) * part)] * 1e3 for part in (0.5, 0.99)]
    return Load(p50=at[0], p99=at[1], rate=len(latencies) / elapsed)


def _drive(connected: list[Client], length: int, seconds: float) -> tuple[list[float], float]:
    """Return the latency of each request that was answered in time, and the time of the last, in seconds.

    At least as many as there are clients; so where one takes longer than ``seconds``, that is exceeded.
    Requests still on their way after that are waited for, and not counted.
    """
    latencies: list[float] = []
    busy = len(connected)
    since = last = time.perf_counter()
    with select.epoll() as poll:
        by_number = {}
        for client in connected:
            by_number[client.connection.fileno()] = client
            poll.register(client.connection.fileno(), select.EPOLLIN)
            client.send()
        while busy:
            ready = poll.poll(_PATIENCE)
            if not ready:
                raise StackError(f"no answer within {_PATIENCE} s")
            for number, _ in ready:
                client = by_number[number]
                answer = client.receive()
                if answer is None:
                    continue
                now = time.perf_counter()
                head, body = answer
                if not head.startswith(b"http/1.1 200") or len(body) != length:
                    raise StackError(f"expected the answer of before, found {head!r} {body[:200]!r}")
                if b"\r\nconnection: close" in head:  # as nginx does after a thousand requests
                    client.close()
                    client.connect()
                    by_number[client.connection.fileno()] = client
                    poll.register(client.connection.fileno(), select.EPOLLIN)
                if now - since >= seconds and len(latencies) >= len(connected):
                    busy -= 1
                    continue
                latencies.append(now - client.sent_at)
                last = now
                client.send()
    return latencies, last - since

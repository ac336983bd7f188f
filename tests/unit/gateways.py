"""A real Caddy with the gateway's Caddyfile, before a server that tells what it was asked."""

import atexit
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from stack.config import CHECKOUT
from stack.gateway import Gateway
from stack.modes import native_gateway
from stack.modes.door import check_reload, reload_command
from stack.wait import wait_until
from tests.conftest import two_free_ports

_CADDYFILE, _ADMIN = CHECKOUT / "gateway" / "Caddyfile", "unix/admin.sock"


class _Teller(BaseHTTPRequestHandler):
    """Answers with what it was asked, and with which headers."""

    protocol_version = "HTTP/1.1"

    def _tell(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _tell  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Door:
    """A gateway that runs, with its two ports."""

    gateway: Gateway
    tracking: int
    serving: int
    log: Path
    caddy: str
    environment: dict[str, str]
    pid: int

    def add(self, name: str, role: str) -> str:
        """Let a user in, as ./scripts/user does; return what logs in."""
        login = f"{name}:{self.gateway.add(name, role)}"
        self.reload()
        return login

    def reload(self) -> None:
        """Let it read the users again."""
        command = reload_command(self.caddy, str(_CADDYFILE), _ADMIN)
        told = subprocess.run(
            command, env=self.environment, cwd=self.log.parent, capture_output=True, text=True
        )
        check_reload(told)

    def ask(
        self,
        port: int,
        path: str = "/",
        method: str = "GET",
        *,
        login: str | None = None,
        headers: Mapping[str, str] | None = None,
        server_name: str = "localhost",
    ) -> tuple[int, str, Mapping[str, str]]:
        """Ask once, on a connection of its own; return status, body and headers of the answer."""
        with self.connection(port, server_name) as connection:
            return ask(connection, path, method, login, headers)

    @contextmanager
    def connection(self, port: int, server_name: str = "localhost") -> Iterator[http.client.HTTPConnection]:
        context = ssl.create_default_context(cafile=str(self.gateway.authority))
        context.check_hostname = False  # it is asked by other names, too
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
        connection._server_hostname = server_name  # type: ignore[attr-defined]
        connection.sock = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname=server_name
        )
        try:
            yield connection
        finally:
            connection.close()


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    login: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, str, Mapping[str, str]]:
    """Ask on this connection; ``login`` is NAME:SECRET."""
    given = {"Host": "localhost", **(headers or {})}
    if login is not None:
        given["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    connection.request(method, path, headers=given)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}


@cache
def find_caddy() -> str:
    """Return the program as the stack without Docker finds it: on PATH, or installed for these tests."""
    directory = tempfile.mkdtemp(prefix="test-caddy-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return native_gateway.prepare(Path(directory))


@contextmanager
def running_gateway(directory: Path) -> Iterator[Door]:
    """Start both; the gateway has no users yet."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Teller)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    behind = f"127.0.0.1:{server.server_address[1]}"
    tracking, serving = two_free_ports()
    gateway = Gateway(directory / "gateway", directory / "home", host="models.example.com")
    gateway.users.mkdir(parents=True)
    gateway.home.mkdir()
    storage, log = directory / "caddy", directory / "log"
    settings: dict[str, Any] = {
        "GATEWAY_HOST": gateway.host,
        "GATEWAY_BIND": "127.0.0.1",
        "GATEWAY_ADMIN": _ADMIN,
        "GATEWAY_STORAGE": storage,
        "GATEWAY_USERS": gateway.users,
        "GATEWAY_SECRET": "between-us",
        "TRACKING_PORT": tracking,
        "SERVING_PORT": serving,
        "TRACKING_UPSTREAM": behind,
        "SERVING_UPSTREAM": "process",
        "SERVING_ADDRESS": behind,
        "CERTIFICATE": "certificate",
        "ACME_EMAIL": "",
        "TLS_CERTIFICATE": "",
        "TLS_KEY": "",
        "PATH": os.environ["PATH"],
        "HOME": directory,
        "XDG_DATA_HOME": storage,
    }
    environment = {name: str(value) for name, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [find_caddy(), "run", "--config", str(_CADDYFILE)],
            env=environment,
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    door = Door(gateway, tracking, serving, log, find_caddy(), environment, process.pid)
    try:
        root = storage / "pki/authorities/local/root.crt"
        wait_until(lambda: None if root.exists() else "no certificate", timeout=30)
        gateway.authority.write_bytes(root.read_bytes())

        def not_up() -> str | None:
            try:
                return None if door.ask(serving, "/health")[0] == 200 else "not healthy"
            except OSError as error:
                return str(error)

        wait_until(not_up, timeout=30, alive=lambda: process.poll() is None)
        yield door
    finally:
        process.terminate()
        process.wait()
        server.shutdown()
        server.server_close()

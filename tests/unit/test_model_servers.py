"""How one model server takes over from another without Docker; real processes, but light ones."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.modes import model_servers
from stack.modes.mode import nothing
from stack.modes.model_servers import ModelServers, Note

# In place of the model server: it answers its version, and is as wrong as its model's name says.
SERVER = """
import os, socket, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

kind, version = os.environ["__pyfunc_model_path__"], os.environ["MODEL_VERSION"]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if kind == "unhealthy" and self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(version)))
        self.end_headers()
        self.wfile.write(version.encode())

class Server(HTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

print("version", version, flush=True)
if kind == "broken":
    sys.exit("no such file")
ports = [os.environ[name] for name in ("SERVER_PORT", "SERVER_OWN_PORT") if name in os.environ]
for port in ports:
    threading.Thread(target=Server(("127.0.0.1", int(port)), Handler).serve_forever, args=(0.01,)).start()
"""


@pytest.fixture
def servers(
    tmp_path: Path, free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModelServers]:
    (tmp_path / "model_server").mkdir()
    (tmp_path / "model_server" / "__main__.py").write_text(SERVER)
    monkeypatch.setattr(model_servers, "MODEL_SERVER", tmp_path)
    monkeypatch.setattr(model_servers, "HEALTHY_WITHIN", 3)
    config = replace(
        load_config({}, Path("/nonexistent/.env")), home=tmp_path / "home", serving_port=free_ports[1]
    )
    servers = ModelServers(config)
    yield servers
    for process in servers.processes():
        process.stop()


def serve(servers: ModelServers, version: str, kind: str = "right") -> None:
    servers.replace(Note("iris", version, f"sha256:{version}"), kind, sys.executable, nothing)


def answers(servers: ModelServers) -> set[bytes]:
    """Ask on the port that may be shared, more than once."""
    found = set()
    for _ in range(20):
        connection = HTTPConnection("127.0.0.1", servers.config.serving_port, timeout=5)
        connection.request("GET", "/")
        found.add(connection.getresponse().read())
        connection.close()
    return found


def running(servers: ModelServers) -> list[str]:
    return [Note.of(process).version for process in servers.processes() if process.is_running()]


def test_a_new_one_is_healthy_before_the_old_one_stops(servers: ModelServers) -> None:
    serve(servers, "1")
    seen: list[object] = []

    def check(url: str) -> None:
        assert url.endswith(Note.of(processes[1]).url.rpartition(":")[2])
        seen.extend([running(servers), answers(servers)])

    processes = servers.processes()
    servers.replace(Note("iris", "2", "sha256:2"), "right", sys.executable, check)
    assert seen == [["1", "2"], {b"1", b"2"}]
    assert running(servers) == ["2"]
    assert answers(servers) == {b"2"}
    serve(servers, "3")  # they take turns
    assert running(servers) == ["3"]


def test_both_write_one_log_which_begins_anew_where_none_runs(servers: ModelServers) -> None:
    serve(servers, "1")
    serve(servers, "2")
    log = servers.config.home / "logs" / "serving.log"
    assert [line for line in log.read_text().splitlines() if "version" in line] == ["version 1", "version 2"]
    for process in servers.processes():
        process.stop()
    serve(servers, "3")
    assert "version 1" not in log.read_text()


@pytest.mark.parametrize("kind", ["broken", "unhealthy"])
def test_one_that_does_not_start_leaves_the_old_one_as_it_is(servers: ModelServers, kind: str) -> None:
    serve(servers, "1")
    before = servers.processes()[0].pid()
    with pytest.raises(
        StackError, match=r"(?s)serving-2 fails to start: .*The end of its log, .*serving.log"
    ):
        serve(servers, "2", kind)
    assert running(servers) == ["1"]
    assert servers.processes()[0].pid() == before
    assert answers(servers) == {b"1"}


def test_one_that_is_found_wrong_does_not_stay(servers: ModelServers) -> None:
    def check(_: str) -> None:
        raise StackError("it answers otherwise")

    with pytest.raises(StackError, match="it answers otherwise"):
        servers.replace(Note("iris", "1", "sha256:1"), "right", sys.executable, check)
    assert running(servers) == []
    assert servers.current() is None


def test_whether_there_is_memory_for_two_is_told(
    servers: ModelServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(servers, "1")
    monkeypatch.setattr(model_servers, "is_free", lambda _: False)
    assert not servers.fits_beside()


def test_an_old_one_that_is_not_healthy_stops_first(servers: ModelServers) -> None:
    old = servers.processes()[0]
    with pytest.raises(StackError):
        servers.start(
            old, Note("iris", "1", "sha256:1"), "unhealthy", sys.executable, servers.config.serving_port
        )
    assert running(servers) == ["1"]
    with pytest.raises(StackError):
        serve(servers, "2", "broken")
    assert running(servers) == []


def test_a_port_that_somebody_else_has_is_refused_before_anything_starts(servers: ModelServers) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another stack's model server would
        taken.bind(("127.0.0.1", servers.config.serving_port))
        taken.listen()
        with pytest.raises(StackError, match=r"can't listen on port .* set SERVING_PORT"):
            serve(servers, "1")
    assert not (servers.config.home / "logs").exists()


@pytest.mark.parametrize(("kind", "stays"), [("right", "2"), ("unhealthy", "1")])
def test_of_two_that_a_killed_deployment_left_the_newer_stays_if_it_is_healthy(
    servers: ModelServers, kind: str, stays: str
) -> None:
    serve(servers, "1")
    try:
        servers.start(
            servers.processes()[1],
            Note("iris", "2", "sha256:2"),
            kind,
            sys.executable,
            servers.config.serving_port,
        )
    except StackError:
        assert kind == "unhealthy"
    current = servers.current()
    assert current is not None
    assert Note.of(current).version == stays
    servers.clean_up()
    assert running(servers) == [stays]


@pytest.mark.parametrize("shares", [False, True])
def test_a_new_port_that_somebody_else_has_is_refused_and_the_old_one_stays(
    servers: ModelServers, free_ports: tuple[int, int], shares: bool
) -> None:
    serve(servers, "1")
    with socket.socket() as taken:
        if shares:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", free_ports[0]))
        taken.listen()
        moved = ModelServers(replace(servers.config, serving_port=free_ports[0]))
        with pytest.raises(StackError, match=r"can't listen on port .* set SERVING_PORT"):
            serve(moved, "2")
    assert running(servers) == ["1"]


def test_what_was_served_last_is_what_was_found_right(servers: ModelServers) -> None:
    def check(_: str) -> None:
        raise StackError("it answers otherwise")

    with pytest.raises(StackError):
        servers.replace(Note("iris", "1", "sha256:1"), "right", sys.executable, check)
    servers.remember("1")
    assert servers.last_served() == Note()
    serve(servers, "2")
    servers.remember("2")
    with pytest.raises(StackError):
        serve(servers, "3", "broken")
    assert servers.last_served().version == "2"


def test_a_note_of_another_release_of_the_stack_says_nothing(servers: ModelServers) -> None:
    assert Note.read("iris 2 sha256:it") == Note()
    process = servers.processes()[0]
    process.start(["sleep", "60"], {}, servers.config.home, "iris 2 sha256:it")
    assert not model_servers.is_healthy(process)

"""The model server as a process with two workers, spoken to by HTTP."""

import http.client
import json
import logging
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from model_server import output

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.conftest import two_free_ports
from tests.unit.model_servers import JSON, ROW, samples, save_model, split

# It is loaded with a thread that answers, and a connection to a database that counts the loads.
KEEPING = """
import os
import queue
import sqlite3
import threading
from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

LOADS = Path(os.environ["TMPDIR"]) / "loads.db"


class Keeping(PythonModel):
    def load_context(self, context):
        self.asked, self.answered = queue.Queue(), queue.Queue()
        threading.Thread(target=self.answer, name="answering", daemon=True).start()
        self.loads = sqlite3.connect(LOADS, check_same_thread=False, isolation_level=None, timeout=30)
        self.loads.execute("create table if not exists loads (pid integer)")
        self.loads.execute("insert into loads values (?)", (os.getpid(),))

    def answer(self):
        while True:
            self.asked.get()
            self.answered.put(os.getpid())

    def predict(self, context, model_input, params=None):
        self.asked.put("a pid")
        pid = self.answered.get(timeout=20)
        (loads,) = self.loads.execute("select count(*) from loads where pid = ?", (pid,)).fetchone()
        assert loads == 1
        return [str(pid)] * len(model_input)


set_model(Keeping())
"""
START = STOP = 60.0
SOON = 30.0


@dataclass
class Server:
    """One process, its port and its output."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Send a request by a connection of its own; a body in parts is sent in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON)
        try:
            connection.request(method, path, body, {"Content-Type": JSON, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def told(self, task: str) -> tuple[int, str]:
        """Have the model do something."""
        return self.ask("POST", "/invocations", split({**ROW, "task": task}))

    def worker(self) -> int:
        """Return the process id of the worker that happens to answer."""
        status, body = self.told("pid")
        assert status == 200
        return int(json.loads(body)["predictions"][0])

    def answering(self, until: Callable[[set[int]], bool]) -> list[int]:
        """Send requests, some at the same time, until their workers are as wanted; return those of each."""
        found: list[int] = []
        with ThreadPoolExecutor(4) as pool:

            def is_enough() -> bool:
                found.extend(pool.map(lambda _: self.worker(), range(4)))
                return until(set(found))

            wait_until(lambda: None if is_enough() else f"workers {set(found)} answered", timeout=SOON)
        return found

    def count(self, sample: str, label: str = "") -> dict[str, float]:
        """Return values of the metrics."""
        return samples(self.ask("GET", "/metrics")[1], "told", sample, label)

    def counted(self, sample: str, label: str = "") -> dict[str, float]:
        """Return values of the metrics once each request is counted, which may be after its answer."""
        wait_for(lambda: self.count("model_server_requests_in_flight") == {"": 0})
        return self.count(sample, label)

    def is_listening(self) -> bool:
        """Whether anything still accepts connections."""
        return "refused" not in (not_healthy(f"http://127.0.0.1:{self.port}") or "")

    def wait_until_healthy(self) -> None:
        wait_until(
            lambda: not_healthy(f"http://127.0.0.1:{self.port}"),
            timeout=START,
            alive=lambda: self.process.poll() is None,
        )


def wait_for(condition: Callable[[], object]) -> None:
    wait_until(lambda: None if condition() else "not yet", timeout=SOON)


@contextmanager
def start(directory: Path, model: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Start a server, which may not be up yet; end it with all that is left of it."""
    directory.mkdir()
    port, log = two_free_ports()[0], directory / "log"
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(CHECKOUT / "serving"),
        "TMPDIR": str(directory),
        "__pyfunc_model_path__": str(model),
        "SERVER_PORT": str(port),
        "SERVER_WORKERS": "2",
        "MODEL_NAME": "told",
        "MODEL_VERSION": "7",
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "model_server"],
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(SOON)


@dataclass
class Servers:
    """All that the tests need, started at the same time; only the first is there for several tests."""

    shared: Server
    to_stop: Server
    to_orphan: Server
    broken: Server
    missing: Server
    without_port: Server
    kept_open: Server
    kept_open_and_broken: Server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = tmp_path_factory.mktemp("process")
    model = save_model(home)
    broken = home / "broken"
    shutil.copytree(model, broken)
    (broken / "told.py").write_text("raise RuntimeError('no such luck')\n")
    keeping = home / "keeping"
    shutil.copytree(model, keeping)
    (keeping / "told.py").write_text(KEEPING)
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        yield Servers(
            *(
                stack.enter_context(start(home / name, served, settings))
                for name, served, settings in (
                    ("shared", model, {"SERVING_MODEL_CONFIG": '{"depth": 2}'}),
                    ("to_stop", model, {}),
                    ("to_orphan", model, {}),
                    ("with_broken", broken, {}),
                    ("with_missing", home / "none", {}),
                    ("without_port", model, {"SERVER_PORT": str(taken.getsockname()[1])}),
                    ("kept_open", keeping, {}),
                    ("kept_open_and_broken", broken, {"SERVER_PRELOAD": "false"}),
                )
            )
        )


@pytest.fixture
def shared(servers: Servers) -> Server:
    servers.shared.wait_until_healthy()
    return servers.shared


def test_what_both_workers_counted_is_one_sum(shared: Server) -> None:
    before = shared.counted("model_server_requests_total", "status").get("200", 0)
    asked = shared.answering(lambda workers: len(workers) == 2)
    for _ in range(10):  # whichever worker answers
        after = shared.counted("model_server_requests_total", "status")["200"]
        assert after - before == len(asked)
    assert shared.count("model_server_rows_total", "version").keys() == {"7"}


def test_a_worker_that_is_killed_is_replaced_and_nothing_that_it_counted_is_lost(shared: Server) -> None:
    killed, other = set(shared.answering(lambda workers: len(workers) == 2))
    before = shared.counted("model_server_requests_total", "status")["200"]
    os.kill(killed, signal.SIGKILL)
    asked = shared.answering(lambda workers: bool(workers - {killed, other}))
    assert killed not in asked
    assert shared.process.poll() is None
    assert shared.counted("model_server_requests_total", "status")["200"] == before + len(asked)
    assert shared.count("model_server_ended_workers_total") == {"": 1}


def test_slow_requests_do_not_keep_health_checks_waiting_even_if_all_were_quick(shared: Server) -> None:
    for _ in range(200):
        shared.told("predict")
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(shared.told, "sleep") for _ in range(8)]
        wait_for(lambda: shared.count("model_server_requests_in_flight")[""] >= 3)
        assert [shared.ask("GET", "/health")[0] for _ in range(20)] == [200] * 20
        assert not any(request.done() for request in slow)
        assert [request.result()[0] for request in slow] == [200] * 8


def test_what_the_model_prints_and_logs_shows_at_once(shared: Server) -> None:
    before = shared.log.read_text()
    assert shared.told("speak")[0] == 200
    printed, by_root, by_own = shared.log.read_text().removeprefix(before).splitlines()
    assert printed == "printed by the model"
    assert by_root.endswith(" INFO root: logged by the model")
    assert re.search(r" INFO code_model_\w+: logged by its logger$", by_own)


def test_a_model_config_that_is_set_replaces_that_of_the_model(shared: Server) -> None:
    assert json.loads(shared.told("depth")[1]) == {"predictions": ["2"]}


@pytest.mark.parametrize(
    ("path", "level", "shown"),
    [
        ("/opt/ml/model/train.py", logging.INFO, True),
        ("train.py", logging.INFO, True),
        (logging.__file__, logging.INFO, False),
        (pytest.__file__, logging.INFO, False),
        (pytest.__file__, logging.WARNING, True),
        (output.__file__, logging.INFO, False),
    ],
)
def test_libraries_show_warnings_only(path: str, level: int, shown: bool) -> None:
    assert output.is_shown(logging.LogRecord("any", level, path, 1, "a message", None, None)) == shown


def test_the_refusal_of_a_body_that_is_too_large_can_be_read_by_a_client_that_sends_all_of_it_first(
    shared: Server,
) -> None:
    body = b" " * 17 * 2**20
    for _ in range(5):
        assert shared.ask("POST", "/invocations", body)[0] == 413
        request = urllib.request.Request(f"http://127.0.0.1:{shared.port}/invocations", body)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=SOON)  # noqa: S310 - by http
        assert refused.value.status == 413
        assert json.loads(refused.value.read())["message"].startswith("the body is too large")


def resident(server: Server) -> int:
    """Return the bytes of memory that the workers hold."""
    workers = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{worker}/statm").read_text().split()[1]) for worker in workers]
    return sum(pages) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc gives the memory back")
def test_memory_of_bodies_that_break_off_is_given_back(shared: Server) -> None:
    before = resident(shared)
    with ExitStack() as stack:
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", shared.port), timeout=SOON)
            stack.callback(connection.close)
            with suppress(OSError):  # refused, if its worker holds many already
                connection.sendall(b"POST /invocations HTTP/1.1\r\ncontent-length: 12582912\r\n\r\n")
                connection.sendall(b" " * 10 * 2**20)
        wait_for(lambda: resident(shared) > before + 80 * 2**20)
    wait_for(lambda: resident(shared) < before + 40 * 2**20)


ENDLESS = {
    "one header": (b"GET /ping HTTP/1.1\r\nx: ", b"x" * 65536),
    "many headers": (b"GET /ping HTTP/1.1\r\n", b"x: y\r\n" * 10_000),
    "headers after the body": (
        b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n \r\n0\r\n",
        b"x: y\r\n" * 10_000,
    ),
    "one chunk": (
        b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;",
        b"x" * 65536,
    ),
    "the path": (b"GET /", b"x" * 65536),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_headers_that_do_not_end_end_the_connection_and_others_are_answered(
    shared: Server, name: str
) -> None:
    start, more = ENDLESS[name]
    with socket.create_connection(("127.0.0.1", shared.port), timeout=SOON) as connection:
        connection.sendall(start)
        with pytest.raises(OSError, match=r"(?i)reset|pipe"):
            connection.sendall(more * 10_000)
    assert shared.told("predict")[0] == 200


def test_headers_that_are_too_large_are_refused(shared: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=SOON) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nx: " + b"y" * 140_000)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    headers, _, body = answer.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert json.loads(body)["message"] == "the headers are too large: at most 131072 bytes"
    assert shared.ask("GET", "/ping", headers={"x": "y" * 60_000})[0] == 200


def test_head_gets_the_status_and_the_headers_of_get_without_the_body(shared: Server) -> None:
    for path in ("/ping", "/health", "/version", "/model", "/docs", "/nowhere", "/invocations"):
        with closing(http.client.HTTPConnection("127.0.0.1", shared.port, timeout=SOON)) as connection:
            answers = []
            for method in ("HEAD", "GET", "HEAD"):
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read()
                assert bool(body) == (method == "GET"), path
                assert "content-length" in answer.headers, path
                answers.append((answer.status, sorted({**answer.headers, "date": ""}.items())))
            assert answers[0] == answers[1] == answers[2], path


def test_a_websocket_is_refused_without_a_trace(shared: Server) -> None:
    before = shared.log.read_text()
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert shared.ask("GET", "/nowhere", headers=headers)[0] == 404
    assert shared.log.read_text() == before


UPGRADES = {
    "h2c": {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    },
    "websocket": {"Connection": "Upgrade", "Upgrade": "websocket"},
    "another": {"Connection": "close, upgrade", "Upgrade": "TLS/1.0"},
}


@pytest.mark.parametrize("name", UPGRADES)
def test_an_upgrade_is_ignored_and_the_request_answered(shared: Server, name: str) -> None:
    before = shared.log.read_text()
    body = split({**ROW, "task": "a" * 300_000}, ROW)
    half = len(body) // 2
    for sent in (body, iter([body[:half], body[half:]])):  # by its length, and in chunks
        status, answer = shared.ask("POST", "/invocations", sent, UPGRADES[name])
        assert (status, json.loads(answer)) == (200, {"predictions": ["old", "old"]})
    assert shared.log.read_text() == before


def test_requests_that_wait_behind_one_with_an_upgrade_are_answered_in_their_order(shared: Server) -> None:
    asked = [b"POST /invocations", b"GET /ping", b"POST /invocations"]
    body = split(ROW)
    with socket.create_connection(("127.0.0.1", shared.port), timeout=SOON) as connection:
        for line in asked:
            headers = b"host: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
            if line.startswith(b"POST"):
                headers += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            rest = body if line.startswith(b"POST") else b""
            connection.sendall(line + b" HTTP/1.1\r\n" + headers + b"\r\n" + rest)
        received = b""
        while received.count(b"old") < 2:
            received += connection.recv(65536) or pytest.fail(f"closed after {received!r}")
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", received)] == [200, 200, 200]
    assert received.index(b"old") < received.index(b"\r\n\r\n\n") < received.rindex(b"old")


def test_a_stop_finishes_what_is_in_flight_and_leaves_nothing(servers: Servers) -> None:
    server = servers.to_stop
    server.wait_until_healthy()
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(server.told, "sleep") for _ in range(4)]
        wait_for(lambda: server.count("model_server_requests_in_flight")[""] == 4)
        server.process.terminate()
        assert [json.loads(request.result()[1]) for request in slow] == [{"predictions": ["old"]}] * 4
    assert server.process.wait(STOP) == 0
    assert not server.is_listening()
    assert [file.name for file in server.log.parent.iterdir()] == ["log"]
    assert "Traceback" not in server.log.read_text()


def test_workers_whose_supervisor_is_killed_end_by_themselves(servers: Servers) -> None:
    server = servers.to_orphan
    server.wait_until_healthy()
    server.answering(lambda workers: len(workers) == 2)
    server.process.kill()
    server.process.wait(SOON)
    wait_for(lambda: not server.is_listening())


@pytest.mark.parametrize("name", ["broken", "missing"])
def test_a_model_that_does_not_load_ends_the_server_with_one_error(servers: Servers, name: str) -> None:
    server: Server = getattr(servers, name)
    assert server.process.wait(START) == 1
    log = server.log.read_text()
    path = server.log.parents[1] / ("none" if name == "missing" else name)
    assert len(re.findall(rf"the model at {re.escape(str(path))} can't be served", log)) == 1
    assert [file.name for file in server.log.parent.iterdir()] == ["log"]


def test_a_model_that_leaves_something_open_is_loaded_in_each_worker(servers: Servers) -> None:
    server = servers.kept_open
    server.wait_until_healthy()
    workers = set(server.answering(lambda workers: len(workers) == 2))
    assert server.process.pid not in workers
    (told,) = re.findall(r"^each worker loads .* it keeps open: (.*)$", server.log.read_text(), re.MULTILINE)
    assert told == f"the file {server.log.parent}/loads.db, the thread answering"


def test_a_shared_model_is_not_told_as_left_open(shared: Server) -> None:
    assert "each worker loads" not in shared.log.read_text()


def test_a_model_that_does_not_load_in_a_worker_ends_the_server(servers: Servers) -> None:
    # 3, or 1 if gunicorn learns of a second worker while it ends.
    assert servers.kept_open_and_broken.process.wait(START) in (1, 3)
    log = servers.kept_open_and_broken.log.read_text()
    assert "can't be served" in log
    assert "no such luck" in log


def test_a_bad_setting_ends_the_server_with_one_line(tmp_path: Path) -> None:
    with start(tmp_path / "it", tmp_path, {"SERVER_THREADS": "many"}) as server:
        assert server.process.wait(START) == 1
    assert server.log.read_text() == (
        "model server: SERVER_THREADS: expected a whole number, 1 or more, found 'many'; change it\n"
    )


def test_a_port_that_is_taken_ends_the_server(servers: Servers) -> None:
    assert servers.without_port.process.wait(START) == 1
    assert "Traceback" not in servers.without_port.log.read_text()

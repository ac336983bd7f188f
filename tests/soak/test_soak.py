"""Some minutes of load on the model server while workers are killed and the server is restarted.

./scripts/test tests/soak        SOAK_SECONDS=60 makes it shorter; it is no part of the default run.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.bench.prepare import make_model
from tests.conftest import two_free_ports

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
CLIENTS = 8
ROWS = {"setosa": [5.1, 3.3, 1.7, 0.5], "versicolor": [5.9, 3.0, 4.2, 1.5], "virginica": [6.9, 3.1, 5.4, 2.1]}
COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


@dataclass
class Server:
    """A model server of two workers that can be hurt."""

    model: Path
    log: Path
    port: int = field(default_factory=lambda: two_free_ports()[0])
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT / "serving"),
            "__pyfunc_model_path__": str(self.model),
            "SERVER_PORT": str(self.port),
            "SERVER_WORKERS": "2",
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "model_server"], env=environment, stdout=log, stderr=log
            )
        wait_until(lambda: not_healthy(f"http://127.0.0.1:{self.port}"), timeout=60)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(60) == 0

    def kill_worker(self) -> None:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if children:
            os.kill(int(random.choice(children)), signal.SIGKILL)  # noqa: S311


@dataclass
class Client:
    """Asks one question after the other, on one connection for as long as it lasts."""

    port: int
    ended: threading.Event
    counts: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.ended.is_set():
            expected = random.choices(list(ROWS), k=random.randint(1, 5))  # noqa: S311
            split = {"columns": COLUMNS, "data": [ROWS[name] for name in expected]}
            found = self._answer(connection, json.dumps({"dataframe_split": split}))
            self.counts["right" if found == {"predictions": expected} else "lost or wrong"] += 1
        connection.close()

    def _answer(self, connection: http.client.HTTPConnection, body: str) -> object:
        """Return what the server answers; where a connection breaks, ask once more, as any client would."""
        tries = 2
        while tries > 0:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:  # it is being restarted
                time.sleep(0.05)
                continue
            try:
                connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                written = answer.read()
                return json.loads(written) if answer.status == 200 else written
            except (OSError, http.client.HTTPException):
                self.counts["broken"] += 1
                connection.close()
                tries -= 1
        return None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    make_model(tmp_path)
    server = Server(tmp_path / "model", tmp_path / "server.log")
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop()


def under_load(server: Server, hurt: dict[str, float], seconds: float) -> Counter[str]:
    """Let clients ask while the server is hurt in each way, once in so many seconds."""
    ended = threading.Event()
    clients = [Client(server.port, ended) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    done: Counter[str] = Counter()
    while time.monotonic() < end:
        for what, every in hurt.items():
            time.sleep(every)
            if what == "restart":
                server.stop()
                server.start()
            else:
                server.kill_worker()
            done[what] += 1
    ended.set()
    for thread in threads:
        thread.join(60)
    counts = sum((client.counts for client in clients), Counter()) + done
    print(dict(counts))
    return counts


def test_restarts_lose_no_answer_and_break_no_connection(server: Server) -> None:
    counts = under_load(server, {"restart": 3}, SECONDS / 2)
    assert counts["right"] > 100
    assert counts["restart"] > 1
    assert (counts["lost or wrong"], counts["broken"]) == (0, 0)


def test_killed_workers_are_replaced_and_lose_no_answer(server: Server) -> None:
    counts = under_load(server, {"kill": 2}, SECONDS / 2)
    assert counts["right"] > 100
    assert counts["kill"] > 1
    assert counts["lost or wrong"] == 0
    # Only what a killed worker had in its hands breaks off: for each client, one connection.
    assert counts["broken"] <= counts["kill"] * CLIENTS

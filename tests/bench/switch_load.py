"""The clients at work, as the benchmark sees them."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from stack.config import CHECKOUT
from stack.errors import StackError
from tests.bench.switch_client import Job
from tests.bench.switch_results import Request

_ENDED_WITHIN = 60  # seconds


@dataclass
class Clients:
    """The process of the clients, and the last line that it printed."""

    process: subprocess.Popen[str]
    said: str = "0"

    def follow(self) -> None:
        """Keep the last line, until there are no more."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said = line

    @property
    def asked(self) -> int:
        """How many requests there have been, a second ago.

        Raises:
            StackError: if the clients have ended by themselves.

        """
        if self.process.poll() is not None:
            raise StackError(f"the clients ended by themselves, with status {self.process.returncode}")
        return int(self.said)


@dataclass
class Load:
    """What became of the requests; ``late`` [ms] is by how much one began too late at most."""

    clients: Clients
    requests: list[Request]
    late: float = 0.0


@contextmanager
def under_load(job: Job) -> Iterator[Load]:
    """Let clients ask for as long as the block lasts; then the requests are there."""
    command = [sys.executable, "-m", "tests.bench.switch_clients", json.dumps(asdict(job))]
    process = subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    clients = Clients(process)
    reader = threading.Thread(target=clients.follow, daemon=True)
    reader.start()
    load = Load(clients, [])
    try:
        yield load
        assert process.stdin is not None
        process.stdin.close()
        reader.join(_ENDED_WITHIN)
    finally:
        process.kill()
        process.wait()
    records, late = json.loads(clients.said)
    load.requests[:] = [Request(*record) for record in records]
    load.late = late * 1e3

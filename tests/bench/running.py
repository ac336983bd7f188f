"""One server under test: started, asked, weighed, stopped."""

import os
import subprocess
import time
from dataclasses import dataclass, field

from stack.errors import StackError
from stack.modes.processes import Process, part_environment
from stack.wait import wait_until
from tests.bench.load import Load, ask, http_request, measure
from tests.bench.measure import container_processes, memory
from tests.bench.prepare import say
from tests.bench.results import Cell
from tests.bench.servers import THREADS, Peer, Place, Rows

_READY_WITHIN = 120  # seconds
# By then the other worker has started, too, and what starting took has been given back.
_SETTLED_AFTER = 3


@dataclass(frozen=True)
class Cases:
    """The rows of the largest request, and the right answers; smaller requests take the first of them."""

    columns: list[str]
    rows: Rows
    answers: list[str]


@dataclass
class Server:
    """A peer at its place; it is known by ``process``, and by the container's name if it has one."""

    peer: Peer
    place: Place
    cases: Cases
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        """Name the process."""
        self.process = Process(self.place.scratch, self.peer.name)

    def start(self) -> float:
        """Start it; return the seconds until the first right answer.

        Raises:
            StackError: if it ends or gives no right answer; with the end of its log.

        """
        path = f"{self.place.programs}{os.pathsep}{os.environ['PATH']}"
        settings = {"PATH": path, **THREADS, **self.peer.settings(self.place)}
        environment = part_environment(os.environ, **settings)
        say(f"starting {self.peer.title}")
        since = time.monotonic()
        self.process.start(self.peer.command(self.place), environment, self.place.scratch)
        try:
            wait_until(self._not_right, timeout=_READY_WITHIN, alive=self.process.is_running, interval=0.01)
        except StackError as error:
            raise StackError(f"{self.peer.title}: {error}\n{self.process.log_tail()}") from error
        return time.monotonic() - since

    def _not_right(self) -> str | None:
        try:
            self.answer(Cell(clients=1, rows=3))
        except (OSError, StackError) as error:
            return str(error)
        return None

    def answer(self, cell: Cell) -> tuple[bytes, bytes]:
        """Send a request of the cell; return it with its answer, which is right.

        Raises:
            StackError: if it is not.

        """
        body = self.peer.write(self.cases.columns, self.cases.rows[: cell.rows])
        request = http_request(self.peer.path, body)
        status, answer = ask(self.place.port, request)
        if status != 200:
            raise StackError(f"{self.peer.title}: expected status 200, found {status}: {answer[:300]!r}")
        if self.peer.read(answer) != self.cases.answers[: cell.rows]:
            raise StackError(f"{self.peer.title}: a wrong answer to {cell.rows} rows: {answer[:300]!r}")
        return request, answer

    def load(self, cell: Cell, seconds: float) -> Load:
        """Check an answer, and then measure."""
        request, answer = self.answer(cell)
        try:
            return measure(self.place.port, request, answer, cell.clients, seconds)
        except (OSError, StackError) as error:
            raise StackError(f"{self.peer.title}, {cell}: {error}\n{self.process.log_tail()}") from error

    def memory(self) -> float:
        """Return what all of its processes take, in MB."""
        if self.place.container:
            return memory(container_processes(self.place.container))
        return memory(self.process.members())

    def idle_memory(self) -> float:
        """Return the same after it has started and come to rest."""
        time.sleep(_SETTLED_AFTER)
        return self.memory()

    def stop(self) -> None:
        """End it, and all that it started."""
        self.process.stop()
        if self.place.container:
            subprocess.run(["docker", "rm", "--force", self.place.container], capture_output=True)

"""The parts on this machine, by processes that are forked after the model is loaded, or each load it.

A process that is killed is replaced, and its part scored again.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from typing import Any, TypeVar

from scorer.job import Job, OnRows, Part, ScoringError, ignore, place_of

_ATTEMPTS = 3

Answer = TypeVar("Answer")
Task = Callable[[Job, Part, OnRows], Answer]


@dataclass
class _Worker:
    """One process; the part that it is at, and how many rows of that it has done."""

    process: BaseProcess
    connection: Connection
    part: Part | None = None
    rows: int = 0

    def give(self, task: Task[Any], job: Job, part: Part) -> None:
        """Let it do the task."""
        self.part, self.rows = part, 0
        with suppress(ConnectionError):  # it was killed meanwhile, as its silence tells
            self.connection.send((task, job, part))


class Pool:
    """Processes that score; a context manager, which kills them at its end."""

    def __init__(self, *, forked: bool) -> None:
        """Start none yet. If they are not ``forked``, each loads the model by itself."""
        self._is_forked = forked
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all processes, and wait until they have ended."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers = []

    def ask(self, task: Task[Answer], job: Job, part: Part) -> Answer:
        """Return what the task returns for a part, in one of the processes."""
        [answer] = self.run(task, job, [part], 1, ignore)
        return answer

    def run(
        self, task: Task[Answer], job: Job, parts: Sequence[Part], workers: int, on_rows: OnRows
    ) -> Iterator[Answer]:
        """Do the task with each part by so many processes; yield what it returns, as it comes.

        Raises:
            ScoringError: if the task raises it, or several processes are killed over a part.

        """
        waiting, attempts, left = list(reversed(parts)), dict.fromkeys(parts, 0), len(parts)
        while left:
            while waiting and (worker := self._idle(workers)) is not None:
                part = waiting.pop()
                attempts[part] += 1
                worker.give(task, job, part)
            for worker in self._told():
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, ConnectionError):
                    part = self._buried(worker)
                    on_rows(-worker.rows)
                    if attempts[part] == _ATTEMPTS:
                        raise ScoringError(_killed(part, worker.process.exitcode)) from None
                    waiting.append(part)
                    continue
                if kind == "failed":
                    raise ScoringError(value)
                if kind == "rows":
                    worker.rows += value
                    on_rows(value)
                else:
                    worker.part, left = None, left - 1
                    yield value

    def _idle(self, most: int) -> _Worker | None:
        """Return a process that has nothing to do, a new one if there are fewer than ``most``; else None."""
        for worker in [each for each in self._workers if each.part is None]:
            if worker.process.is_alive():
                return worker
            self._forget(worker)
        return self._started() if len(self._workers) < most else None

    def _started(self) -> _Worker:
        context: Any = multiprocessing.get_context("fork" if self._is_forked else "spawn")
        ours, its = context.Pipe()
        # A fork holds copies of our ends, by which the others would not notice that we have ended.
        copies = [ours, *(worker.connection for worker in self._workers)] if self._is_forked else []
        process = context.Process(target=_work, args=(its, copies), daemon=True)
        process.start()
        its.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _told(self) -> list[_Worker]:
        """Wait until busy processes have something to say, or have ended; return these."""
        busy = {worker.connection: worker for worker in self._workers if worker.part is not None}
        ready = wait(list(busy))
        return [worker for connection, worker in busy.items() if connection in ready]

    def _buried(self, worker: _Worker) -> Part:
        """Forget a process that was killed; return its part."""
        self._forget(worker)
        assert worker.part is not None  # noqa: S101 - it was busy
        return worker.part

    def _forget(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.join()
        worker.connection.close()


def _killed(part: Part, status: int | None) -> str:
    how = (
        f"was killed by {signal.Signals(-status).name}"
        if status and status < 0
        else f"ended with status {status}"
    )
    return (
        f"part {part.number + 1} of the input, in {part.file}, can't be scored: each of {_ATTEMPTS} processes"
        f" {how};"
        " if memory is short, use fewer --workers, else correct the model"
    )


def _work(connection: Connection, copies: Sequence[Connection]) -> None:
    """Do the tasks that come; end with the parent, whatever the model is at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for copy in copies:
        copy.close()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task, job, part = connection.recv()
        except EOFError:
            return
        try:
            told = ("done", task(job, part, lambda rows: connection.send(("rows", rows))))
        except ScoringError as error:
            told = ("failed", str(error))
        except Exception as error:  # a mistake of ours, or no memory; its own text may hold data
            told = ("failed", f"{part.file} can't be scored: {place_of(error)}")
        connection.send(told)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)

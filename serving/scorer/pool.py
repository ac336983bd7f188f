"""The parts on this machine, by processes that are forked after the model is loaded, or each load it.

A process that is killed is replaced, and its part scored again.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from typing import Any

from scorer.caller import STDIN, check_caller
from scorer.job import Job, OnRows, Part, ScoringError, Written

_ATTEMPTS = 3

Task = Callable[..., Any]


@dataclass
class _Worker:
    """One process, and the part that it is at."""

    process: BaseProcess
    connection: Connection
    part: Part | None = None
    rows: int = 0

    def give(self, task: Task, job: Job, part: Part) -> None:
        self.part, self.rows = part, 0
        self.connection.send((task, job, part))


class Pool:
    """Processes that score; a context manager, which kills them at its end."""

    def __init__(self, *, forked: bool) -> None:
        """Start none yet. If they are not ``forked``, each imports everything and loads the model by itself."""
        self._context: Any = multiprocessing.get_context("fork" if forked else "spawn")
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

    def ask(self, task: Task, job: Job, part: Part) -> Any:  # noqa: ANN401 - whatever the task returns
        """Return what ``task(job, part)`` returns in one of the processes."""
        [(_, answer)] = self._run(task, job, [part], 1, lambda _: None)
        return answer

    def run(self, job: Job, parts: Sequence[Part], workers: int, on_rows: OnRows) -> Iterator[Written]:
        """Score the parts by so many processes; yield what was written as it comes.

        Raises:
            ScoringError: if one can't be scored, or several processes are killed over it.
            CallerGoneError: if the caller has ended.

        """
        from scorer.scoring import score_part

        for _, written in self._run(score_part, job, parts, workers, on_rows):
            yield written

    def _run(
        self, task: Task, job: Job, parts: Sequence[Part], workers: int, on_rows: OnRows
    ) -> Iterator[tuple[Part, Any]]:
        waiting, attempts, left = list(reversed(parts)), dict.fromkeys(parts, 0), len(parts)
        while left:
            while waiting and (worker := self._idle(workers)) is not None:
                part = waiting.pop()
                attempts[part] += 1
                worker.give(task, job, part)
            for worker in self._told():
                told = worker.part
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, ConnectionError):
                    self._workers.remove(worker)
                    worker.process.join()
                    on_rows(-worker.rows)
                    if told is not None:
                        if attempts[told] == _ATTEMPTS:
                            raise ScoringError(_killed(told, worker.process.exitcode)) from None
                        waiting.append(told)
                    continue
                if kind == "rows":
                    worker.rows += value
                    on_rows(value)
                elif kind == "failed":
                    raise ScoringError(value)
                else:
                    worker.part, left = None, left - 1
                    yield told, value  # type: ignore[misc] # it had a part

    def _idle(self, most: int) -> _Worker | None:
        """Return a process that has nothing to do, a new one if there are fewer than ``most``."""
        for worker in self._workers:
            if worker.part is None:
                return worker
        if len(self._workers) >= most:
            return None
        ours, its = self._context.Pipe()
        others = [worker.connection for worker in self._workers] + [ours]
        is_fork = self._context.get_start_method() == "fork"
        process = self._context.Process(target=_work, args=(its, others if is_fork else []), daemon=True)
        process.start()
        its.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _told(self) -> list[_Worker]:
        """Wait until processes have something to say, or have ended; return these."""
        by_connection = {worker.connection: worker for worker in self._workers}
        ready = wait([*by_connection, STDIN])
        if STDIN in ready:
            check_caller()
        return [by_connection[each] for each in ready if isinstance(each, Connection)]


def _killed(part: Part, status: int | None) -> str:
    how = f"was killed by {signal.Signals(-status).name}" if status and status < 0 else f"ended with status {status}"
    return (
        f"part {part.number} of the input, in {part.file}, can't be scored: each of {_ATTEMPTS} processes {how};"
        " if memory is short, use fewer --workers, else correct the model"
    )


def _work(connection: Connection, others: Sequence[Connection]) -> None:
    """Do the tasks that come; end with the parent, whatever the model is at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task, job, part = connection.recv()
        except EOFError:
            return
        try:
            options = {} if task.__name__ != "score_part" else {"on_rows": lambda rows: connection.send(("rows", rows))}
            connection.send(("done", task(job, part, **options)))
        except ScoringError as error:
            connection.send(("failed", str(error)))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)

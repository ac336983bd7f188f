"""The clients of a model server while its versions change: a process of its own, with one epoll.

python -m tests.bench.switch_clients JOB    where JOB is a Job as JSON

Each second it prints how many requests there have been. When its standard input ends, it prints all of them.
Each line is JSON.
"""

import gc
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.bench.switch_client import Asker, Job, Record


def ask(job: Job, stop: int, tell: Callable[[int], None]) -> tuple[list[Record], float]:
    """Ask until the file descriptor ``stop`` is at its end; ``tell`` gets the number of requests each second.

    Returns the requests, and by how many seconds one began too late at most.
    """
    records: list[Record] = []
    told, is_stopping = time.monotonic(), False
    with select.epoll() as poll:
        askers = [Asker(job, number, poll, due=told) for number in range(job.kept + job.fresh)]
        poll.register(stop, select.EPOLLIN)
        while not is_stopping or any(asker.is_busy for asker in askers):
            records += _in_time(askers, is_stopping=is_stopping)
            if time.monotonic() >= told + 1:
                told += 1
                tell(len(records))
            ready = {number for number, _ in poll.poll(_patience(askers, is_stopping=is_stopping))}
            if stop in ready:
                is_stopping = True
                poll.unregister(stop)
            records += _answered(askers, ready)
        for asker in askers:
            asker.close()
    return records, max(asker.late for asker in askers)


def _in_time(askers: list[Asker], *, is_stopping: bool) -> Iterator[Record]:
    """Begin the requests whose time has come, and give up those whose time is over."""
    for asker in askers:
        if time.monotonic() < asker.next_at or (is_stopping and not asker.is_busy):
            continue
        if record := asker.give_up() if asker.is_busy else asker.begin():
            yield record


def _patience(askers: list[Asker], *, is_stopping: bool) -> float:
    """Return for how many seconds there is nothing to do but to wait for answers."""
    times = [asker.next_at for asker in askers if asker.is_busy or not is_stopping]
    return max(0.0, min(times, default=0.0) - time.monotonic())


def _answered(askers: list[Asker], ready: set[int]) -> Iterator[Record]:
    for asker in askers:
        if asker.client and asker.client.connection.fileno() in ready and (record := asker.go_on()):
            yield record


def _tell(value: object) -> None:
    print(json.dumps(value), flush=True)


def main(job: Job) -> None:
    """Ask, and print."""
    gc.disable()
    # They stand for other machines: what this one is busy with must not hold them up.
    with suppress(OSError):
        os.nice(-10)
    _tell(ask(job, sys.stdin.fileno(), _tell))


if __name__ == "__main__":
    main(Job(**json.loads(sys.argv[1])))

"""The parts on Spark: each is a task, which scores it as a process of `pool` would.

A task is a part's number and place, and no rows: these go from the file to the model and into a file, as on
one machine. So all machines must see INPUT and OUTPUT under the same paths. A task that Spark repeats, or
runs twice, writes a file of its own; only the one that the driver has heard of counts.

    cluster     where Spark is, and its settings
    driver      Spark's driver: a JVM, and the application that runs the tasks
    shipping    what executors get from the driver
    task        what an executor does
    errors      what Spark says, in a sentence
"""

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from scorer.caller import check_caller
from scorer.job import Job, OnRows, Part, ScoringError, Written
from scorer.spark.cluster import Cluster
from scorer.spark.driver import Driver

_POLL = 0.1  # seconds
_LOOK = 1  # seconds
_EXECUTOR_WITHIN = 15  # seconds


def run(
    job: Job, parts: Sequence[Part], cluster: Cluster, on_rows: OnRows, note: Callable[[str], None]
) -> Iterator[Written]:
    """Score the parts; yield each when it is written. ``note`` is told what the user should know meanwhile.

    Raises:
        ScoringError: if the model, an executor or Spark fails.
        CallerGoneError: if the caller has ended.

    """
    # In the job's directory there is room, the next run clears what a killed one left, and by seeing it an
    # executor knows that it sees the job's directory. What of it can't be removed harms no OUTPUT: readers
    # leave out what begins with an underscore.
    with (
        _as_its_parent(Path(job.directory)),
        TemporaryDirectory(prefix="_spark-", dir=job.directory, ignore_cleanup_errors=True) as scratch,
    ):
        Path(scratch).chmod(0o755)  # executors may be another user's
        driver = Driver(job, parts, cluster, Path(scratch))
        try:
            driver.start()
            for written in _answers(driver, cluster, note):
                on_rows(written.rows)
                yield written
        finally:
            driver.end()


@contextmanager
def _as_its_parent(directory: Path) -> Iterator[None]:
    """Let those write into a directory meanwhile who may write into its parent."""
    own, parent = directory.stat(), directory.parent.stat()
    mode = stat.S_IMODE(parent.st_mode) | stat.S_IRWXU
    if own.st_gid != parent.st_gid:
        try:
            os.chown(directory, -1, parent.st_gid)
        except OSError:  # we are not of that group, and another must not get its rights
            mode &= ~stat.S_IWGRP
    directory.chmod(mode)
    try:
        yield
    finally:
        with suppress(OSError):  # no error under way is replaced
            directory.chmod(stat.S_IMODE(own.st_mode))


def _answers(driver: Driver, cluster: Cluster, note: Callable[[str], None]) -> Iterator[Written]:
    idle_since = looked_at = time.monotonic()
    is_over = is_noted = False
    while not is_over:
        check_caller()
        is_over = driver.is_over(within=_POLL)
        for answer in driver.new_answers():
            if isinstance(answer, str):
                raise ScoringError(answer)
            yield answer
        now = time.monotonic()
        if cluster.is_local or now < looked_at + _LOOK:
            continue
        looked_at = now
        if driver.is_at_work():
            idle_since, is_noted = now, False
        elif not is_noted and now > idle_since + _EXECUTOR_WITHIN:
            note(_idle(driver, cluster))
            is_noted = True


def _idle(driver: Driver, cluster: Cluster) -> str:
    """Say what is waited for."""
    if not driver.is_registered:
        return f"{cluster.master} has not answered the application yet, and this waits for it; see its log"
    return (
        f"no executor of {cluster.master} is at work, and this waits for one; Spark's page of the cluster"
        " shows whether it has free cores and memory"
    )

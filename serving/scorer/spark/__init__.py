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

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from scorer.caller import check_caller
from scorer.job import Job, OnRows, Part, ScoringError, Written
from scorer.spark.cluster import Cluster
from scorer.spark.driver import Driver

_POLL = 0.1  # seconds
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
    # executor knows that it sees the job's directory.
    with TemporaryDirectory(prefix="spark-", dir=job.directory) as scratch:
        driver = Driver(job, parts, cluster, Path(scratch))
        try:
            driver.start()
            for written in _answers(driver, cluster, note):
                on_rows(written.rows)
                yield written
        finally:
            driver.end()


def _answers(driver: Driver, cluster: Cluster, note: Callable[[str], None]) -> Iterator[Written]:
    noted_at: float | None = time.monotonic() + _EXECUTOR_WITHIN
    is_over = False
    while not is_over:
        check_caller()
        is_over = driver.is_over(within=_POLL)
        for answer in driver.new_answers():
            if isinstance(answer, str):
                raise ScoringError(answer)
            yield answer
        if noted_at and driver.has_begun():
            noted_at = None
        elif noted_at and time.monotonic() > noted_at:
            note(
                f"no executor has come from {cluster.master} yet, and this waits for one; Spark's page of the"
                " cluster shows whether it has free cores and memory"
            )
            noted_at = None

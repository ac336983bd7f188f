"""Spark's driver: a JVM that this process starts, and an application in it that runs a task for each part."""

import logging
import os
import shlex
import subprocess
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from scorer.job import Job, Part, ScoringError, Written
from scorer.spark.cluster import Cluster
from scorer.spark.errors import refusal, told
from scorer.spark.shipping import search_path, ship, shipped_model
from scorer.spark.task import Answers, Task

_STOPPED_WITHIN = 10  # seconds


def _silence() -> None:
    """Let Spark's own libraries print nothing: what fails is told in one sentence, and by its cause."""
    # That they do not support pandas 3 yet; they import it for what is not used here.
    warnings.filterwarnings("ignore", category=FutureWarning, module="pyspark")
    from pyspark.accumulators import AccumulatorTCPServer, AccumulatorUnixServer

    # That the JVM has ended: py4j again and again, a server of accumulators with a traceback.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    for server in (AccumulatorTCPServer, AccumulatorUnixServer):
        server.handle_error = lambda *_: None


class Driver:
    """The driver, and what the tasks have answered so far.

    Spark works in a thread: it blocks for a minute where a master does not take the application, and its log
    says at once why.
    """

    def __init__(self, job: Job, parts: Sequence[Part], cluster: Cluster, scratch: Path) -> None:
        """Nothing is started yet; ``scratch`` is for Spark's own files."""
        self._job, self._parts, self._cluster = job, parts, cluster
        self._scratch, self._log = scratch, scratch / "spark.log"
        self._jvm: subprocess.Popen[bytes] | None = None
        self._context: Any = None
        self._answers: Any = None
        self._seen = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the JVM, with all settings, and let it go on by itself.

        Raises:
            ScoringError: if it does not start.

        """
        if not self._cluster.is_local:
            if os.pathsep in str(self._scratch):
                raise ScoringError(
                    f"executors can't find modules in {self._scratch}, because that path has a colon; choose"
                    " another OUTPUT"
                )
            ship(self._job.model, self._scratch, packages=self._cluster.lacks_packages)
            self._job = replace(self._job, model=str(shipped_model(self._scratch)))
        self._gateway = self._launch()
        self._jvm = self._gateway.proc
        self._thread.start()

    def _launch(self) -> Any:  # noqa: ANN401 - the services have no pyspark, so nothing checks its types
        _silence()
        from pyspark.java_gateway import launch_gateway

        # Settings hold secrets, and all can see a command line. The JVM has read the file when it is up.
        with NamedTemporaryFile("w", prefix="spark-", suffix=".conf", encoding="utf-8") as properties:
            searched = "" if self._cluster.is_local else search_path(self._scratch)
            properties.write(self._cluster.settings(searched))
            properties.flush()
            os.environ |= {
                "PYSPARK_PYTHON": self._cluster.executors_python,
                "PYSPARK_SUBMIT_ARGS": f"--properties-file {shlex.quote(properties.name)} pyspark-shell",
                # Relative to the JVM's directory, so that no path has to be quoted.
                "SPARK_LOCAL_DIRS": ".",
                "SPARK_SUBMIT_OPTS": "-Djava.io.tmpdir=. -XX:-UsePerfData",
            }
            if self._cluster.own_address:  # else Spark asks a name server for this machine's name
                os.environ.setdefault("SPARK_LOCAL_IP", self._cluster.own_address)
            with self._log.open("wb") as log:
                options = {"cwd": self._scratch, "stdout": log, "stderr": log}
                try:
                    return launch_gateway(popen_kwargs=options)
                except Exception as error:
                    raise ScoringError(told(self._read_log(), self._cluster)) from error

    def _read_log(self) -> str:
        return self._log.read_text(errors="replace")

    def _run(self) -> None:
        from pyspark import SparkContext

        try:
            context = SparkContext(gateway=self._gateway)
            self._answers = context.accumulator([], Answers())
            self._context = context
            task = Task(self._job, self._cluster.python, self._answers)
            context.parallelize(self._parts, len(self._parts)).foreach(task)
        except Exception as error:
            self._error = error

    def is_over(self, within: float) -> bool:
        """Wait ``within`` seconds for the end of all tasks; whether it has come.

        Raises:
            ScoringError: if Spark has failed, or the master refuses the application.

        """
        self._thread.join(within)
        if self._context is None and (why := refusal(self._read_log(), self._cluster)):
            raise ScoringError(why)
        if self._error:
            why = told(str(self._error), self._cluster, self._read_log())
            raise ScoringError(why) from self._error
        return not self._thread.is_alive()

    @property
    def is_registered(self) -> bool:
        """Whether the master has taken the application."""
        return self._context is not None

    def is_at_work(self) -> bool:
        """Whether any task runs."""
        if self._context is None:
            return False
        status = self._context.statusTracker()
        stages = (status.getStageInfo(stage) for stage in status.getActiveStageIds())
        return any(stage and stage.numActiveTasks > 0 for stage in stages)

    def new_answers(self) -> list[Written | str]:
        """Return what tasks have answered since the last call; a text says why one could not."""
        if self._answers is None:
            return []
        new: list[Written | str] = self._answers.value[self._seen :]
        self._seen += len(new)
        return new

    def end(self) -> None:
        """End the JVM, and with it the application on the cluster, whatever it does."""
        if self._jvm is None:
            return
        if self._context is not None:
            stopping = threading.Thread(target=self._context.stop, daemon=True)
            stopping.start()
            stopping.join(_STOPPED_WITHIN)
        assert self._jvm.stdin  # noqa: S101 - launch_gateway makes it a pipe, at whose end the JVM ends
        self._jvm.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._jvm.wait(_STOPPED_WITHIN)
        self._jvm.kill()
        self._jvm.wait()
        self._thread.join()

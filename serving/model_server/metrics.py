"""The metrics, in Prometheus' format, of all workers together.

The workers write to files in the directory PROMETHEUS_MULTIPROC_DIR, so any of them can answer for all. The
library reads that variable when it is imported: https://prometheus.github.io/client_python/multiprocess/
"""

from collections import Counter as Tally
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import DataType, Schema
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from model_server.signature import columns_of

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CLASSES = {DataType.string, DataType.boolean, DataType.integer, DataType.long}
_MOST_CLASSES = 100
_LONGEST_CLASS = 64  # a longer text is no name


class Metrics:
    """Counts the requests for predictions; each metric has the model's name and version."""

    def __init__(self, name: str, version: str, outputs: Schema | None) -> None:
        """Count for one model; its signature's outputs say whether its answers are classes."""
        labels, values = ["model", "version"], (name, version)
        registry = CollectorRegistry()  # nobody reads it: `written` reads the workers' files
        self._requests = Counter(
            "model_server_requests",
            "Requests for predictions, by status",
            [*labels, "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "model_server_request_duration_seconds",
            "Time from the whole request to the whole answer",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        ).labels(*values)
        rows = Counter("model_server_rows", "Rows that predictions were made of", labels, registry=registry)
        self._rows = rows.labels(*values)
        self._predictions = Counter(
            "model_server_predictions",
            f"Predictions by class; after {_MOST_CLASSES} classes in a worker, the others together",
            [*labels, "class"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "model_server_requests_in_flight",
            "Requests for predictions at work or waiting",
            labels,
            multiprocess_mode="livesum",
            registry=registry,
        ).labels(*values)
        self._values = values
        self._by_status: dict[int, Counter] = {}
        self._by_class: dict[str, Counter] = {}
        self._counts_classes = _are_classes(outputs)

    def begin(self) -> None:
        """Count a request as in flight."""
        self._in_flight.inc()

    def end(self, status: int, seconds: float, predictions: Any) -> None:  # noqa: ANN401 - what a model answers
        """Count an answered request, and the predictions if there were any."""
        self._count(status, seconds, predictions)
        self._in_flight.dec()

    def _count(self, status: int, seconds: float, predictions: Any) -> None:  # noqa: ANN401
        if status not in self._by_status:
            self._by_status[status] = self._requests.labels(*self._values, str(status))
        self._by_status[status].inc()
        self._seconds.observe(seconds)
        if status != 200 or not isinstance(predictions, list | tuple | np.ndarray | pd.Series | pd.DataFrame):
            return
        if isinstance(predictions, np.ndarray) and predictions.ndim == 0:
            return
        self._rows.inc(len(predictions))
        if self._counts_classes:
            classes = predictions.to_numpy() if isinstance(predictions, pd.DataFrame) else predictions
            if isinstance(classes, np.ndarray):  # of one column, as the signature says
                classes = classes.ravel()
            try:
                counts = Tally(classes)
            except TypeError:  # lists
                counts = Tally(map(str, classes))
            for name, count in counts.items():
                self._count_class(str(name), count)

    def _count_class(self, name: str, count: int) -> None:
        name = name.encode(errors="replace").decode()  # half of a surrogate pair can't be written
        if name not in self._by_class:
            if len(self._by_class) >= _MOST_CLASSES or len(name) > _LONGEST_CLASS:
                name = "(others)"
            self._by_class[name] = self._predictions.labels(*self._values, name)
        self._by_class[name].inc(count)


def written() -> bytes:
    """Return all metrics of all workers, those that have ended included."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


class EndedWorkers:
    """Counts, in the process that replaces them, the workers that have ended by themselves or were killed."""

    def __init__(self, name: str, version: str) -> None:
        """Count those of one model."""
        ended = Counter(
            "model_server_ended_workers",
            "Workers that ended by themselves or were killed, with the request that they were at",
            ["model", "version"],
            registry=CollectorRegistry(),
        )
        self._ended = ended.labels(name, version)

    def count(self, pid: int) -> None:
        """Count one, and remove its requests in flight from their sum."""
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._ended.inc()


def _are_classes(outputs: Schema | None) -> bool:
    columns = columns_of(outputs)
    return len(columns) == 1 and columns[0].kind in _CLASSES

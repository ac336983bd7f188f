"""Models, files and requests for the tests of the scorer; `scored` does a job in this process."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pyarrow as pa
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from pyarrow import parquet
from scorer.job import Job, OnRows, Part
from scorer.pool import Answer, Task
from scorer.run import run

from stack.config import CHECKOUT

HEAD = """
import os, sys, threading, time
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Told(PythonModel):
    def predict(self, context, model_input, params=None):
"""
DOUBLES = ModelSignature(
    Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "b", required=False)]),
    Schema([ColSpec(DataType.double)]),
)
SUM = "return (model_input['a'] * 2).to_numpy()"


def save_model(
    directory: Path, body: str, signature: ModelSignature | None = DOUBLES, more: str = ""
) -> Path:
    """Save a model whose predict has this body; ``more`` is code of its module."""
    directory.mkdir(parents=True)
    code = (
        HEAD + "".join(f"        {line}\n" for line in body.splitlines()) + f"\n{more}\nset_model(Told())\n"
    )
    (directory / "code.py").write_text(code)
    mlflow.pyfunc.save_model(
        directory / "model",
        python_model=str(directory / "code.py"),
        signature=signature,
        pip_requirements=[],
    )
    return directory / "model"


def write(file: Path, columns: dict[str, Any], **options: Any) -> Path:  # noqa: ANN401 - those of Arrow
    """Write a Parquet file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), file, **options)
    return file


class Here:
    """Stands for the pool: does its tasks in this process."""

    def __init__(self, **_: object) -> None: ...

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, task: Task[Answer], job: Job, part: Part) -> Answer:
        return task(job, part, lambda _: None)

    def run(
        self, task: Task[Answer], job: Job, parts: Sequence[Part], _workers: int, on_rows: OnRows
    ) -> Iterator[Answer]:
        for part in parts:
            yield task(job, part, on_rows)


def request(model: Path, source: Path | str, output: Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "model": str(model),
        "model_name": "told",
        "model_version": "7",
        "run_id": "abc",
        "replay": "passed",
        "input": str(source),
        "output": str(output),
        **more,
    }


@dataclass
class Scoring:
    """Does jobs in this process, into one directory."""

    directory: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.directory / "output"

    def __call__(self, model: Path, source: Path | str) -> pa.Table:
        told = io.StringIO()
        self.manifest = run(request(model, source, self.output), told)
        self.events = [json.loads(line) for line in told.getvalue().splitlines()]
        return parquet.read_table(self.output)


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scoring:
    """Do a job in this process, whose caller waits."""
    monkeypatch.setattr("scorer.run.Pool", Here)
    monkeypatch.setattr("scorer.run.check_caller", lambda: None)
    monkeypatch.setattr("scorer.caller._stays", threading.Event())
    return Scoring(tmp_path)


def start_scorer(job: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a scorer as a process, and give it the job."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "scorer"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "serving")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return process

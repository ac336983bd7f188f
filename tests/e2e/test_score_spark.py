"""./scripts/score --master on real clusters of Spark: the same rows, whatever is killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from stack.config import load_config
from stack.errors import StackError
from stack.modes import docker_spark, native_spark
from stack.modes.docker_environment import base_image, base_python
from stack.modes.engine import find_image
from stack.wait import wait_until
from tests.e2e.clusters import (
    SparkCluster,
    children,
    cluster_of_containers,
    cluster_of_processes,
    command_line,
)
from tests.e2e.stacks import Stack, can_not_run
from tests.unit.tracking_servers import as_client

# Doubles x; on an executor only once the gate is open. A call there leaves a file: a test sees it at work.
MODEL = """
import os, time, uuid
from pathlib import Path

import mlflow


class Gated(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        gate = Path(model_input["gate"].iloc[0])
        if (model_input["x"] < 0).any():
            raise ValueError(f"negative: {model_input['x'].min()}")
        if "ON_EXECUTOR" in os.environ:
            (gate / f"begun-{uuid.uuid4().hex}").touch()
            while not (gate / "open").exists():
                time.sleep(0.05)
        return (model_input["x"] * 2).to_numpy()


mlflow.models.set_model(Gated())
"""
FILES, ROWS = 6, 50


@dataclass(frozen=True)
class Site:
    """A stack and a cluster, with a directory that all machines see."""

    stack: Stack
    cluster: SparkCluster
    shared: Path

    def command(self, source: Path, output: Path, *options: str) -> list[str]:
        return ["./scripts/score", f"--{self.stack.mode}", str(source), str(output), *options]

    def refused(self, source: Path, output: Path, *options: str) -> str:
        """Return the one sentence by which it fails; there is no output then, and no litter."""
        there = set(output.parent.iterdir())
        done = self.stack.run(*self.command(source, output, *options), check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert set(output.parent.iterdir()) == there
        [told] = [line for line in done.stderr.splitlines() if line.startswith("score: ")]
        return told


@pytest.fixture(scope="module", params=["native", "docker"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Start a cluster for each mode: of processes natively, of containers with Docker."""
    stack: Stack = request.getfixturevalue(f"{request.param}_stack")
    config = load_config(stack.settings)
    shared, directory = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("cluster")
    if request.param == "native":
        try:
            native_spark.check_java()
        except StackError as error:
            can_not_run(str(error))
        started = cluster_of_processes(
            native_spark.prepare(config.home) / "pyspark", sys.executable, directory
        )
    else:
        below = base_image(config)
        found = find_image(below)
        assert found
        started = cluster_of_containers(docker_spark.prepare(config, below, found), shared, directory)
    with started as cluster:
        yield Site(stack, cluster, shared)


@pytest.fixture(scope="module")
def gated(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Register the gated model under a name of its own, beside the model that is served."""
    directory = tmp_path_factory.mktemp("gated")
    (directory / "gated.py").write_text(MODEL)
    mlflow.pyfunc.save_model(
        directory / "model",
        python_model=str(directory / "gated.py"),
        signature=ModelSignature(
            Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.string, "gate")]),
            Schema([ColSpec(DataType.double)]),
        ),
        pip_requirements=["mlflow"],
    )
    if site.stack.mode == "docker":  # as if its Python had logged it
        described = directory / "model" / "MLmodel"
        described.write_text(
            re.sub("python_version: .*", f"python_version: {base_python()}.0", described.read_text())
        )
    client, name = site.stack.client, "gated"
    run = client.create_run(client.create_experiment("gated")).info
    client.log_artifacts(run.run_id, str(directory / "model"), "artifacts")
    client.create_registered_model(name)
    client.create_model_version(name, f"{run.artifact_uri}/artifacts", run.run_id)
    client.set_registered_model_alias(name, "champion", "1")
    return replace(site, stack=replace(site.stack, settings={**site.stack.settings, "MODEL_NAME": name}))


@dataclass(frozen=True)
class Run:
    """Files to score by the gated model: one part each."""

    site: Site
    directory: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def source(self) -> Path:
        return self.directory / "in"

    @property
    def output(self) -> Path:
        return self.directory / "answers" / "out"

    def options(self) -> list[str]:
        return [*self.site.cluster.options(), "--python", self.site.cluster.python]

    def start(self) -> subprocess.Popen[str]:
        self.started.append(
            self.site.stack.start(*self.site.command(self.source, self.output, *self.options()))
        )
        return self.started[-1]

    def begun(self) -> int:
        """Return how often executors have asked the model so far."""
        return len(list(self.directory.glob("begun-*")))

    def open(self) -> None:
        (self.directory / "open").touch()

    def assert_whole(self) -> None:
        """Check that each row is there once, with its answer, and nothing else."""
        found = pd.read_parquet(self.output).sort_values("row")
        assert found["row"].tolist() == list(range(FILES * ROWS))
        assert (found["prediction"] == found["x"] * 2).all()
        assert [each.name for each in self.output.parent.iterdir()] == ["out"]
        assert json.loads((self.output / "_manifest.json").read_text())["rows"] == FILES * ROWS


@pytest.fixture
def run(gated: Site, request: pytest.FixtureRequest) -> Iterator[Run]:
    directory = gated.shared / re.sub(r"\W", "-", request.node.name)
    for made in (directory / "in", directory / "answers"):
        made.mkdir(parents=True)
    for number in range(FILES):
        rows = np.arange(number * ROWS, (number + 1) * ROWS)
        frame = pd.DataFrame({"row": rows, "x": rows / 7, "gate": str(directory)})
        frame.to_parquet(directory / "in" / f"{number}.parquet", index=False)
    made_run = Run(gated, directory)
    yield made_run
    for process in made_run.started:  # where a test has failed
        process.kill()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    def alive() -> bool:
        return process is None or process.poll() is None

    wait_until(lambda: None if condition() else "not yet", timeout=180, interval=0.2, alive=alive)


def iris_rows(directory: Path) -> pd.DataFrame:
    """Write some files of flowers; return all their rows."""
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    values = np.random.default_rng(0).uniform(0.1, 8, (40_000, 4))
    rows = pd.DataFrame(values, columns=names).assign(number=range(40_000))
    directory.mkdir()
    for each in range(4):
        rows.iloc[each * 10_000 : (each + 1) * 10_000].to_parquet(directory / f"{each}.parquet", index=False)
    return rows


def test_all_rows_are_scored_as_by_mlflow(site: Site) -> None:
    directory, output = site.shared / "iris", site.shared / "answers"
    rows = iris_rows(directory)
    # The image has the model's packages; natively they are shipped.
    options = ["--python", site.cluster.python] if site.stack.mode == "docker" else []
    site.stack.run(*site.command(directory, output, *site.cluster.options(), *options))
    with as_client(site.stack.tracking_url):
        expected = mlflow.pyfunc.load_model("models:/iris@champion").predict(rows.drop(columns="number"))
    found = pd.read_parquet(output).sort_values("number")
    assert found["prediction"].tolist() == list(expected)
    pd.testing.assert_frame_equal(found[rows.columns].reset_index(drop=True), rows)
    wait_for(site.cluster.is_idle)


def test_whatever_is_killed_at_work_no_row_is_lost_or_doubled(run: Run) -> None:
    cluster = run.site.cluster
    process = run.start()
    wait_for(lambda: run.begun() >= 2, process)
    assert not [
        each for each in Path("/proc").glob("[0-9]*") if cluster.secret in command_line(int(each.name))
    ]
    begun = run.begun()
    os.kill(cluster.workers[0].scoring[0], signal.SIGKILL)
    wait_for(lambda: run.begun() > begun, process)
    begun = run.begun()
    os.kill(cluster.workers[1].executors[0], signal.SIGKILL)
    wait_for(lambda: run.begun() > begun, process)
    cluster.kill_worker()
    run.open()
    output, _ = process.communicate(timeout=300)
    cluster.add_worker()
    assert process.returncode == 0, output
    run.assert_whole()
    wait_for(cluster.is_idle)


def test_a_driver_that_is_killed_leaves_no_output_and_the_next_run_is_whole(run: Run) -> None:
    process = run.start()
    wait_for(lambda: run.begun() >= 2, process)
    process.kill()
    process.communicate()
    wait_for(run.site.cluster.is_idle)
    wait_for(lambda: not list(run.output.parent.iterdir()))
    # Natively, also the scorer itself, which has no chance to clean up then.
    if run.site.stack.mode == "native":
        begun, process = run.begun(), run.start()
        wait_for(lambda: run.begun() >= begun + 2, process)
        [scorer] = [pid for pid in children(process.pid) if "-m scorer" in command_line(pid)]
        os.kill(scorer, signal.SIGKILL)
        output, _ = process.communicate()
        assert process.returncode == 1
        assert "score: the scorer was killed by SIGKILL" in output
        assert not run.output.exists()
        wait_for(run.site.cluster.is_idle)
    run.open()
    run.site.stack.run(*run.site.command(run.source, run.output, *run.options()))
    run.assert_whole()


@pytest.mark.thorough
def test_a_model_that_fails_is_told_once_without_its_data(run: Run) -> None:
    run.open()
    bad = run.source / "4.parquet"
    frame = pd.read_parquet(bad)
    frame.loc[7, "x"] = -4242.5
    frame.to_parquet(bad, index=False)
    told = run.site.refused(run.source, run.output, *run.options())
    assert f"the model fails on rows 1 to {ROWS} of {bad}: ValueError in gated.py" in told
    assert "4242" not in told


@pytest.mark.thorough
def test_a_wrong_secret_is_told_before_spark_gives_up(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.conf"
    wrong.write_text(run.site.cluster.properties.read_text().replace(run.site.cluster.secret, "0" * 32))
    for options in (["--properties", str(wrong)], []):
        told = run.site.refused(run.source, run.output, "--master", run.site.cluster.master, *options)
        assert f"{run.site.cluster.master} refuses the application: the secrets don't agree" in told


@pytest.mark.thorough
def test_a_python_that_executors_lack_or_that_is_another_is_told(run: Run) -> None:
    cluster = run.site.cluster
    told = run.site.refused(run.source, run.output, *cluster.options(), "--python", "no-such-python")
    assert "an executor has no no-such-python; install Python" in told
    if run.site.stack.mode == "native":
        if (other := other_python()) is None:
            pytest.skip("no other Python is installed beside this one")
        told = run.site.refused(run.source, run.output, *cluster.options(), "--python", other)
        assert f"the executors' {other} is Python 3." in told
        assert f"and the model runs on 3.{sys.version_info.minor}; name a Python" in told


def other_python() -> str | None:
    """Return a Python of another minor version that is installed beside this one; None without one."""
    beside = Path(sys.base_prefix).parent
    found = [python for minor in (11, 12, 13) for python in beside.glob(f"*/bin/python3.{minor}")]
    return next(
        (str(python) for python in found if not python.name.endswith(f".{sys.version_info.minor}")), None
    )


@pytest.mark.thorough
@pytest.mark.parametrize("which", ["INPUT", "OUTPUT"])
def test_what_the_machines_do_not_share_is_told(run: Run, tmp_path: Path, which: str) -> None:
    if run.site.stack.mode == "native":
        pytest.skip("processes of one machine share everything")
    run.open()
    source, output = run.source, run.output
    if which == "INPUT":
        source = Path(shutil.copytree(run.source, tmp_path / "in"))
        expected = f"does not see {source}"
    else:
        output = tmp_path / "out"
        expected = "does not see the directory of OUTPUT"
    told = run.site.refused(source, output, *run.options())
    assert expected in told


@pytest.mark.parametrize("site", ["native"], indirect=True)
def test_spark_in_one_process_does_without_a_cluster(site: Site, tmp_path: Path) -> None:
    iris_rows(tmp_path / "in")
    site.stack.run(*site.command(tmp_path / "in", tmp_path / "out", "--master", "local[2]"))
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["engine"]) == (40_000, "spark")

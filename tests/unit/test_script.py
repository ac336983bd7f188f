"""Plain scripts as train.py, at a real tracking server: which of their models becomes the candidate."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from stack.config import CHECKOUT
from tests.unit.tracking_servers import Server

MODEL = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return [0] * len(model_input)

set_model(Model())
"""
# Both files are named as in a script that is run in its own directory.
LOG = """
import os, subprocess, sys
import mlflow

def log(name="model", **how):
    return mlflow.pyfunc.log_model(
        name=name, python_model="model.py", code_paths=["helper.py"], pip_requirements=[], **how
    )
"""
FILES = {"model.py": MODEL, "helper.py": LOG}
SCRIPT = "from helper import *\n"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Return a function that runs a script as the stack does, for the registered model of that name."""

    def run(name: str, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for file, text in {**FILES, "train.py": SCRIPT + script}.items():
            (tmp_path / file).write_text(text)
        return subprocess.run(
            [sys.executable, "-P", "-m", "workflow", tmp_path / "train.py", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CHECKOUT / "trainer"),
                "MLFLOW_TRACKING_URI": server.url,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MODEL_NAME": name,
                **environment,
            },
            capture_output=True,
            text=True,
        )

    return run


def aliases(server: Server, name: str) -> Mapping[str, str]:
    found: Mapping[str, str] = server.client.get_registered_model(name).aliases
    return found


def only_version(server: Server, name: str) -> ModelVersion:
    """Return the candidate, the only version that is registered."""
    (version,) = server.versions(name)
    assert aliases(server, name) == {"candidate": version.version}
    assert len(version.tags["fingerprint"]) == 64
    assert isinstance(version, ModelVersion)
    return version


def logged_as(server: Server, version: ModelVersion) -> str:
    """Return the name under which the version's model was logged."""
    return str(server.client.get_logged_model(str(version.source).rpartition("/")[2]).name)


def test_the_model_of_a_script_is_registered_and_made_the_candidate_once(run: Run, server: Server) -> None:
    script = "with mlflow.start_run():\n    log()"
    done = run("mine", script)
    assert done.returncode == 0, done.stderr
    version = only_version(server, "mine")
    assert done.stdout.endswith(f"run id: {version.run_id}\nregistered as version 1 of mine: candidate\n")
    experiment = server.client.get_experiment_by_name("mine")
    assert experiment is not None
    assert server.client.get_run(str(version.run_id)).info.experiment_id == experiment.experiment_id
    server.client.delete_registered_model_alias("mine", "candidate")  # as if it had been killed before
    again = run("mine", script)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("nothing has changed since version 1 of mine was trained, so nothing")
    only_version(server, "mine")
    forced = run("mine", script, "--force")
    assert "version 1 was the candidate until now; to serve that one: ./scripts/promote 1\n" in forced.stdout
    assert aliases(server, "mine") == {"candidate": "2"}
    assert run("mine", f"{script}  # a change", "--wait").returncode == 0
    assert aliases(server, "mine") == {"candidate": "3"}
    server.client.delete_run(str(server.client.get_model_version("mine", "3").run_id))
    anew = run("mine", f"{script}  # a change")
    assert "but its run was deleted, so it is trained anew\n" in anew.stdout
    assert aliases(server, "mine") == {"candidate": "4"}


OTHERS = """
subprocess.run([sys.executable, "-c", "from helper import *; log('of-another')"], check=True,
    env={name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_CONTEXT"})
"""
FRAME = "__import__('pandas').DataFrame({'size': [1.0, 2.0, 30.0, 31.0]})"


@pytest.mark.parametrize(
    ("script", "logged"),
    [
        (
            "mlflow.set_experiment('of its own')\nfor name in 'ab':\n"
            "    with mlflow.start_run():\n        log(name)",
            "b",
        ),
        (f"log()\n{OTHERS}", "model"),
        ("subprocess.run([sys.executable, '-c', 'from helper import *; log()'], check=True)", "model"),
        ("log('best', registered_model_name=os.environ['MODEL_NAME'])\nlog('last')", "best"),
        ("log(registered_model_name='another-name')", "model"),
        (
            "from sklearn.linear_model import LogisticRegression\nmlflow.sklearn.autolog()\n"
            f"LogisticRegression().fit({FRAME}, [0, 0, 1, 1])",
            "model",
        ),
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--C', default=1)\n"
            "if __name__ == '__main__':\n    parser.parse_args()\n    mlflow.start_run()\n    log()\n"
            "    sys.exit(0)",
            "model",
        ),
        (
            "mlflow.set_tracking_uri(os.environ['MLFLOW_TRACKING_URI'].replace('127.0.0.1', 'localhost'))\n"
            "log()",
            "model",
        ),
    ],
    ids=[
        "two runs in an experiment of its own",
        "outside of a run and beside another process",
        "in a process that it starts",
        "registered by itself",
        "registered under another name",
        "autolog",
        "arguments, an open run and an exit",
        "the same server by another name",
    ],
)
def test_any_way_to_log_a_model_works(
    run: Run, server: Server, request: pytest.FixtureRequest, script: str, logged: str
) -> None:
    name = request.node.callspec.id.replace(" ", "-").replace(",", "")
    done = run(name, script, "--force", "--wait")
    assert done.returncode == 0, done.stderr
    assert logged_as(server, only_version(server, name)) == logged


def test_a_version_to_which_the_script_gives_an_alias_goes_before_its_last(run: Run, server: Server) -> None:
    register = "for _ in range(2):\n    log(registered_model_name='chosen')\n"
    done = run(
        "chosen", f"{register}mlflow.MlflowClient().set_registered_model_alias('chosen', 'champion', 1)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("registered as version 1 of chosen: candidate\n")
    assert aliases(server, "chosen") == {"candidate": "1", "champion": "1"}
    assert [version.version for version in server.versions("chosen") if version.tags] == ["1"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("log()\n1 / 0", "train.py raised ZeroDivisionError: division by zero; see the trace above, and"),
        ("import cowsay", "train.py raised ModuleNotFoundError: No module named 'cowsay'; see the trace"),
        ("log(", "train.py raised SyntaxError: '(' was never closed (train.py, line 2); see the trace"),
        ("log()\nsys.exit('so far')", "train.py ended with status 1, so no model of it is taken; what it"),
        (
            "with mlflow.start_run():\n    mlflow.pyfunc.save_model('saved', python_model='model.py',"
            " pip_requirements=[])\n    mlflow.log_artifacts('saved', 'model')",
            "train.py has logged no model; log one by log_model(..., input_example=...) of its MLflow flavor"
            " (what save_model writes is not logged)",
        ),
        (
            "mlflow.set_tracking_uri('sqlite:///mine.db')\nlog()",
            "train.py has set the tracking server to sqlite:///mine.db, expected {server}, which the stack"
            " has set; remove mlflow.set_tracking_uri(...), and set MLFLOW_TRACKING_URI to use another",
        ),
        (
            "mlflow.set_tracking_uri('http://127.0.0.1:9')\nlog()",
            "train.py has set the tracking server to http://127.0.0.1:9, expected {server}, which the stack",
        ),
        (
            "log()\nopen(os.path.dirname(__file__) + '/plot.png', 'w').close()",
            "plot.png in {directory} changed during the training, so the version would be of other code",
        ),
        (
            "from workflow import Training\nlog()",
            "train.py imports from workflow what a Training needs, but trains none; end it with"
            " sys.exit(main(TRAINING)), or remove the import, so that it counts as a plain script",
        ),
        (  # of which the source says it less plainly
            "import workflow\nlog()\n"
            "sys.exit(workflow.main(workflow.Training(workflow.__file__, {}, None, *[None] * 4)))",
            "train.py raised AttributeError: 'str' object has no attribute 'resolve'; see the trace above",
        ),
    ],
    ids=[
        "it raises",
        "a package that is missing",
        "no Python",
        "it exits as failed",
        "no model",
        "another store",
        "another server",
        "a change in its directory",
        "a Training without main",
        "a Training that fails",
    ],
)
def test_a_script_that_fails_registers_nothing(
    run: Run, server: Server, tmp_path: Path, script: str, told: str
) -> None:
    done = run("failing", script)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"train.py: {told.format(server=server.url, directory=tmp_path)}"), done.stderr
    has_trace = "Traceback (most recent call last)" in done.stderr
    assert has_trace == (" raised " in told or "SyntaxError" in told)
    assert server.versions("failing") == []


def test_a_run_that_a_failed_script_leaves_open_ends_as_failed(run: Run, server: Server) -> None:
    assert run("left-open", "mlflow.start_run()\n1 / 0").returncode == 1
    experiment = server.client.get_experiment_by_name("left-open")
    assert experiment is not None
    (found,) = server.client.search_runs([experiment.experiment_id])
    assert found.info.status == "FAILED"


@pytest.mark.parametrize(
    ("end", "status"),
    [("", "FINISHED"), ("\n1 / 0", "FAILED"), ("\nsys.exit(3)", "FAILED")],
    ids=["ends well", "raises", "exits"],
)
def test_a_run_that_a_script_leaves_open_on_another_server_ends_there(
    run: Run, tmp_path: Path, end: str, status: str
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    run("open-elsewhere", f"mlflow.set_tracking_uri('{other}')\nmlflow.start_run(){end}")
    client = MlflowClient(other)
    experiment = client.get_experiment_by_name("open-elsewhere")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == status


def test_an_experiment_of_the_users_environment_does_not_count(run: Run, server: Server) -> None:
    experiment = server.client.create_experiment("own-experiment")
    done = run("own-experiment", "mlflow.start_run()\nlog()", MLFLOW_EXPERIMENT_ID="0")
    assert done.returncode == 0, done.stderr
    run_id = only_version(server, "own-experiment").run_id
    assert [found.info.run_id for found in server.client.search_runs([experiment])] == [run_id]


def test_a_server_that_does_not_answer_is_told_before_the_script_runs(run: Run) -> None:
    nobody = "http://127.0.0.1:9"
    done = run("nobody", "print('too soon')", MLFLOW_TRACKING_URI=nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"train.py: the tracking server {nobody} did not answer: ")
    assert done.stderr.count("\n") == 1


def test_a_deleted_experiment_is_told_before_the_script_runs(run: Run, server: Server) -> None:
    server.client.delete_experiment(server.client.create_experiment("deleted"))
    done = run("deleted", "log()")
    assert done.returncode == 1
    assert done.stderr.startswith("train.py: the experiment deleted was deleted, and MLflow keeps its name")

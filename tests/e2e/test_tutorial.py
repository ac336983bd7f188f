"""MLflow's tutorial "Store and load custom models using mlflow.pyfunc", command by command."""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.conftest import two_free_ports
from tests.e2e.stacks import Stack, new_stack, removed

ANSWER = '{"predictions": ["setosa", "versicolor", "virginica"]}'
MLFLOW = str(Path(sys.executable).with_name("mlflow"))


def environment(stack: Stack) -> dict[str, str]:
    return {**stack.environment, "MLFLOW_TRACKING_URI": stack.tracking_url, "PATH": path()}


def path() -> str:
    """Return a PATH as in an activated virtual environment."""
    return f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(stack: Stack, *command: str, cwd: Path = CHECKOUT) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environment(stack), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run_id(native_stack: Stack) -> str:
    printed = run(native_stack, "python", "train.py", cwd=CHECKOUT / "trainer")
    found = re.search(r"^run id: ([0-9a-f]{32})$", printed, re.MULTILINE)
    assert found
    assert re.search(
        rf"^the run is stored at {native_stack.tracking_url}/#/experiments/\d+/runs/{found[1]}$",
        printed,
        re.MULTILINE,
    )
    return found[1]


def curl(port: int) -> str:
    """Send the request that the README shows, by the command that it shows."""
    command = re.search(r"^curl .*\n(?:.*\\\n)*.*invocations$", (CHECKOUT / "README.md").read_text(), re.M)
    assert command
    words = shlex.split(command[0].replace("localhost:5002", f"127.0.0.1:{port}"))
    return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout.strip()


@contextmanager
def serving(process: subprocess.Popen[bytes], port: int, seconds: float) -> Iterator[None]:
    try:
        wait_until(
            lambda: None if curl(port) == ANSWER else "no answer yet",
            timeout=seconds,
            interval=0.5,
            alive=lambda: process.poll() is None,
        )
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def test_the_names_of_the_tutorial_are_there() -> None:
    import custom_code
    import iris_classifier
    import train

    assert callable(train.initialize_and_train)
    assert callable(train.store_pyfunc_model)
    assert callable(custom_code.iris_classes)
    assert callable(iris_classifier.IrisClassifier)


def test_infer_loads_the_model_of_a_run(native_stack: Stack, run_id: str) -> None:
    printed = native_stack.script("infer", "--runid", run_id).stdout
    assert printed == "Predictions: ['setosa', 'versicolor', 'virginica']\n"
    by_hand = run(native_stack, "python", "infer.py", "--runid", run_id, cwd=CHECKOUT / "trainer")
    assert by_hand == printed


def test_infer_names_a_run_that_does_not_exist(native_stack: Stack) -> None:
    failed = native_stack.script("infer", "--runid", "0" * 32, check=False)
    assert failed.returncode == 1
    assert f"can't use the model of run {'0' * 32} from {native_stack.tracking_url}" in failed.stderr


def test_mlflow_models_serve_answers_the_curl_command(native_stack: Stack, run_id: str) -> None:
    port, _ = two_free_ports()
    command = [MLFLOW, "models", "serve", "-m", f"runs:/{run_id}/artifacts", "--env-manager", "local"]
    process = subprocess.Popen([*command, "--port", str(port)], env=environment(native_stack))
    with serving(process, port, 120):
        assert not_healthy(f"http://127.0.0.1:{port}") is None


def test_generate_dockerfile_writes_one(native_stack: Stack, run_id: str, tmp_path: Path) -> None:
    model = f"runs:/{run_id}/artifacts"
    run(native_stack, MLFLOW, "models", "generate-dockerfile", "-m", model, "-d", str(tmp_path))
    assert "ENTRYPOINT" in (tmp_path / "Dockerfile").read_text()


@pytest.mark.thorough
def test_build_docker_makes_the_stock_image_and_docker_run_serves_it(docker_stack: Stack) -> None:
    # The first run is the container's trainer's, whose Python version is that of the base image.
    run_id = docker_stack.client.get_model_version("iris", "1").run_id
    name = f"{docker_stack.settings['COMPOSE_PROJECT_NAME']}-tutorial"  # removed with the stack's images
    model = f"runs:/{run_id}/artifacts"
    run(docker_stack, MLFLOW, "models", "build-docker", "-m", model, "--env-manager", "local", "-n", name)
    port, _ = two_free_ports()
    command = ["docker", "run", "--rm", "--init", "-p", f"127.0.0.1:{port}:8080", name]
    with serving(subprocess.Popen(command), port, 120):
        pass


# The tutorial's own files as MODEL_DIR, with the arguments that MLflow 3 has renamed

FILES = {
    "custom_code.py": """
def iris_classes(preds):
    classes = ["setosa", "versicolor", "virginica"]
    return [classes[number] for number in preds]
""",
    "train.py": """
import joblib as jl
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from custom_code import iris_classes


def initialize_and_train() -> (LogisticRegression, ModelSignature):
    X, y = load_iris(return_X_y=True, as_frame=True)
    classifier = LogisticRegression(C=1.0, random_state=42).fit(X, y)
    mlflow.log_metric("accuracy", accuracy_score(y, classifier.predict(X)))
    return classifier, mlflow.models.infer_signature(X, y)


class IrisClassifier(mlflow.pyfunc.PythonModel):
    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        self.classifier = jl.load(context.artifacts["classifier"])

    def predict(
        self, context: mlflow.pyfunc.PythonModelContext, model_input: pd.DataFrame
    ) -> np.ndarray[int]:
        return iris_classes(self.classifier.predict(model_input))


def store_pyfunc_model(classifier: LogisticRegression, signature: ModelSignature) -> str:
    assert mlflow.get_tracking_uri().startswith("http")
    jl.dump(classifier, "iris_classifier.joblib")
    model_info = mlflow.pyfunc.log_model(
        python_model=IrisClassifier(),
        artifacts={"classifier": "iris_classifier.joblib"},
        name="artifacts",
        signature=signature,
        code_paths=["custom_code.py"],
    )
    print(f"Stored in mlruns/{model_info.run_id}")
    return model_info.run_id


if __name__ == "__main__":
    with mlflow.start_run() as run:
        classifier, signature = initialize_and_train()
        run_id = store_pyfunc_model(classifier, signature)
""",
    "infer.py": """
import argparse

import mlflow
import pandas as pd

parser = argparse.ArgumentParser()
parser.add_argument("--runid", type=str)
model = mlflow.pyfunc.load_model(f"runs:/{parser.parse_args().runid}/artifacts")
rows = pd.DataFrame({"sepal length (cm)": [5.1, 5.9, 6.9], "sepal width (cm)": [3.3, 3.0, 3.1],
                     "petal length (cm)": [1.7, 4.2, 5.4], "petal width (cm)": [0.5, 1.5, 2.1]})
print(f"Iris classifications: {model.predict(rows)}")
""",
}
WITH_EXAMPLE = (
    "signature=signature,",
    "signature=signature, input_example=load_iris(as_frame=True).data[:3],",
)


@pytest.fixture(params=["native", pytest.param("docker", marks=pytest.mark.thorough)])
def own(request: pytest.FixtureRequest, home: Path, installed_clone: Path) -> Iterator[Stack]:
    """Describe a stack whose model is the tutorial's."""
    if request.param == "docker":
        request.getfixturevalue("docker")
    stack = new_stack(request.param, home, installed_clone)
    stack.settings.update(MODEL_NAME="tutorial", MODEL_DIR="models/tutorial")
    with removed(stack):
        yield stack


def test_the_tutorials_own_files_are_trained_and_served(own: Stack) -> None:
    directory = own.checkout / own.settings["MODEL_DIR"]
    directory.mkdir(parents=True)
    for name, text in FILES.items():
        (directory / name).write_text(text)
    (directory / "custom_code.py").write_text("raise RuntimeError('a mistake of mine')\n")
    failed = own.script("up", f"--{own.mode}", "--detach", check=False)
    assert failed.returncode == 1
    assert "trainer ended with status 1" in failed.stderr
    assert "train.py: train.py raised RuntimeError: a mistake of mine; see the trace above" in own.logs()
    assert not_healthy(own.tracking_url) is None
    assert not_healthy(own.serving_url) is not None
    assert own.versions() == []

    (directory / "custom_code.py").write_text(FILES["custom_code.py"])
    refused = own.script("up", f"--{own.mode}", "--detach", check=False)
    assert refused.returncode == 1
    assert "version 1 of tutorial can't be checked" in refused.stderr
    assert refused.stderr.count("./scripts/promote 1 --unchecked") == 1
    own.script("promote", "1", "--unchecked")
    assert curl(own.ports[1]) == ANSWER
    if own.mode == "native":  # whose Python has pickled it
        own.up()
        assert (own.versions(), own.aliases()) == (["1"], {"champion": "1"})
        printed = own.script("infer", "--runid", own.version("1").run_id or "").stdout
        assert printed == "Iris classifications: ['setosa', 'versicolor', 'virginica']\n"

    (directory / "train.py").write_text(FILES["train.py"].replace(*WITH_EXAMPLE))
    own.up()
    assert own.aliases() == {"champion": "2", "previous": "1"}
    assert own.version("2").tags["replay"].startswith("passed: 3 answers to the input example equal, ")
    assert curl(own.ports[1]) == ANSWER

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from sklearn.linear_model import LogisticRegression

from stack.errors import StackError
from stack.modes.answering import _LOADED_WITHIN, answered
from stack.modes.mode import Mode
from stack.modes.native import Native
from stack.release import checks as release_checks
from stack.release.checks import _example, _tolerance
from stack.release.registry import Registry
from stack.release.replay import Exchange, Record
from tests.unit.tracking_servers import as_client, own_config, running

ROWS = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0]})
CLASSIFIER = LogisticRegression().fit(ROWS, ["frog", "frog", "whale", "whale"])
# Otherwise MLflow finds pytest, too, which the lock of the stack has not.
PACKAGES = ["mlflow", "scikit-learn", "pandas", "skops"]
FAILING = """
import sys
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Failing(PythonModel):
    def predict(self, context, model_input, params=None):
        print("printed, and no part of an answer")
        if model_input["size"][0] > 1:
            raise RuntimeError("no luck with whales")
        return model_input.assign(double=2 * model_input["size"])

set_model(Failing())
"""
SIZES = ModelSignature(Schema([ColSpec(DataType.double, "size")]))


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Native]]:
    config = own_config(tmp_path_factory.mktemp("checks") / "home", {"MODEL_NAME": "animals"})
    with running(config), as_client(config.own_tracking_url):
        mlflow.set_experiment("a notebook")
        yield Registry(MlflowClient(), "animals"), Native(config)


@pytest.fixture(scope="module")
def logged(checks: tuple[Registry, Native]) -> str:  # noqa: ARG001 - the server must run
    """Log a model as a notebook would; return its URI."""
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(
            CLASSIFIER, name="classifier", input_example=ROWS.iloc[[0, 3]], pip_requirements=PACKAGES
        )
        mlflow.sklearn.log_model(CLASSIFIER, name="bare", pip_requirements=PACKAGES)
    return f"runs:/{run.info.run_id}"


def record_of(registry: Registry, mode: Mode, version: str) -> Record:
    with mode.scratch() as directory:
        model = registry.fetch(version, Path(directory))
        return release_checks.record_of(registry, mode, version, model)[0]


def failing(directory: Path, example: pd.DataFrame) -> str:
    code = directory / "failing.py"
    code.write_text(FAILING)
    logged = mlflow.pyfunc.log_model(
        name="failing", python_model=str(code), input_example=example, signature=SIZES, pip_requirements=[]
    )
    return str(logged.model_uri)


def test_a_version_that_was_logged_elsewhere_is_checked_by_its_input_example(
    checks: tuple[Registry, Native], logged: str
) -> None:
    registry, mode = checks
    record = record_of(registry, mode, registry.register(f"{logged}/classifier"))
    [exchange] = record.exchanges
    assert exchange == Exchange(
        {"dataframe_split": {"columns": ["size"], "data": [[1.0], [4.0]]}},
        ["frog", "whale"],
        is_example=True,
    )
    assert record.signature is not None


def test_a_version_without_an_input_example_can_not_be_checked(
    checks: tuple[Registry, Native], logged: str
) -> None:
    registry, mode = checks
    version = registry.register(f"{logged}/bare")
    says = (
        rf"^version {version} of animals can't be checked: .* log it with input_example=\.\.\.,.*"
        rf"\./scripts/promote {version} --unchecked$"
    )
    with pytest.raises(StackError, match=says):
        record_of(registry, mode, version)


def test_what_the_model_prints_is_no_answer(checks: tuple[Registry, Native], tmp_path: Path) -> None:
    registry, mode = checks
    record = record_of(registry, mode, registry.register(failing(tmp_path, ROWS.head(1))))
    assert record.exchanges[0].answers == [{"size": 1.0, "double": 2.0}]


def test_a_model_that_fails_on_its_own_example_is_told_with_its_last_words(
    checks: tuple[Registry, Native], tmp_path: Path
) -> None:
    registry, mode = checks
    version = registry.register(failing(tmp_path, ROWS.tail(1)))
    with pytest.raises(
        StackError,
        match=rf"(?s)^version {version} of animals can't be loaded, or fails on .*no luck with whales",
    ):
        record_of(registry, mode, version)


def test_a_version_that_was_trained_here_is_checked_by_its_held_out_rows_and_so_is_a_copy_of_it(
    checks: tuple[Registry, Native],
) -> None:
    registry, mode = checks
    exchange = {"request": {"dataframe_split": {}}, "answers": ["frog"], "first": 0}
    with mlflow.start_run():
        mlflow.log_dict({"tolerance": 0.5, "exchanges": [exchange]}, "replay.json")
        logged = mlflow.sklearn.log_model(CLASSIFIER, name="artifacts", pip_requirements=PACKAGES)
        trained = mlflow.register_model(logged.model_uri, "others", tags={"fingerprint": "f"})
    copied = MlflowClient().copy_model_version(f"models:/others/{trained.version}", "animals")
    record = record_of(registry, mode, str(copied.version))
    assert record.exchanges == [Exchange({"dataframe_split": {}}, ["frog"])]
    assert record.tolerance == 0.5


def test_a_version_whose_run_has_no_record_is_checked_by_its_input_example(
    checks: tuple[Registry, Native], logged: str
) -> None:
    registry, _ = checks
    version = registry.register(f"{logged}/classifier")
    registry.tag(version, fingerprint="f")
    assert registry.replay(version) is None


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("classifier", "expected its number, runs:/RUN_ID/NAME, models:/NAME/VERSION or models:/MODEL_ID"),
        ("models:/animals/", "expected its number"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "runs:/.* can't be registered"),
        ("models:/nobody/1", r"models:/nobody/1 can't be registered \(.*\); the MLflow UI shows all models"),
        ("models:/nobody@champion", "models:/nobody@champion can't be registered"),
        ("models:/m-0123456789abcdef", r"can't be registered \(.*'m-0123456789abcdef' not found\)"),
    ],
)
@pytest.mark.usefixtures("checks")
def test_what_names_no_model_is_refused_and_leaves_nothing_in_the_registry(uri: str, says: str) -> None:
    with pytest.raises(StackError, match=says):
        Registry(MlflowClient(), "new").register(uri)
    assert "new" not in [model.name for model in MlflowClient().search_registered_models()]


def test_a_model_that_is_a_version_already_is_not_registered_again(
    checks: tuple[Registry, Native], logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, _ = checks
    uri = f"{logged}/classifier"
    version = registry.register(uri)
    registry.set_alias("mine", version)
    others = mlflow.register_model(registry.version(version).source, "others").version
    for same in (uri, "models:/animals@mine", f"models:/animals/{version}", f"models:/others/{others}"):
        assert registry.register(same) == version
    assert f"{uri} is registered already, as version {version} of animals\n" in capsys.readouterr().out
    assert registry.register(f"{logged}/bare") != version


def test_the_files_of_a_run_are_registered_as_they_are(
    checks: tuple[Registry, Native], logged: str, tmp_path: Path
) -> None:
    # As MLflow 2 logs a model, and as one is copied that MLflow 3 has logged; its MLmodel names the original.
    registry, _ = checks
    files = mlflow.artifacts.download_artifacts(f"{logged}/classifier", dst_path=str(tmp_path))
    with mlflow.start_run() as run:
        mlflow.sklearn.save_model(CLASSIFIER, tmp_path / "saved")
        for path, directory in (("saved", tmp_path / "saved"), ("copied", Path(files))):
            mlflow.log_artifacts(str(directory), path)
    for path in ("saved", "copied"):
        version = registry.register(f"runs:/{run.info.run_id}/{path}")
        assert registry.version(version).source == f"{run.info.artifact_uri}/{path}"
        assert registry.register(f"runs:/{run.info.run_id}/{path}") == version


def test_a_version_whose_files_lie_elsewhere_is_told_with_the_place(checks: tuple[Registry, Native]) -> None:
    registry, mode = checks
    elsewhere = MlflowClient().create_model_version("animals", "s3://bucket/model").version
    with pytest.raises(
        StackError,
        match=rf"^the files of version {elsewhere} of animals can't be read from s3://bucket/model \(",
    ):
        record_of(registry, mode, str(elsewhere))


@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        MlflowException("The following failures occurred ... [Errno 28] No space left on device"),
    ],
    ids=["a file", "one of many"],
)
def test_a_disk_that_is_full_is_told_as_that(
    checks: tuple[Registry, Native],
    logged: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full: Exception,
) -> None:
    def download(*_arguments: object, **_options: object) -> None:
        raise full

    registry, _ = checks
    version = registry.register(f"{logged}/classifier")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    with pytest.raises(
        StackError, match=rf"^there is no room in {tmp_path.parent} for .* version {version} of animals; make"
    ):
        registry.fetch(version, tmp_path)


BROKEN = {
    "no YAML": ("MLmodel", "flavors: [", "its MLmodel can't be read"),
    "no mapping": ("MLmodel", "- flavors", "its MLmodel can't be read"),
    "no example": ("serving_input_example.json", None, "its input example can't be read"),
    "another type of example": (
        "MLmodel",
        "flavors: {}\nsaved_input_example_info: {type: unheard-of, artifact_path: MLmodel}",
        "its input example can't be read",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_files_that_are_broken_are_told_with_the_version(
    checks: tuple[Registry, Native], logged: str, tmp_path: Path, how: str
) -> None:
    registry, mode = checks
    name, text, says = BROKEN[how]
    version = registry.register(f"{logged}/classifier")
    model = registry.fetch(version, tmp_path)
    (model / name).unlink()
    if text is not None:
        (model / name).write_text(text)
    with pytest.raises(
        StackError, match=rf"^version {version} of animals: {says} \(.+\); log the model again$"
    ):
        release_checks.record_of(registry, mode, version, model)


@pytest.mark.parametrize(
    ("outputs", "tolerance"),
    [
        (Schema([ColSpec(DataType.double), ColSpec(DataType.string)]), 1e-6),
        (Schema([ColSpec(DataType.float)]), 1e-4),
        (Schema([TensorSpec(np.dtype(np.float64), (-1,))]), 1e-6),
        (Schema([TensorSpec(np.dtype(np.float32), (-1, 2))]), 1e-4),
        (None, 1e-4),
    ],
    ids=["doubles", "floats", "a tensor", "a tensor of floats", "unknown"],
)
def test_answers_of_single_precision_need_not_be_as_exact(outputs: Schema | None, tolerance: float) -> None:
    inputs = Schema([ColSpec(DataType.double)])
    assert _tolerance(ModelSignature(inputs, outputs)) == tolerance
    assert _tolerance(None) == 1e-4


def test_a_name_that_the_run_has_not_logged_is_told(checks: tuple[Registry, Native], logged: str) -> None:
    registry, _ = checks
    with pytest.raises(StackError, match=r"typo can't be registered \(Failed to download .* 'MLmodel'"):
        registry.register(f"{logged}/typo")


def test_an_example_of_an_older_mlflow_is_made_a_request(tmp_path: Path) -> None:
    mlflow.sklearn.save_model(CLASSIFIER, tmp_path / "model", input_example=ROWS.head(1))
    metadata = Model.load(tmp_path / "model")
    request = _example(metadata, tmp_path / "model")
    assert request
    assert metadata.saved_input_example_info
    del metadata.saved_input_example_info["serving_input_path"]
    assert json.loads(str(_example(metadata, tmp_path / "model"))) == json.loads(request)


def test_a_package_that_can_not_be_installed_is_told_by_uv_and_leaves_nothing(
    checks: tuple[Registry, Native], tmp_path: Path
) -> None:
    registry, mode = checks
    code = tmp_path / "failing.py"
    code.write_text(FAILING)
    logged = mlflow.pyfunc.log_model(
        name="failing",
        python_model=str(code),
        input_example=ROWS,
        signature=SIZES,
        pip_requirements=["cowsay @ file:///nowhere/cowsay.whl"],
    )
    version = registry.register(logged.model_uri)
    says = (
        rf"(?s)version {version} of animals can't be served: its environment \(Python .* with cowsay @ .*\)"
    )
    with pytest.raises(StackError, match=f"{says} can't be made:.*nowhere"):
        record_of(registry, mode, version)
    assert list((mode.config.home / "environments").glob("*")) == []


def answer(script: str, tmp_path: Path, timeout: int = 60, on_wait: Callable[[], None] = lambda: None) -> str:
    return answered(
        ["sh", "-c", script],
        "a request",
        environment=os.environ,
        directory=tmp_path,
        timeout=timeout,
        on_wait=on_wait,
    )


def test_what_a_process_writes_is_its_answer_and_what_else_it_writes_is_told_if_it_fails(
    tmp_path: Path,
) -> None:
    assert answer("cat; echo noise >&2", tmp_path) == "a request"
    with pytest.raises(StackError, match=r"(?s)was killed by SIGSEGV .* what it wrote:.*    last words"):
        answer("printf '\\377'; echo last words >&2; kill -SEGV $$", tmp_path)


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"(?s)not ready after 2 s .*    loading"):
        answer("echo loading >&2; echo $$ >pid; exec sleep 100", tmp_path, timeout=2 - _LOADED_WITHIN)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_process_is_ended_when_the_deployment_is_asked_to_stop(tmp_path: Path) -> None:
    def stop() -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer("echo $$ >new; mv new pid; exec sleep 100", tmp_path, on_wait=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)

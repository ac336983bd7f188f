"""The tracking server as a process, and real clients of MLflow."""

import http.client
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import options
import pytest
import yaml
from mlflow import MlflowClient

from stack.config import CHECKOUT
from stack.errors import StackError
from tests.unit.tracking_servers import own_config, running, started

CLIENTS = 64


def test_none_of_64_clients_at_once_is_refused(tmp_path: Path) -> None:
    config = own_config(tmp_path / "home")
    all_are_there = Barrier(CLIENTS)

    def work(client: int) -> list[str]:
        """Do what a training does, at the same time as all others; return what failed."""
        mlflow = MlflowClient(config.own_tracking_url)
        name, failed = f"model-{client}", []
        run_id = "0" * 32  # there is none if it can't be created

        def create_run() -> None:
            nonlocal run_id
            run_id = mlflow.create_run("0").info.run_id

        def log() -> None:
            mlflow.log_metric(run_id, "accuracy", client)
            mlflow.set_terminated(run_id)

        def register() -> None:
            mlflow.create_registered_model(name)
            mlflow.create_model_version(name, f"runs:/{run_id}/model", run_id)
            mlflow.set_registered_model_alias(name, "candidate", "1")

        steps: list[Callable[[], None]] = [create_run, log, register]
        for step in steps:
            all_are_there.wait()
            try:
                step()
            except Exception as error:
                failed.append(f"client {client}, {step.__name__}: {error}")
        return failed

    with running(config), ThreadPoolExecutor(CLIENTS) as pool:
        assert [failed for found in pool.map(work, range(CLIENTS)) for failed in found] == []
        asks = MlflowClient(config.own_tracking_url)
        runs = {run.info.run_id: run.data.metrics for run in asks.search_runs(["0"], max_results=1000)}
        versions = {
            model.name: model.aliases for model in asks.search_registered_models(max_results=CLIENTS * 2)
        }
        assert sorted(metrics["accuracy"] for metrics in runs.values()) == list(range(CLIENTS))
        assert versions == {f"model-{client}": {"candidate": "1"} for client in range(CLIENTS)}


@pytest.fixture
def tracking_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that the server takes for the user's tracking.env."""
    file = tmp_path / "tracking.env"
    monkeypatch.setattr("stack.modes.parts.TRACKING_ENV_FILE", file)
    return file


def test_an_option_of_the_users_reaches_the_server_and_its_own_names_still_do(
    tmp_path: Path, tracking_env: Path
) -> None:
    tracking_env.write_text(
        "MLFLOW_SERVER_ALLOWED_HOSTS=mlflow.example.com, old.example.com:81\n"
        "MLFLOW_SERVER_X_FRAME_OPTIONS=DENY\n"
    )
    config = own_config(tmp_path / "home")

    def ask(host: str) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", config.tracking_port, timeout=30)
        try:
            connection.request(
                "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", headers={"Host": host}
            )
            answer = connection.getresponse()
            return answer.status, answer.headers["X-Frame-Options"]
        finally:
            connection.close()

    with running(config):
        for host in ("mlflow.example.com", "mlflow.example.com:8443", "old.example.com:81"):
            assert ask(host) == (200, "DENY"), host
        for host in ("localhost", "localhost:5000", "127.0.0.1:5000", "tracking:5000"):
            assert ask(host) == (200, "DENY"), host
        for host in ("old.example.com", "evil.example.com", "mlflow.example.com.evil.org"):
            assert ask(host)[0] == 403, host


def test_an_option_that_would_break_the_stack_ends_the_server_with_one_sentence(
    tmp_path: Path, tracking_env: Path
) -> None:
    tracking_env.write_text("MLFLOW_PORT=6000\nMLFLOW_UVICORN_OPTS=--log-level info --ssl-keyfile=key\n")
    said = re.escape(
        "tracking server: MLFLOW_PORT, MLFLOW_UVICORN_OPTS with --ssl-keyfile=key would break the stack;"
        " remove it from tracking.env (docs/tracking-server.md says what can be set there)"
    )
    with started(own_config(tmp_path / "home")) as parts, pytest.raises(StackError, match=said):
        parts.wait_for_tracking()


@pytest.mark.parametrize(
    ("environ", "refused"),
    [
        ({}, []),
        ({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "true", "HOME": "/", "MLFLOW_PORT": ""}, []),
        ({"MLFLOW_UVICORN_OPTS": "--access-log --log-level=debug --no-ssl"}, []),
        ({"MLFLOW_UVICORN_OPTS": "--fd 3"}, ["MLFLOW_UVICORN_OPTS with --fd"]),
        ({"MLFLOW_STATIC_PREFIX": "/x", "MLFLOW_HOST": "::"}, ["MLFLOW_HOST", "MLFLOW_STATIC_PREFIX"]),
    ],
)
def test_options_that_would_break_the_stack_are_known(environ: dict[str, str], refused: list[str]) -> None:
    assert options.refused(environ) == refused


def test_no_option_that_the_stack_gives_as_an_argument_can_be_set() -> None:
    service = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["tracking"]
    given = [word[2:].partition("=")[0] for word in service["command"] if word.startswith("--")]
    assert len(given) == 5
    for name in given:
        assert options.refused({f"MLFLOW_{name.replace('-', '_').upper()}": "it"})


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ("", ""),
        ("*", None),
        (" a.example.com ,b:80,", ",a.example.com,a.example.com:*,b:80"),
        ("*.example.com", ",*.example.com,*.example.com:*"),
    ],
)
def test_the_names_given_are_added_to_the_stacks_own(given: str, allowed: str | None) -> None:
    own = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,tracking,tracking:*"
    assert options.allowed_hosts(given) == ("*" if allowed is None else own + allowed)

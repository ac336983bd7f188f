"""The tracking server as a process, and real clients of MLflow."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Barrier

import mlflow
import options
import pytest
import yaml
from mlflow import MlflowClient

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.native_gateway import behind
from tests.real_stores import running_postgres
from tests.unit.tracking_servers import own_config, running, started

CLIENTS = 64


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_none_of_64_clients_at_once_is_refused(tmp_path: Path, database: str) -> None:
    with running_postgres() if database == "postgresql" else nullcontext() as server:
        check_64_clients(
            own_config(tmp_path / "home", {"BACKEND_STORE_URI": server.uri()} if server else None)
        )


def check_64_clients(config: Config) -> None:
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


def test_a_misspelt_option_ends_the_server_with_one_sentence_before_it_makes_a_database(
    tmp_path: Path, tracking_env: Path
) -> None:
    tracking_env.write_text("AWS_REGION=eu-west-1\nMLFLOW_SERVER_ALLOWED_HOST=a.example.com\nMLFLOW_ZZZ=1\n")
    said = re.escape(
        "tracking server: MLflow does not know MLFLOW_SERVER_ALLOWED_HOST (is MLFLOW_SERVER_ALLOWED_HOSTS"
        " meant?), MLFLOW_ZZZ; correct or remove it in tracking.env"
    )
    config = own_config(tmp_path / "home")
    with started(config) as parts, pytest.raises(StackError, match=said):
        parts.wait_for_tracking()
    assert not (config.home / "mlflow.db").exists()


# How MLflow's source shows that a name is a variable: read from the environment, or a constant for that.
READS = re.compile(
    r"""environ(?:\.get\(|\[|\.setdefault\()\s*["'](MLFLOW_\w+)|getenv\(\s*["'](MLFLOW_\w+)"""
    r"""|_ENV_VAR\s*=\s*["'](MLFLOW_\w+)|envvar=["'](MLFLOW_\w+)"""
)


@pytest.fixture(scope="module")
def listed() -> set[str]:
    """Return the variables that MLflow lists, asked in a process: several parts have a mlflow_internals."""
    code = "import mlflow_internals; print(*mlflow_internals.listed_variables())"
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT / "tracking", stdout=subprocess.PIPE, text=True
    )
    return set(asked.stdout.split())


def test_each_variable_that_mlflow_reads_is_known(listed: set[str]) -> None:
    files = list(Path(mlflow.__file__).parent.rglob("*.py"))
    read = {name for file in files for found in READS.findall(file.read_text()) for name in found if name}
    assert len(read) > 30
    # The server sets the one that is left itself, for the processes that it starts.
    assert {name for name in read if options.unknown({name: "1"}, listed)} == {"MLFLOW_SERVER_PID"}


def test_packages_that_extend_mlflow_are_found_because_they_may_read_others(tmp_path: Path) -> None:
    package = tmp_path / "plugin-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mlflow-plugin\nVersion: 1\n")
    code = "import mlflow_internals; print(*mlflow_internals.extensions())"
    found = []
    for group in ("mlflow.app", "console_scripts"):
        (package / "entry_points.txt").write_text(f"[{group}]\nplugin = plugin:app\n")
        asked = subprocess.run(
            [sys.executable, "-c", code],
            cwd=CHECKOUT / "tracking",
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        found.append(asked.stdout.split())
    assert found == [["mlflow-plugin"], []]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MLFLOW_EXPOSE_PROMETEUS", " (is MLFLOW_EXPOSE_PROMETHEUS meant?)"),
        ("MLFLOW_SQLALCHEMYSTORE_POOLSIZE", " (is MLFLOW_SQLALCHEMYSTORE_POOL_SIZE meant?)"),
        ("MLFLOW_ALLOWED_HOSTS", " (is MLFLOW_SERVER_ALLOWED_HOSTS meant?)"),
        ("MLFLOW_ZZZ", ""),
    ],
)
def test_a_name_that_mlflow_does_not_know_is_told_with_the_nearest(
    listed: set[str], name: str, nearest: str
) -> None:
    assert options.unknown({name: "1"}, listed) == [f"{name}{nearest}"]


@pytest.mark.parametrize(
    "environ",
    [
        {"MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY", "MLFLOW_FLASK_SERVER_SECRET_KEY": "it"},
        {
            "MLFLOW_AUTH_CONFIG_PATH": "it",
            "MLFLOW_CRYPTO_KEK_PASSPHRASE": "it",
            "MLFLOW_S3_ENDPOINT_URL": "it",
        },
        {"AWS_SECRET_ACCESS_KEY": "it", "MLFLO_PORT": "1", "_MLFLOW_X": "1", "MLFLOW_ZZZ": ""},
    ],
)
def test_a_name_that_mlflow_knows_or_that_is_not_its_own_is_passed_on(
    listed: set[str], environ: dict[str, str]
) -> None:
    assert options.unknown(environ, listed) == []


def test_no_option_that_the_stack_itself_gives_can_be_set() -> None:
    service = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]["tracking"]
    given = [word[2:].partition("=")[0] for word in service["command"] if word.startswith("--")]
    assert len(given) == 3
    for name in (*given, "backend-store-uri", "artifacts-destination"):
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


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, "https://gate:5000"),
        ({options.ORIGINS: "https://a, https://b"}, "https://a, https://b,https://gate:5000"),
    ],
)
def test_the_gateway_is_added_to_what_the_user_gives(given: dict[str, str], origins: str) -> None:
    environ = {**given, "GATEWAY_HOST": "gate", "GATEWAY_ORIGIN": "https://gate:5000"}
    options.let_in_gateway(environ)
    assert environ[options.ORIGINS] == origins
    assert environ[options.HOSTS].endswith(",tracking:*,gate,gate:*")


def test_without_a_gateway_no_origin_is_added() -> None:
    environ = {"GATEWAY_HOST": "", "GATEWAY_ORIGIN": ""}
    options.let_in_gateway(environ)
    assert options.ORIGINS not in environ


def test_behind_a_gateway_the_server_answers_only_who_shows_the_secret(
    tmp_path: Path, tracking_env: Path
) -> None:
    tracking_env.write_text("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=https://app.example.com\n")
    overlay = {"COMPOSE_FILE": "docker-compose.yml:compose/gateway.yml", "GATEWAY_HOST": "gate.example.com"}
    config = own_config(tmp_path / "home", overlay)
    assert config.gateway is not None
    api, graphql = "/api/2.0/mlflow/experiments/search?max_results=1", "/graphql"
    with running(config):
        port = behind(config).tracking_port
        right = {**config.gateway.headers(), "Host": f"gate.example.com:{config.tracking_port}"}

        def ask(path: str, headers: dict[str, str], method: str = "GET", body: str | None = None) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(method, path, body, headers)
                return connection.getresponse().status
            finally:
                connection.close()

        for path in ("/", api, "/ajax-api/2.0/mlflow/experiments/search?max_results=1", "/version"):
            for wrong in ({}, {"X-Gateway-Secret": "wrong"}, {"X-Gateway-Secret": ""}):
                assert ask(path, wrong) == 403, path
            assert ask(path, right) == 200, path
        assert ask(graphql, {}, "POST", "{}") == 403
        assert ask("/health", {}) == 200
        body, search = json.dumps({"experiment_ids": ["0"]}), "/ajax-api/2.0/mlflow/runs/search"
        for origin, status in (
            (f"https://gate.example.com:{config.tracking_port}", 200),
            ("https://app.example.com", 200),
            ("https://evil.example.com", 403),
        ):
            headers = {**right, "Origin": origin, "Content-Type": "application/json"}
            assert ask(search, headers, "POST", body) == status, origin


def test_a_job_runner_behind_a_gateway_ends_the_server_with_one_sentence(
    tmp_path: Path, tracking_env: Path
) -> None:
    tracking_env.write_text("MLFLOW_SERVER_ENABLE_JOB_EXECUTION=true\n")
    config = own_config(tmp_path / "home", {"COMPOSE_FILE": "docker-compose.yml:compose/gateway.yml"})
    with started(config) as parts, pytest.raises(StackError, match="JOB_EXECUTION needs a server without a"):
        parts.wait_for_tracking()

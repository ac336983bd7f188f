"""PostgreSQL and S3: their settings, and what the tracking server says of real ones before it starts."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import bucket
import postgres
import psycopg2
import pytest
import requests
import stores
import yaml
from botocore.stub import Stubber
from database import StoreError
from mlflow import MlflowClient

from stack.config import CHECKOUT, load_config
from stack.doctor.engine import Answer
from stack.doctor.stores import ask_command, check_here, judge
from stack.errors import StackError, TrackingError
from stack.modes import compose
from stack.modes.compose import service_names
from stack.modes.parts import Parts
from stack.stores import Stores, find_stores
from stack.tracking import stores_away
from tests.real_stores import S3, Postgres, running_postgres, running_s3
from tests.unit.tracking_servers import own_config, running, started

OWN = {"BACKEND_STORE_URI": "sqlite:////a/mlflow.db", "ARTIFACTS_DESTINATION": "/a/artifacts"}
LOGIN = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3-secret"}
S3_SETTINGS = {"ARTIFACTS_DESTINATION": "s3://models/here", **LOGIN}
POSTGRES = "postgresql://mlflow:db-secret@db.example.com/mlflow"
OVERLAYS = "docker-compose.yml:compose/postgres.yml:compose/s3.yml"


def find(**values: str) -> Stores:
    return find_stores(values, CHECKOUT)


# The settings


def test_without_settings_the_stack_has_a_file_and_a_directory() -> None:
    # A login at S3 is for others then.
    assert find(**LOGIN) == Stores()
    assert not Stores().has_database


def test_a_bucket_comes_with_its_login_under_the_names_that_the_server_reads() -> None:
    assert find(**S3_SETTINGS, AWS_DEFAULT_REGION="eu-west-1").settings == {
        "ARTIFACTS_DESTINATION": "s3://models/here",
        "S3_ACCESS_KEY_ID": "key",
        "S3_SECRET_ACCESS_KEY": "s3-secret",
        "S3_DEFAULT_REGION": "eu-west-1",
    }


def test_a_secret_is_in_no_text_of_the_settings(tmp_path: Path) -> None:
    values = {**S3_SETTINGS, "BACKEND_STORE_URI": POSTGRES}
    config = load_config(values, tmp_path / "no.env")
    assert "secret" not in repr(config)
    assert "db-secret" in config.stores.settings["BACKEND_STORE_URI"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"BACKEND_STORE_URI": POSTGRES, "COMPOSE_FILE": OVERLAYS},
            "BACKEND_STORE_URI names a store elsewhere, and compose/postgres.yml in COMPOSE_FILE brings one",
        ),
        ({**S3_SETTINGS, "COMPOSE_FILE": OVERLAYS}, "ARTIFACTS_DESTINATION names a store elsewhere"),
    ],
)
def test_two_stores_of_a_kind_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(StackError, match=message) as refused:
        find(**values)
    assert "secret" not in str(refused.value)


def test_where_s3_is_counts_for_a_bucket_only() -> None:
    other = {"S3_ENDPOINT_URL": "http://s3", "AWS_ACCESS_KEY_ID": "of my own programs"}
    for chosen in ({}, {"COMPOSE_FILE": OVERLAYS}, {"BACKEND_STORE_URI": POSTGRES}):
        assert not set(find(**other, **chosen).settings) & {"S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID"}
    assert find(**other, ARTIFACTS_DESTINATION="s3://b").settings["S3_ENDPOINT_URL"] == "http://s3"


def test_stores_and_a_tracking_server_elsewhere_are_refused(tmp_path: Path) -> None:
    values = {"BACKEND_STORE_URI": POSTGRES, "MLFLOW_TRACKING_URI": "https://mlflow.example.com"}
    with pytest.raises(StackError, match="remove one or the other"):
        load_config(values, tmp_path / "no.env")


def test_what_docker_brings_is_refused_without_docker() -> None:
    brought = find(COMPOSE_FILE=OVERLAYS)
    assert brought.services == ("postgres", "s3")
    assert brought.has_database
    with pytest.raises(StackError, match=r"compose/postgres.yml brings a store with Docker only.* set BACK"):
        brought.check_native()
    find(BACKEND_STORE_URI=POSTGRES).check_native()


def test_the_services_that_docker_brings_are_shown_before_the_server(tmp_path: Path) -> None:
    config = load_config({"COMPOSE_FILE": OVERLAYS}, tmp_path / "no.env")
    assert service_names(config) == ("postgres", "s3", "tracking", "trainer", "deploy", "serving")


def test_what_is_elsewhere_is_named_because_no_command_deletes_it() -> None:
    assert find(BACKEND_STORE_URI=POSTGRES, **S3_SETTINGS).kept == "database and the bucket"
    assert find(COMPOSE_FILE=OVERLAYS).kept == ""


# What the server makes of them


def used(**values: str) -> tuple[stores.Stores, dict[str, str]]:
    environ = {**OWN, **values}
    return stores.use(environ), environ


def test_mlflow_is_told_of_its_stores_by_variables_and_of_the_driver() -> None:
    found, environ = used(
        BACKEND_STORE_URI=POSTGRES, ARTIFACTS_DESTINATION="s3://b/p", S3_ENDPOINT_URL="http://s3:1"
    )
    assert environ["MLFLOW_BACKEND_STORE_URI"] == POSTGRES.replace("postgresql", "postgresql+psycopg2")
    assert environ["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://b/p"
    assert environ["MLFLOW_S3_ENDPOINT_URL"] == "http://s3:1"
    assert found.may_be_away


def test_postgresql_gets_fewer_connections_than_a_file_and_the_users_own_number_counts() -> None:
    overflow = "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"
    assert used()[1][overflow] == "60"
    assert used(BACKEND_STORE_URI=POSTGRES)[1][overflow] == "30"
    assert used(BACKEND_STORE_URI=POSTGRES, **{overflow: "3"})[1][overflow] == "3"


def test_an_empty_login_is_none_and_keeps_what_tracking_env_sets() -> None:
    _, environ = used(S3_ACCESS_KEY_ID="", S3_DEFAULT_REGION="x", AWS_ACCESS_KEY_ID="of tracking.env")
    assert environ["AWS_ACCESS_KEY_ID"] == "of tracking.env"
    assert environ["AWS_DEFAULT_REGION"] == "x"
    assert "AWS_SECRET_ACCESS_KEY" not in environ


def test_a_file_and_a_directory_are_asked_nothing_and_import_nothing() -> None:
    code = "import os, sys, stores; used = stores.use(os.environ); used.check(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=OWN,
        cwd=CHECKOUT / "tracking",
        capture_output=True,
        text=True,
    )
    assert not {"boto3", "psycopg2", "sqlalchemy", "mlflow"} & set(done.stdout.split())
    assert "stores" in done.stdout.split()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"BACKEND_STORE_URI": "mysql://a:secret@b/c"},
            "BACKEND_STORE_URI names no database that",
        ),
        ({"BACKEND_STORE_URI": "secret"}, "BACKEND_STORE_URI names no database that"),
        (
            {"BACKEND_STORE_URI": "postgresql://a:sec@secret/3@b/c"},
            "can't be read; .* %40 for @",
        ),
        ({"BACKEND_STORE_URI": "postgresql://a:b@c:secret/d"}, "BACKEND_STORE_URI can't be read"),
        ({"ARTIFACTS_DESTINATION": "s3:///secret"}, "ARTIFACTS_DESTINATION names no bucket"),
        ({"ARTIFACTS_DESTINATION": "gs://secret"}, "ARTIFACTS_DESTINATION names no bucket"),
        ({"S3_ENDPOINT_URL": "http://a:secret@b"}, "S3_ENDPOINT_URL is not the address of a server"),
        ({"S3_ENDPOINT_URL": "http://a:secret"}, "S3_ENDPOINT_URL is not the address of a server"),
        ({"S3_ENDPOINT_URL": "s3"}, "S3_ENDPOINT_URL is not the address of a server"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(values: dict[str, str], message: str) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        used(**values)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("the database system is starting up", r"is not ready \(the database system is starting up\); wait"),
        (
            'no pg_hba.conf entry for host "10.0.0.7", user "mlflow"',
            "lets nobody in from here; .* pg_hba.conf",
        ),
        ('role "mlflow" does not exist', "does not let in the user mlflow"),
        (
            "something with db-secret in it",
            r"can't be used: something with \*\*\* in it; correct BACKEND_STORE_URI",
        ),
    ],
)
def test_what_postgresql_says_is_told_in_a_sentence(said: str, message: str) -> None:
    line = f'connection to server at "db.example.com" (10.0.0.1), port 5432 failed: FATAL:  {said}\n'
    with pytest.raises(StoreError, match=f"^the database server db.example.com:5432 {message}"):
        raise StoreError(
            postgres.why_refused(postgres.Address(POSTGRES.replace("ql:", "ql+psycopg2:")), line)
        )


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_clients_get_urls_of_the_bucket_only_where_that_is_asked_for(is_asked_for: bool) -> None:
    code = """
import mlflow_internals
from mlflow.server import handlers
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
mlflow_internals.pass_artifacts_on()
kinds = handlers.MultipartUploadMixin, handlers.MultipartDownloadMixin
print([issubclass(S3ArtifactRepository, kind) for kind in kinds])
"""
    names = ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD")
    own = dict.fromkeys(names, "true") if is_asked_for else {}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **own},
        cwd=CHECKOUT / "tracking",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([is_asked_for] * 2)


# Compose


def test_compose_gives_the_secrets_to_the_tracking_server_only() -> None:
    files = [CHECKOUT / "docker-compose.yml", *CHECKOUT.glob("compose/*.yml")]
    holders = {
        name
        for file in files
        for name, service in yaml.load(
            file.read_text().replace("!reset", "").replace("!override", ""), yaml.SafeLoader
        )["services"].items()
        if any(
            word in json.dumps(service)
            for word in ("BACKEND_STORE_URI", "AWS_SECRET", "S3_SECRET", "-secret")
        )
    }
    assert holders == {"tracking", "postgres", "s3"}


@pytest.mark.parametrize("name", ["postgres", "s3"])
def test_a_store_in_docker_is_pinned_and_only_the_server_reaches_it(name: str) -> None:
    file = yaml.safe_load((CHECKOUT / "compose" / f"{name}.yml").read_text())
    service = file["services"][name]
    assert "ports" not in service
    assert service["networks"] == ["stores"]
    assert file["networks"]["stores"] == {"internal": True}
    assert [other for other, its in file["services"].items() if "stores" in its.get("networks", [])] == [
        name,
        "tracking",
    ]
    assert service["image"].rpartition(":")[2] in ("17", "4.48")
    assert service["healthcheck"]


# Doctor


def test_doctor_asks_a_container_without_naming_a_secret(tmp_path: Path) -> None:
    config = load_config({"BACKEND_STORE_URI": POSTGRES, **S3_SETTINGS}, tmp_path / "no.env")
    arguments = ask_command(config)
    assert "secret" not in " ".join(arguments).replace("SECRET", "")
    assert {"--env=BACKEND_STORE_URI", "--env=S3_SECRET_ACCESS_KEY"} <= set(arguments)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            Answer('{"database": null, "artifacts": null}'),
            "ok    it: the database and the artifacts can be used",
        ),
        (Answer('{"database": "it is down; start it", "artifacts": null}'), "fix   it: it is down; start it"),
        (Answer('{"settings": "correct it"}'), "fix   it: correct it"),
        (Answer("", "no such container"), "-     it: could not be asked (no such container)"),
    ],
)
def test_doctor_judges_the_stores(answer: Answer, line: str) -> None:
    assert str(judge("it", answer)) == line


def test_doctor_says_that_compose_files_bring_nothing_without_docker(tmp_path: Path) -> None:
    finding = check_here(load_config({"COMPOSE_FILE": OVERLAYS}, tmp_path / "no.env"))
    assert finding.state == "fix"
    assert "brings a store with Docker only" in finding.text


# With real ones


@pytest.fixture(scope="module")
def database_server() -> Iterator[Postgres]:
    with running_postgres() as server:
        server.sql("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


def asked(**values: str) -> dict[str, Any]:
    """Ask the stores as doctor does, in a process of its own."""
    program = [sys.executable, str(CHECKOUT / "tracking" / "stores.py")]
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", **OWN, **values}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_database_that_can_not_be_used_is_told_in_one_sentence(database_server: Postgres) -> None:
    port, secret = database_server.port, database_server.password
    where = f"the database server 127.0.0.1:{port}"
    here, refused = f"127.0.0.1:{port}", f"{where} does not let in the user"
    cases = {
        f"mlflow:{secret}@{here}/mlflow": None,
        f"mlflow:wr%40ng@{here}/mlflow": f"{refused} mlflow: the name or the password is wrong;",
        f"nobody:wr%40ng@{here}/mlflow": f"{refused} nobody: the name or the password is wrong;",
        f"mlflow:{secret}@{here}/nope": f"{where} has no database nope; let its administrator run:",
        f"reader:reader@{here}/mlflow": f"{where} lets the user reader make no tables in the database",
        f"mlflow@{here}/mlflow": f"{where} wants a password of the user mlflow, and none is set;",
        "mlflow:wr%40ng@127.0.0.1:1/a": "the database server 127.0.0.1:1 does not answer (Connection refu",
        "mlflow:wr%40ng@no.host.invalid/a": "the host of the database, no.host.invalid, is not known;",
    }
    for address, expected in cases.items():
        check_told(asked(BACKEND_STORE_URI=f"postgresql://{address}")["database"], expected, secret)


def check_told(found: str | None, expected: str | None, secret: str) -> None:
    """Check that it begins as it should, is one line, and holds no secret."""
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.startswith(expected)
    assert "; " in found
    assert not any(word in found for word in ("wr@ng", "wr%40ng", secret, "\n"))


def test_a_bucket_that_can_not_be_used_is_told_in_one_sentence(s3: S3) -> None:
    where, nowhere, by_tls = s3.endpoint, "http://no.host.invalid", s3.endpoint.replace("http", "https")
    right = {
        "ARTIFACTS_DESTINATION": "s3://mlflow/runs",
        "S3_ENDPOINT_URL": s3.endpoint,
        "S3_ACCESS_KEY_ID": s3.key,
        "S3_SECRET_ACCESS_KEY": s3.secret,
    }
    cases: list[tuple[dict[str, str], str | None]] = [
        ({}, None),
        ({"S3_SECRET_ACCESS_KEY": "wr@ng"}, f"{where} refuses the credentials: the secret is not that of"),
        ({"S3_ACCESS_KEY_ID": "wr@ng"}, f"{where} does not know the access key;"),
        ({"S3_ACCESS_KEY_ID": "", "S3_SECRET_ACCESS_KEY": ""}, f"{where} wants credentials;"),
        ({"ARTIFACTS_DESTINATION": "s3://nope"}, f"{where} has no bucket nope; make it there, or correct"),
        (
            {"S3_ACCESS_KEY_ID": s3.reader},
            f"{where} does not let these credentials write to the bucket mlflow;",
        ),
        ({"S3_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1 does not answer ("),
        ({"S3_ENDPOINT_URL": nowhere}, f"{nowhere} does not answer ("),
        ({"S3_ENDPOINT_URL": by_tls}, f"{by_tls} can't be asked by TLS"),
    ]
    before = s3.keys()
    for changed, expected in cases:
        told = asked(**{**right, **changed})["artifacts"]
        check_told(told, expected and f"the S3 server {expected}", s3.secret)
    # Nothing is left of the write that was begun.
    assert s3.keys() == before
    assert s3.client().list_multipart_uploads(Bucket="mlflow").get("Uploads", []) == []


def test_a_bucket_may_refuse_to_give_up_a_write_and_wants_what_mlflow_adds_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '{"ServerSideEncryption": "AES256"}')
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="x")
    key = {"Bucket": "models", "Key": "here/write-check"}
    with Stubber(client) as stub:
        stub.add_response("list_objects_v2", {})
        stub.add_response(
            "create_multipart_upload", {"UploadId": "1"}, {**key, "ServerSideEncryption": "AES256"}
        )
        stub.add_client_error(
            "abort_multipart_upload", "AccessDenied", expected_params={**key, "UploadId": "1"}
        )
        monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
        bucket.check("s3://models/here/", "")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_database_that_hangs_does_not_keep_who_asks(
    database_server: Postgres, monkeypatch: pytest.MonkeyPatch, is_connected: bool
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as locked:
        port = silent.getsockname()[1]
        uri = f"postgresql+psycopg2://mlflow:secret@127.0.0.1:{port}/mlflow"
        if is_connected:
            database_server.sql("CREATE DATABASE locked", "postgres")
            database_server.sql("CREATE TABLE alembic_version (version_num text)", "locked")
            other = locked.enter_context(closing(psycopg2.connect(database_server.uri("locked"))))
            other.cursor().execute("LOCK TABLE alembic_version")
            uri = database_server.uri("locked").replace("postgresql:", "postgresql+psycopg2:")
        with pytest.raises(StoreError, match=r"does not answer \(timeout expired\); start it"):
            postgres.revision(uri)


def test_the_server_ends_before_it_starts_if_it_can_not_use_the_database(
    tmp_path: Path, database_server: Postgres
) -> None:
    uri = database_server.uri().replace(database_server.password, "wrong-secret")
    config = own_config(tmp_path / "home", {"BACKEND_STORE_URI": uri})
    with (
        started(config) as parts,
        pytest.raises(StackError, match="does not let in the user mlflow") as failed,
    ):
        parts.wait_for_tracking()
    assert "wrong-secret" not in str(failed.value)
    assert "Traceback" not in str(failed.value)


def test_the_server_passes_artifacts_on_and_tells_when_a_store_is_away(
    tmp_path: Path, database_server: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"BACKEND_STORE_URI": database_server.uri(), **s3.settings()}
    config = own_config(tmp_path / "home", settings)
    with running(config) as parts:
        url = config.own_tracking_url
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        # Else clients would ask S3 themselves, which they may not reach.
        told = requests.get(f"{url}/api/3.0/mlflow/server-info", timeout=30).json()
        assert not told["multipart_downloads_enabled"]
        assert not told["multipart_uploads_enabled"]
        client = MlflowClient(url)
        run = client.create_run("0").info.run_id
        client.log_text(run, "in the bucket", "a.txt")
        assert client.list_artifacts(run)[0].path == "a.txt"
        keys = [found["Key"] for found in s3.client().list_objects_v2(Bucket="mlflow")["Contents"]]
        assert f"runs/0/{run}/artifacts/a.txt" in keys
        assert not (tmp_path / "home" / "artifacts").exists()
        assert not (tmp_path / "home" / "mlflow.db").exists()
        # No other user of the machine sees a secret, nor who reads the log.
        arguments = Path(f"/proc/{parts.process('tracking').pid()}/cmdline")
        log = parts.process("tracking").log
        for text in (arguments.read_text() if arguments.exists() else "", log.read_text()):
            assert database_server.password not in text
            assert s3.secret not in text

        assert stores_away(config) == []
        database_server.stop("immediate")
        try:
            assert requests.get(f"{url}/health", timeout=30).status_code == 200
            (away,) = stores_away(config)
            assert "does not answer (Connection refused); start it" in away
        finally:
            database_server.start()
        assert stores_away(config) == []
        assert client.get_run(run).info.run_id == run  # it goes on


def test_a_deployment_that_fails_names_the_store_that_is_away() -> None:
    error = TrackingError.because("http://t", ValueError("too many 500"), ["the database is down; start it"])
    assert (
        str(error)
        == "the tracking server http://t failed: the database is down; start it; then run this again"
    )
    assert "too many 500" in str(TrackingError.because("http://t", ValueError("too many 500")))


def test_parts_other_than_the_server_get_none_of_it(tmp_path: Path) -> None:
    config = own_config(tmp_path / "home", {"BACKEND_STORE_URI": POSTGRES, **S3_SETTINGS})
    environment = Parts(config).config.trainer_environment()
    assert "secret" not in " ".join(environment.values())


@pytest.mark.parametrize(("named", "left"), [({}, ["postgres", "s3"]), ({"postgres": {}}, ["s3"])])
def test_a_service_of_the_users_own_that_is_called_as_one_of_ours_is_not_left_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: dict[str, object], left: list[str]
) -> None:
    monkeypatch.setattr(compose, "service_containers", lambda _, name: [{"Id": name}])
    monkeypatch.setattr(compose, "read_files", lambda _: {"services": named})
    assert sorted(compose._unchosen_stores(load_config({}, tmp_path / "no.env"))) == left

"""A tracking server that the stack only uses: how it is told, asked and, with Docker, reached."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import yaml
from mlflow.entities import Experiment
from workflow import TrainingError
from workflow.versions import check_place

from stack.config import CHECKOUT, Config, load_config
from stack.doctor.state import check_home_server
from stack.errors import StackError
from stack.modes import elsewhere
from stack.modes.choice import check_own_data, choose_mode
from stack.modes.compose import service_names
from stack.modes.elsewhere import (
    check_elsewhere,
    check_own_tracking,
    check_services,
    judge_files,
    remove_cut_off,
)
from stack.modes.preflight import check_home_tracking, check_machine
from stack.modes.processes import Process
from stack.modes.report import begin_text, failed_text, up_text
from stack.release.commands import release
from stack.tracking import no_answer, remedy, seconds_to_wait, verified_by
from stack.tracking_settings import CLIENT_SETTINGS

NO_FILE = Path("/nonexistent/.env")
OVERLAYS = ("compose/tracking-elsewhere.yml", "compose/tracking-of-stack.yml")


def config(**settings: str) -> Config:
    return load_config(settings, NO_FILE)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5000",
        "http://localhost:5000",
        "http://localhost:5000/",
        "http://[::1]:5000",
        "http://0.0.0.0:5000",
    ],
)
def test_the_stacks_own_address_is_no_server_elsewhere_however_it_is_spelt(url: str) -> None:
    found = config(MLFLOW_TRACKING_URI=url)
    assert (found.tracking_url, found.elsewhere) == ("http://127.0.0.1:5000", "")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:5010", "https://127.0.0.1:5000", "http://localhost:5000/team", "http://mlflow:5000"],
)
def test_any_other_address_is_that_of_a_server_elsewhere(url: str) -> None:
    found = config(MLFLOW_TRACKING_URI=f"{url}/")
    assert (found.tracking_url, found.elsewhere) == (url, url)
    assert found.client_environment()["TRACKING_ELSEWHERE"] == url


def test_the_server_of_another_stack_is_elsewhere_although_the_port_is_the_same() -> None:
    found = config(TRACKING_STACK="first", TRACKING_PORT="6000")
    assert (found.tracking_url, found.elsewhere) == ("http://127.0.0.1:6000", "http://127.0.0.1:6000")


def test_a_container_knows_the_server_by_its_own_address_and_by_the_users() -> None:
    settings = {"CONTAINER_URL": "http://{}:8080", "MLFLOW_TRACKING_URI": "http://tracking:5000"}
    assert config(**settings).elsewhere == ""
    found = config(**settings, TRACKING_ELSEWHERE="http://127.0.0.1:5000", TRACKING_STACK="first")
    assert (found.tracking_url, found.elsewhere) == ("http://tracking:5000", "http://127.0.0.1:5000")


@pytest.mark.parametrize("url", ["databricks", "sqlite:///x.db", "./mlruns", "http://", "http://host:port"])
def test_what_is_no_servers_address_is_refused(url: str) -> None:
    with pytest.raises(
        StackError, match=r"^MLFLOW_TRACKING_URI is not the address of a tracking server; set"
    ):
        config(MLFLOW_TRACKING_URI=url)
    beside = load_config({"MLFLOW_TRACKING_URI": url}, NO_FILE, asks_tracking=False)
    assert (beside.tracking_url, beside.elsewhere) == ("http://127.0.0.1:5000", "")


@pytest.mark.parametrize(
    "url", ["https://ada:s3cret@mlflow", "postgresql://ada:s3cret@db/mlflow", "http://s3cret@h"]
)
def test_a_password_in_the_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(StackError) as raised:
        config(MLFLOW_TRACKING_URI=url)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in str(load_config({"MLFLOW_TRACKING_URI": url}, NO_FILE, asks_tracking=False))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"TRACKING_STACK": "pyfunc-stack"}, "TRACKING_STACK names this stack itself, pyfunc-stack; set"),
        (
            {"TRACKING_STACK": "first", "MLFLOW_TRACKING_URI": "http://mlflow:5000"},
            "MLFLOW_TRACKING_URI and TRACKING_STACK name two tracking servers",
        ),
        (
            {"MLFLOW_TRACKING_INSECURE_TLS": "yes"},
            "MLFLOW_TRACKING_INSECURE_TLS must be true or false, found 'yes'",
        ),
        (
            {"MLFLOW_TRACKING_INSECURE_TLS": "1", "MLFLOW_TRACKING_SERVER_CERT_PATH": "README.md"},
            "MLFLOW_TRACKING_INSECURE_TLS says to check no certificate, and MLFLOW_TRACKING_SERVER_CERT_PATH",
        ),
        (
            {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/none.pem"},
            "MLFLOW_TRACKING_SERVER_CERT_PATH names no file: found nothing at /none.pem; correct",
        ),
    ],
    ids=["itself", "two servers", "no boolean", "checked and not", "no file"],
)
def test_settings_that_contradict_are_refused_but_not_where_no_server_is_asked(
    settings: dict[str, str], told: str
) -> None:
    with pytest.raises(StackError, match=f"^{re.escape(told)}"):
        config(**settings)
    beside = load_config(settings, NO_FILE, asks_tracking=False)
    assert bool(beside.elsewhere) == any("TRACKING_STACK" in name for name in settings)


def test_a_part_that_was_told_the_address_of_another_stacks_server_may_know_that_stack_too() -> None:
    given = config(TRACKING_STACK="first").client_environment()
    assert config(**{name: given[name] for name in ("MLFLOW_TRACKING_URI", "TRACKING_STACK")}).elsewhere


def test_what_logs_in_reaches_the_clients_and_a_certificate_has_its_whole_path() -> None:
    insecure, certificate = "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH"
    given = {name: name.lower() for name in CLIENT_SETTINGS} | {certificate: "README.md", insecure: "False"}
    found = config(**given).client_environment()
    assert {name: found[name] for name in CLIENT_SETTINGS} == given | {
        certificate: str(CHECKOUT / given[certificate])
    }
    assert not config().client_environment().keys() & set(CLIENT_SETTINGS)


class _Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "told"), [(200, None), (401, None), (404, None), (502, "it answers with status 502")]
)
def test_any_answer_but_a_failure_shows_that_a_server_is_there(
    server: str, monkeypatch: pytest.MonkeyPatch, status: int, told: str | None
) -> None:
    monkeypatch.setattr(_Answers, "status", status)
    assert no_answer(config(MLFLOW_TRACKING_URI=server)) == (told and f"{server}: {told}")


def test_a_server_that_is_not_there_is_named_as_the_user_knows_it(free_ports: tuple[int, int]) -> None:
    away = replace(config(), tracking_url=f"http://127.0.0.1:{free_ports[0]}", elsewhere="http://the.users")
    assert re.fullmatch(r"http://the\.users: \[Errno \d+\] Connection refused", str(no_answer(away)))
    assert seconds_to_wait(away) < seconds_to_wait(config())


def test_a_release_asks_a_server_elsewhere_before_it_takes_the_lock(
    free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = config(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_ports[0]}")
    mode = SimpleNamespace(check=lambda: None, exclusive=lambda: pytest.fail("it took the lock"))
    monkeypatch.setattr("stack.release.commands.choose_mode", lambda *_: mode)
    with pytest.raises(StackError, match=r"does not answer: .* correct MLFLOW_TRACKING_URI, then run this"):
        release(away, None, lambda *_: None)


def test_the_remedy_names_the_settings_that_say_which_server_it_is() -> None:
    assert remedy(config(TRACKING_STACK="first")).endswith("or correct TRACKING_STACK or TRACKING_PORT")
    assert remedy(config(MLFLOW_TRACKING_URI="http://m")).endswith("or correct MLFLOW_TRACKING_URI")


def test_the_state_of_a_stack_with_a_running_server_of_its_own_is_not_taken_over(tmp_path: Path) -> None:
    own = replace(config(), home=tmp_path)
    other = replace(config(MLFLOW_TRACKING_URI="http://mlflow:5000"), home=tmp_path)
    check_home_tracking(other)
    with Process(tmp_path, "tracking").claim():
        check_home_tracking(own, is_deleted=True)
        with pytest.raises(StackError, match=r"runs with its own .* MLFLOW_TRACKING_URI names another"):
            check_home_tracking(other)
        with pytest.raises(StackError, match=r"run \./scripts/down first, or, for a second stack, set STACK"):
            choose_mode(other, "native")
        assert check_home_server(other).state == "fix"
    assert check_home_server(other).state == "ok"


def test_the_data_of_a_server_that_the_settings_do_not_name_are_not_deleted(tmp_path: Path) -> None:
    other = replace(config(MLFLOW_TRACKING_URI="http://mlflow:5000"), home=tmp_path)
    check_home_tracking(other, is_deleted=True)
    (tmp_path / "mlflow.db").touch()
    check_home_tracking(other)  # a stack may move to another server, and leave its data
    with pytest.raises(
        StackError, match=r"holds the data of its own .* to delete those data, remove MLFLOW_"
    ):
        check_own_data(other)


def test_a_certificate_is_checked_unless_the_user_says_otherwise() -> None:
    path = {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}
    assert [verified_by(it) for it in ({}, path)] == [True, "/ca.pem"]
    assert verified_by({"MLFLOW_TRACKING_INSECURE_TLS": "true"}) is False


def test_a_stack_with_a_server_elsewhere_neither_names_nor_needs_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(config(MLFLOW_TRACKING_URI="http://mlflow:5000"), home=tmp_path)
    checked: list[str] = []
    monkeypatch.setattr("stack.modes.preflight.check_port", lambda name, *_: checked.append(name))
    check_machine(found, is_serving=False)
    assert checked == ["SERVING_PORT"]
    assert service_names(found) == ("trainer", "deploy", "serving")
    assert begin_text(found, "with Docker") == "==> with Docker, with the tracking server http://mlflow:5000"
    assert "MLflow UI    http://mlflow:5000\n" in up_text(found, "Ctrl-C")
    assert "the tracking server still runs" not in failed_text(StackError("no"), found)


def files(uri: str = "", *, scale: int | None = 0) -> dict[str, Any]:
    """Return what Compose says of its files; ``scale`` is that of tracking."""
    tracking = {} if scale is None else {"scale": scale}
    return {"services": {"tracking": tracking, "trainer": {"environment": {"MLFLOW_TRACKING_URI": uri}}}}


def test_files_that_fit_the_settings_pass() -> None:
    judge_files(config(), files("http://tracking:5000", scale=None))
    judge_files(config(TRACKING_STACK="first"), files("http://tracking:5000"))
    judge_files(config(MLFLOW_TRACKING_URI="https://mlflow"), files("https://mlflow"))


@pytest.mark.parametrize(
    ("settings", "overlay"),
    [({"MLFLOW_TRACKING_URI": "https://mlflow"}, OVERLAYS[0]), ({"TRACKING_STACK": "first"}, OVERLAYS[1])],
    ids=OVERLAYS,
)
def test_files_that_would_start_another_server_are_told_with_the_overlay(
    settings: dict[str, str], overlay: str
) -> None:
    with pytest.raises(StackError, match=r"and Compose would start another; set COMPOSE_FILE=") as raised:
        judge_files(config(**settings), files("http://tracking:5000", scale=None))
    assert f"docker-compose.yml:{overlay} in .env" in str(raised.value)


def test_another_projects_compose_files_are_told() -> None:
    with pytest.raises(StackError, match=r"COMPOSE_FILE names are not those of this stack; remove"):
        judge_files(config(), {"services": {"web": {}}})
    with pytest.raises(StackError, match=r"begin it with docker-compose\.yml"):
        check_services({}, "serving")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "127.0.1.1", "127.0.0.2"])  # noqa: S104
def test_an_address_that_means_the_container_itself_is_told(host: str) -> None:
    uri = f"http://{host}:5000"
    with pytest.raises(StackError, match=r"containers can't reach the tracking server .*TRACKING_STACK"):
        judge_files(config(MLFLOW_TRACKING_URI=uri), files(uri))


class _Engine:
    """An engine with a network, a container for each state and network, and the stacks' tracking servers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, network: str) -> None:
        self.network, self.removed, self.tracking_of = network, list[str](), dict[str, str]()
        monkeypatch.setattr(elsewhere, "run", self._run)
        monkeypatch.setattr(elsewhere, "containers", self._listed)

    def _listed(self, project: str, *others: str) -> list[dict[str, Any]]:
        if not others:
            return self._containers()
        port = self.tracking_of.get(project.rpartition("=")[2])
        return [{"HostConfig": {"PortBindings": {"5000/tcp": [{"HostPort": port}]}}}] if port else []

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        if command[:2] == ["docker", "rm"]:
            self.removed += command[2:]
        printed = json.dumps(files("http://tracking:5000")) if "config" in command else self.network
        return subprocess.CompletedProcess(command, 0 if printed else 1, printed, "")

    @staticmethod
    def _containers() -> list[dict[str, Any]]:
        return [
            {
                "Id": f"{network} {'runs' if runs else 'ended'}",
                "State": {"Running": runs},
                "NetworkSettings": {"Networks": {network.split()[0]: {"NetworkID": network.split()[1]}}},
            }
            for network in ("first_default old", "first_default new", "second_default old")
            for runs in (True, False)
        ]


def test_a_stack_that_is_not_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _Engine(monkeypatch, "")
    with pytest.raises(StackError, match=r"^the stack first, which TRACKING_STACK names, is not up with"):
        check_elsewhere(config(TRACKING_STACK="first"), ["config"])


def test_a_port_that_is_not_the_other_stacks_is_told_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine(monkeypatch, "new")
    engine.tracking_of["first"] = "6000"
    check_elsewhere(config(TRACKING_STACK="first", TRACKING_PORT="6000"), ["config"])
    with pytest.raises(StackError, match=r"on port 6000, and TRACKING_PORT is 5000; set it to that port"):
        check_elsewhere(config(TRACKING_STACK="first"), ["config"])


def test_a_tracking_server_of_its_own_is_not_removed_from_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine(monkeypatch, "new")
    engine.tracking_of["pyfunc-stack"] = "5000"
    check_own_tracking(config())
    with pytest.raises(StackError, match=r"has its own tracking server, and MLFLOW_TRACKING_URI names"):
        check_own_tracking(config(MLFLOW_TRACKING_URI="https://mlflow"))
    check_own_tracking(config(MLFLOW_TRACKING_URI="https://mlflow", COMPOSE_PROJECT_NAME="second"))
    itself = load_config(
        {"TRACKING_STACK": "second", "COMPOSE_PROJECT_NAME": "second"}, NO_FILE, asks_tracking=False
    )
    with pytest.raises(StackError, match=r"has its own tracking server, and TRACKING_STACK names"):
        check_own_tracking(itself)


def test_only_what_has_ended_in_a_network_that_is_gone_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine(monkeypatch, "new")
    remove_cut_off(config(TRACKING_STACK="first"))
    assert engine.removed == ["first_default old ended"]
    remove_cut_off(config())
    assert len(engine.removed) == 1


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags as what they hold."""


_Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_mapping(node))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_starts_no_tracking_server_and_lets_nothing_depend_on_it(overlay: str) -> None:
    services = yaml.load((CHECKOUT / overlay).read_text(), _Loader)["services"]  # noqa: S506
    assert services["tracking"] == {"scale": 0}
    whole = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    depending = [name for name in whole if "tracking" in whole[name].get("depends_on", {})]
    assert sorted(depending) == sorted(services.keys() - {"tracking"})
    assert all("tracking" not in services[name]["depends_on"] for name in depending)
    assert services["serving"].keys() == {"depends_on"}  # a model reaches no tracking server
    clients = [services[name]["environment"] for name in ("trainer", "deploy", "watch")]
    assert clients[0] == clients[1] == clients[2]
    assert {"MLFLOW_TRACKING_URI", "TRACKING_ELSEWHERE"} <= clients[0].keys()


def test_what_logs_in_is_passed_on_to_containers_only_if_it_is_set() -> None:
    services = yaml.load((CHECKOUT / OVERLAYS[0]).read_text(), _Loader)["services"]  # noqa: S506
    passed, certificate = services["trainer"]["environment"], "MLFLOW_TRACKING_SERVER_CERT_PATH"
    mounted = f"${{{certificate}:+/run/secrets/{services['trainer']['secrets'][0]}}}"
    assert {name: passed[name] for name in CLIENT_SETTINGS} == dict.fromkeys(CLIENT_SETTINGS) | {
        certificate: mounted
    }


@pytest.mark.parametrize(
    ("uri", "location", "is_lost"),
    [
        ("http://mlflow:5000", "/nonexistent/mlruns/1", True),
        ("http://mlflow:5000", "file:///nonexistent/mlruns/1", True),
        ("http://mlflow:5000", "mlflow-artifacts:/1", False),
        ("http://mlflow:5000", "s3://bucket/1", False),
        ("http://127.0.0.1:5000", "/nonexistent/mlruns/1", False),
        ("http://mlflow:5000", f"{CHECKOUT}/1", False),
    ],
)
def test_a_training_whose_files_would_lie_where_the_server_does_not_find_them_is_refused(
    monkeypatch: pytest.MonkeyPatch, uri: str, location: str, is_lost: bool
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    experiment = Experiment("1", "iris", location, "active")
    check_place(experiment)  # the stack's own server takes files
    monkeypatch.setenv("TRACKING_ELSEWHERE", uri)
    with pytest.raises(TrainingError, match=f"keeps its files at {location}") if is_lost else nullcontext():
        check_place(experiment)

"""The gateway without Docker: a real Caddy, and what the servers behind it are told."""

import os
import shutil
import socket
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from stack.config import Config, load_config
from stack.doctor.checks import find, port_checks
from stack.doctor.engine import look_at_docker
from stack.doctor.gateway import check_acme_certificate, check_certificate
from stack.errors import StackError
from stack.gateway import OVERLAY, Gateway
from stack.modes import native_gateway
from stack.modes.door import trust
from stack.modes.model_servers import ModelServers, Note
from stack.modes.native import Native
from stack.modes.native_gateway import behind, check_running, choose_ports, variables
from stack.modes.parts import Parts
from stack.modes.preflight import check_machine, delete_data, prepare_home
from stack.modes.processes import part_environment
from stack.release.predict import predict
from tests.unit.gateways import find_caddy
from tests.unit.test_native import FOREVER


@pytest.fixture(scope="session")
def caddy() -> str:
    return find_caddy()


@pytest.fixture
def config(tmp_path: Path, free_ports: tuple[int, int]) -> Config:
    tracking, serving = free_ports
    settings = {
        "STACK_HOME": str(tmp_path / "state"),
        "COMPOSE_FILE": f"docker-compose.yml:{OVERLAY}",
        "TRACKING_PORT": str(tracking),
        "SERVING_PORT": str(serving),
    }
    found = load_config(settings, Path("/nonexistent/.env"))
    return replace(found, gateway=replace(gateway_of(found), directory=tmp_path / "gateway"))


@pytest.fixture
def parts(config: Config) -> Iterator[Parts]:
    prepare_home(config)
    parts = Parts(config)
    yield parts
    parts.stop()


def gateway_of(config: Config) -> Gateway:
    assert config.gateway is not None
    return config.gateway


def without(config: Config) -> Config:
    return replace(config, gateway=None)


def status(config: Config, path: str, port: int) -> int:
    context = ssl.create_default_context(cafile=str(gateway_of(config).authority))
    try:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_starts_is_trusted_and_wants_a_login(parts: Parts, config: Config, caddy: str) -> None:
    parts.start_gateway(caddy)
    assert parts.process("gateway").is_running()
    for port in (config.tracking_port, config.serving_port):
        assert status(config, "/", port) == 401
    assert status(config, "/health", config.tracking_port) == 502
    check_running(config)
    assert Native(config).services()[0].name == "gateway"
    assert Native(config).services()[0].is_up
    assert parts.watch({"gateway"}) == {"gateway"}
    parts.process("gateway").stop()
    with pytest.raises(StackError, match="gateway has ended by itself, so the stack is stopped"):
        parts.watch({"gateway"})


def test_a_gateway_that_the_settings_do_not_choose_is_told(
    parts: Parts, config: Config, caddy: str, tmp_path: Path
) -> None:
    plain, said = (
        without(config),
        r"was started with a gateway, and the settings choose none; run \./scripts/up",
    )
    (tmp_path / "rows.json").write_text("{}")
    trust(plain)
    parts.start_gateway(caddy)
    with pytest.raises(StackError, match=said):
        trust(plain)
    with pytest.raises(StackError, match=said):
        predict(plain.serving_url, tmp_path / "rows.json", 5)
    findings = [find(name, check) for name, check in port_checks(plain, look_at_docker())]
    assert [finding.state for finding in findings if "started with a gateway" in str(finding)] == ["fix"]


def test_an_authority_that_was_replaced_is_fetched_anew(parts: Parts, config: Config, caddy: str) -> None:
    parts.start_gateway(caddy)
    authority = gateway_of(config).authority
    replaced = authority.read_bytes()
    parts.process("gateway").stop()
    shutil.rmtree(gateway_of(config).home / "caddy")
    parts.start_gateway(caddy)
    right = authority.read_bytes()
    authority.write_bytes(replaced)
    assert check_certificate(gateway_of(config), config.tracking_port).state == "fix"
    trust(config)
    assert authority.read_bytes() == right
    assert check_certificate(gateway_of(config), config.tracking_port).state == "ok"


def test_a_name_without_a_certificate_is_told(parts: Parts, config: Config, caddy: str) -> None:
    parts.start_gateway(caddy)
    own = gateway_of(config)
    assert check_acme_certificate(own, config.tracking_port).state == "ok"
    other = check_acme_certificate(replace(own, host="other.example.com"), config.tracking_port)
    assert other.state == "fix"
    assert "no certificate for other.example.com (TLSV1_ALERT_INTERNAL_ERROR)" in str(other)


def test_it_keeps_nothing_outside_of_the_state_directory(
    parts: Parts, config: Config, caddy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    parts.start_gateway(caddy)
    assert list((tmp_path / "user").iterdir()) == []
    parts.stop()
    secret = gateway_of(config).secret()
    holding = [file for file in config.home.rglob("*") if file.is_file() and secret in file.read_text()]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in holding)
    delete_data(config)
    assert not config.home.exists()


def test_a_caddyfile_that_caddy_refuses_is_told_in_its_words(
    parts: Parts, caddy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Caddyfile").write_text("{\n\tno_such_option\n}\n")
    monkeypatch.setattr(native_gateway, "_CADDYFILE", tmp_path / "Caddyfile")
    with pytest.raises(StackError, match=r"Caddy says: .*Caddyfile:2: unrecognized global option"):
        parts.start_gateway(caddy)


def test_a_certificate_that_can_not_be_read_is_told_in_caddys_words(
    parts: Parts, caddy: str, tmp_path: Path
) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("no PEM")
    own = replace(gateway_of(parts.config), certificate=tmp_path / "certificate", key=tmp_path / "key")
    wrong = Parts(replace(parts.config, gateway=own))
    with pytest.raises(StackError, match=r"the gateway fails to start: Caddy says: .*PEM"):
        wrong.start_gateway(caddy)


def test_settings_that_choose_another_gateway_than_the_one_that_runs_are_refused(
    parts: Parts, config: Config
) -> None:
    with pytest.raises(StackError, match=r"was started without a gateway; run \./scripts/up --native"):
        check_running(config)
    check_running(without(config))
    digest = native_gateway.chosen(config)
    parts.process("gateway").start(FOREVER, os.environ, config.home, digest)
    check_running(config)
    with pytest.raises(StackError, match=r"was started with a gateway; run \./scripts/up --native"):
        check_running(without(config))
    other = replace(config, gateway=replace(gateway_of(config), host="models.example.com"))
    with pytest.raises(StackError, match="was started with other settings of the gateway"):
        check_running(other)


def test_the_inner_ports_are_kept_and_chosen_anew_by_the_next_start(config: Config) -> None:
    first = behind(config)
    assert behind(config) == first
    assert len({first.tracking_port, first.serving_port, config.tracking_port, config.serving_port}) == 4
    choose_ports(config, is_serving=True)
    assert behind(config).serving_port == first.serving_port
    choose_ports(config, is_serving=False)
    assert behind(config) != first
    assert behind(config).secret == first.secret


def test_without_a_gateway_the_servers_have_the_public_ports_and_no_secret(config: Config) -> None:
    plain = without(config)
    choose_ports(plain, is_serving=False)
    own = behind(plain)
    assert (own.tracking_port, own.serving_port) == (config.tracking_port, config.serving_port)
    assert (own.secret, own.host) == ("", "")
    assert not config.home.exists()
    assert Parts(plain).needed == {"tracking"}
    assert ModelServers(plain)._own_settings() == {}


def test_a_model_server_behind_a_gateway_has_other_settings_than_one_before_it(config: Config) -> None:
    other = replace(config, gateway=replace(gateway_of(config), host="models.example.com"))
    assert len({ModelServers(each).settings() for each in (config, without(config), other)}) == 3
    own = ModelServers(other)._own_settings()
    assert own == {
        "GATEWAY_SECRET": gateway_of(config).secret(),
        "SERVER_SERVICE_NAMES": "models.example.com",
    }


def test_a_model_server_that_has_a_port_of_the_gateway_is_not_left_running(
    parts: Parts, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.modes.model_servers.is_healthy", lambda _: True)
    for port, is_kept in ((config.serving_port, False), (behind(config).serving_port, True)):
        note = Note("iris", "1", "sha256:it", "settings", str(port), "http://127.0.0.1:9")
        parts.process("serving").start(FOREVER, os.environ, config.home, str(note))
        assert parts.stop_left_over() == is_kept
        assert parts.process("serving").is_running() == is_kept


@pytest.mark.parametrize(
    ("changes", "certificate"),
    [
        ({}, "certificate"),
        ({"certificate": Path("/c.pem"), "key": Path("/k.pem")}, "own-certificate"),
        ({"acme_email": "ada@example.com"}, "acme-certificate"),
    ],
)
def test_the_certificate_is_the_one_that_the_settings_say(
    config: Config, changes: dict[str, Path | str], certificate: str
) -> None:
    found = variables(config, replace(gateway_of(config), **changes))  # type: ignore[arg-type]
    assert found["CERTIFICATE"] == certificate
    assert found["TLS_CERTIFICATE"] == ("/c.pem" if "key" in changes else "")
    assert found["ACME_EMAIL"] == changes.get("acme_email", "")


def test_the_caddyfile_names_nothing_that_is_not_set(config: Config) -> None:
    text = native_gateway._CADDYFILE.read_text()
    named = {part.partition("}")[0] for part in text.split("{$")[1:] if "}" in part} - {"VARIABLES"}
    assert named <= variables(config, gateway_of(config)).keys()


@pytest.mark.parametrize(
    ("said", "is_taken"), [("v2.11.0 h1:x=", True), ("2.12.1", True), ("2.6.2", False), ("", False)]
)
def test_a_caddy_on_the_path_is_taken_if_it_is_new_enough(
    said: str, is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(command: list[str], *_: object, **_settings: object) -> SimpleNamespace:
        assert command[-2] == "gateway"
        Path(command[-1], "bin").mkdir(parents=True)
        Path(command[-1], "bin", "caddy").touch()
        return SimpleNamespace(how="")

    monkeypatch.setattr("stack.modes.aside.run_interruptibly", install)
    own = tmp_path / "path" / "caddy"
    own.parent.mkdir()
    own.write_text(f"#!/bin/sh\necho '{said}'\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(own.parent), prepend=os.pathsep)
    found = native_gateway.prepare(tmp_path / "home")
    assert (found == str(own)) == is_taken
    assert Path(found).exists()
    assert Path(found).is_relative_to(tmp_path / "home") != is_taken


def test_a_caddy_that_can_not_be_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **_settings: object) -> SimpleNamespace:
        return SimpleNamespace(how="it ended", output="", log="error: Connection refused")

    monkeypatch.setattr("stack.modes.aside.run_interruptibly", fail)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(
        StackError, match=r"Caddy, the gateway's program, can't be installed(.*\n)+nothing answers"
    ):
        native_gateway.prepare(tmp_path)
    assert [path.name for path in (tmp_path / "caddy").iterdir()] == ["lock"]


def test_a_port_of_the_gateway_that_is_taken_is_named_with_its_setting(config: Config) -> None:
    prepare_home(config)
    check_machine(config, is_serving=True)
    for setting, port in (("TRACKING_PORT", config.tracking_port), ("SERVING_PORT", config.serving_port)):
        said = rf"the gateway can't listen on port {port} .* set {setting} to another"
        with socket.create_server(("127.0.0.1", port)), pytest.raises(StackError, match=said):
            check_machine(config, is_serving=True)


def test_an_address_of_another_machine_is_told_by_its_setting(config: Config) -> None:
    prepare_home(config)
    elsewhere = replace(config, gateway=replace(gateway_of(config), bind="192.0.2.1"))
    with pytest.raises(StackError, match=r"BIND_ADDRESS is no address of this machine, found 192\.0\.2\.1"):
        check_machine(elsewhere, is_serving=False)


def test_what_a_gateway_in_docker_has_left_keeps_no_stack_from_starting(config: Config) -> None:
    gateway_of(config).authority.parent.mkdir(parents=True)
    gateway_of(config).authority.touch()
    prepare_home(config)
    delete_data(config)
    assert not config.home.exists()


def test_the_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, tmp_path / "gateway")
    assert gateway.headers() == {}
    secret = gateway.secret()
    assert len(secret) >= 43
    assert gateway.secret() == secret
    assert gateway.headers() == {"X-Gateway-Secret": secret}
    assert stat.S_IMODE((tmp_path / "gateway" / "secret").stat().st_mode) == 0o600


def test_no_part_gets_a_secret_of_the_users_shell() -> None:
    shell = {"GATEWAY_SECRET": "mine", "GATEWAY_ORIGIN": "https://mine", "GATEWAY_HOST": "mine"}
    assert part_environment(shell) == {"GATEWAY_HOST": "mine"}

"""The gateway: who is let in, and where to."""

import base64
import json
import os
import re
import string
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.gateway import Gateway, _begins, check_name, find_gateway, token
from stack.wait import wait_until
from tests.bench.gateway import cpu
from tests.unit.gateways import Door, ask, running_gateway

CHOSEN = {"COMPOSE_FILE": "docker-compose.yml:compose/gateway.yml"}
ROLES = ("predict", "train", "admin", "metrics")
SENTENCE = "Log in with the name and the secret of a user: ./scripts/user add NAME\n"
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?", fullmatch=True)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with running_gateway(tmp_path_factory.mktemp("door")) as door:
        yield door


@pytest.fixture(scope="module")
def logins(door: Door) -> dict[str, str]:
    """Add a user of each role, called as the role; return what each logs in with."""
    return {role: door.add(role, role) for role in ROLES}


def wait(condition: Callable[[], object]) -> None:
    def not_yet() -> str | None:
        try:
            return None if condition() else "not yet"
        except OSError as error:  # while the users are read again, a connection may be closed
            return str(error)

    wait_until(not_yet, timeout=10)


def concrete(path: str) -> str:
    """Fill in the parameters of a route of Flask's or Starlette's."""
    return re.sub(r"<[^>]*>|\{[^}]*\}", "1", path)


def flask_routes() -> list[tuple[str, str]]:
    from mlflow.server import app

    rules = app.url_map.iter_rules()
    return [(method, concrete(rule.rule)) for rule in rules for method in rule.methods or ()]


def fastapi_routes(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        if router := getattr(route, "original_router", None):  # FastAPI's own, of a router that is included
            yield from fastapi_routes(router.routes, prefix + route.include_context.prefix)
        else:
            for method in getattr(route, "methods", None) or {"GET"}:
                yield method, concrete(prefix + route.path)


def tracking_routes() -> list[tuple[str, str]]:
    from mlflow.server.fastapi_app import app

    of_fastapi = list(fastapi_routes(app.routes))
    assert len(of_fastapi) > 20
    return [*flask_routes(), *of_fastapi]


def serving_routes() -> list[tuple[str, str]]:
    own = [("GET", path) for path in ("/model", "/metrics", "/docs", "/openapi.json", "/version", "/redoc")]
    return [*own, ("POST", "/invocations"), ("GET", "/"), ("DELETE", "/invocations"), ("OPTIONS", "/")]


def is_open(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") and path == "/health"


def test_without_a_login_every_route_is_refused(door: Door, logins: dict[str, str]) -> None:
    del logins
    routes = tracking_routes()
    assert len(routes) > 500
    for port, asked in ((door.tracking, routes), (door.serving, serving_routes())):
        with door.connection(port) as connection:
            for method, path in asked:
                if is_open(method, path):
                    continue
                status, body, headers = ask(connection, path, method)
                assert (status, method, path) == (401, method, path)
                assert body == ("" if method == "HEAD" else SENTENCE)
                assert headers["www-authenticate"] == 'Basic realm="pyfunc-stack"'


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_it_is_for_on_every_route(
    door: Door, logins: dict[str, str], role: str
) -> None:
    def expected(method: str, path: str) -> int:
        if is_open(method, path):
            return 200
        words = (
            "delete",
            "remove",
            "rename",
            "detach",
            "cancel",
            "/abort/",
            "upload-artifact",
            "/assistant/",
        )
        is_admins = method == "DELETE" or any(word in path.lower() for word in words)
        return 200 if role == "admin" or (role == "train" and not is_admins) else 403

    with door.connection(door.tracking) as connection:
        for method, path in tracking_routes():
            status, _, _ = ask(connection, path, method, logins[role])
            assert (status, method, path) == (expected(method, path), method, path)
    with door.connection(door.serving) as connection:
        for method, path in serving_routes():
            is_allowed = role in ("metrics", "admin") if path == "/metrics" else role != "metrics"
            status, _, _ = ask(connection, path, method, logins[role])
            assert (status, method, path) == (200 if is_allowed else 403, method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow/experiments/%64elete",
        "/api/2.0/mlflow/experiments/DELETE",
        "//api/2.0/mlflow//experiments/delete",
        "/api/2.0/mlflow/experiments/delete/",
        "/x/../api/2.0/mlflow/experiments/delete",
    ],
)
def test_no_spelling_of_a_deletion_passes_for_another_request(
    door: Door, logins: dict[str, str], path: str
) -> None:
    assert door.ask(door.tracking, path, "POST", login=logins["train"])[0] == 403


@pytest.mark.parametrize("path", ["/metrics/", "/%6detrics", "//metrics", "/x/../metrics", "/METRICS"])
def test_no_spelling_of_metrics_is_open_to_a_user_who_may_only_predict(
    door: Door, logins: dict[str, str], path: str
) -> None:
    status, body, _ = door.ask(door.serving, path, login=logins["predict"])
    assert status == 403 or json.loads(body)["path"] != "/metrics"


def test_a_token_is_as_good_as_a_login(door: Door, logins: dict[str, str]) -> None:
    bearer = {"Authorization": f"Bearer {token(*logins['predict'].split(':'))}"}
    assert door.ask(door.serving, "/invocations", "POST", headers=bearer)[0] == 200
    assert door.ask(door.tracking, headers=bearer)[0] == 403


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        f"Bearer {base64.b64encode(b'admin:wrong too').decode()}",
        "Digest username=admin",
        f"Basic {base64.b64encode(b'admin').decode()}",
        f"Basic {base64.b64encode(b':').decode()}",
        f"Basic {base64.b64encode(b'admin:').decode()}",
        f"Basic {base64.b64encode(b'admin:wrong').decode()}",
        f"Basic {base64.b64encode(b'stranger:wrong').decode()}",
    ],
)
def test_a_wrong_login_is_refused_after_a_while_and_logged_without_the_secret(
    door: Door, logins: dict[str, str], header: str
) -> None:
    del logins
    logged, since = len(door.log.read_text()), time.monotonic()
    status, body, headers = door.ask(door.tracking, method="POST", headers={"Authorization": header})
    assert status == 401
    assert body == ""
    assert headers["www-authenticate"] == 'Basic realm="pyfunc-stack"'
    assert time.monotonic() - since > 0.9
    wait(lambda: '"status":401' in door.log.read_text()[logged:])
    told = door.log.read_text()[logged:]
    assert '"remote_ip":"127.0.0.1"' in told
    secret = header.partition(" ")[2]
    assert not secret or secret not in told


def test_several_logins_in_a_request_cost_no_more_than_one(door: Door, logins: dict[str, str]) -> None:
    del logins

    def refused(_: int) -> int:
        with door.connection(door.serving) as connection:
            connection.putrequest("GET", "/model", skip_host=True)
            connection.putheader("Host", "localhost")
            for login in (b"nobody:wrong", b"admin:wrong"):  # the first is no user's
                connection.putheader("Authorization", f"Basic {base64.b64encode(login).decode()}")
            connection.endheaders()
            return connection.getresponse().status

    before = cpu([door.pid])
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(refused, range(20))) == {401}
    # Hashed, as basic_auth does for an unknown name, each would take 80 ms of the processor.
    assert cpu([door.pid]) - before < 0.7


def test_neither_what_is_answered_nor_a_stranger_fills_the_log(door: Door, logins: dict[str, str]) -> None:
    before = len(door.log.read_text())
    for port in (door.tracking, door.serving):
        assert door.ask(port, login=logins["admin"])[0] == 200
        assert door.ask(port, "/health")[0] == 200
        assert door.ask(port)[0] == 401
    assert door.ask(door.tracking, "/" + "x" * 5000, login=logins["predict"])[0] == 403
    wait(lambda: '"status":403' in door.log.read_text()[before:])
    told = door.log.read_text()[before:]
    assert told.count("\n") == 1
    assert "xxx" not in told


def test_the_servers_get_no_secret_of_a_user_but_that_of_the_gateway(
    door: Door, logins: dict[str, str]
) -> None:
    for port in (door.tracking, door.serving):
        for login in (logins["admin"], None):
            path = "/" if login else "/health"
            told = door.ask(port, path, login=login, headers={"X-Gateway-Secret": "guessed"})
            headers = {name.lower(): value for name, value in json.loads(told[1])["headers"].items()}
            assert "authorization" not in headers
            assert headers["x-gateway-secret"] == "between-us"


def test_a_user_comes_and_goes_without_a_restart(door: Door) -> None:
    first = door.add("ada", "predict")
    assert door.ask(door.serving, login=first)[0] == 200
    second = door.add("ada", "train")
    assert door.ask(door.tracking, login=second)[0] == 200
    assert door.ask(door.serving, login=first)[0] == 401
    assert [(user.name, user.role) for user in door.gateway.listed() if user.name == "ada"] == [
        ("ada", "train")
    ]
    door.gateway.remove("ada")
    door.reload()
    assert door.ask(door.tracking, login=second)[0] == 401


def test_what_is_no_user_is_left_alone_and_a_broken_file_is_told(door: Door, logins: dict[str, str]) -> None:
    for stray in (".ada.caddy.swp", "ada~", "run/artifacts"):
        (door.gateway.users / stray).parent.mkdir(exist_ok=True)
        (door.gateway.users / stray).write_text("{ broken")
    door.reload()
    assert door.ask(door.serving, login=logins["predict"])[0] == 200
    broken = door.gateway.users / "broken.caddy"
    broken.write_text("import no-such-snippet\n")
    try:
        with pytest.raises(
            StackError, match=r"goes on with the users that it had: Caddy says: .*no-such-snippet"
        ):
            door.reload()
        assert door.ask(door.serving, login=logins["predict"])[0] == 200
    finally:
        broken.unlink()
    door.reload()


def test_the_stacks_own_user_is_made_once_and_only_its_owner_can_read_the_secret(door: Door) -> None:
    login = ":".join(door.gateway.login())
    door.reload()
    assert door.ask(door.tracking, method="DELETE", login=login)[0] == 200
    assert ":".join(door.gateway.login()) == login
    assert (door.gateway.directory / "login").stat().st_mode & 0o777 == 0o600
    assert "stack" not in [user.name for user in door.gateway.listed()]


def test_two_that_make_a_secret_at_once_get_the_same(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, tmp_path)
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: gateway.login(), range(8)))) == 1
        assert len(set(threads.map(lambda _: gateway.secret(), range(8)))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["login", "secret", "users"]


@pytest.mark.parametrize("path", ["/HEALTH", "/x/../health", "/%2e%2e/health", "//health", "/health/"])
def test_no_other_spelling_of_health_is_open(door: Door, path: str) -> None:
    assert [door.ask(port, path)[0] for port in (door.tracking, door.serving)] == [401, 401]


def test_a_page_of_another_origin_can_not_use_the_login_that_a_browser_has_stored(
    door: Door, logins: dict[str, str]
) -> None:
    own = {"Origin": f"https://localhost:{door.tracking}", "Host": f"localhost:{door.tracking}"}
    assert door.ask(door.tracking, login=logins["admin"], headers=own)[0] == 200
    for origin in (
        "http://localhost:9999",
        "https://evil.example.com",
        "null",
        f"http://localhost:{door.tracking}",
    ):
        asked = door.ask(door.tracking, login=logins["admin"], headers={**own, "Origin": origin})
        assert asked[0] == 403


def test_a_browser_may_ask_before_it_asks_for_predictions(door: Door) -> None:
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    assert door.ask(door.serving, "/invocations", "OPTIONS", headers=preflight)[0] == 200
    assert door.ask(door.serving, "/invocations", "POST", headers=preflight)[0] == 401
    assert door.ask(door.tracking, "/", "OPTIONS", headers=preflight)[0] == 401


def test_only_the_names_of_the_gateway_are_answered(door: Door, logins: dict[str, str]) -> None:
    for host in ("localhost", "127.0.0.1", "models.example.com", "LOCALHOST"):
        assert door.ask(door.serving, login=logins["admin"], headers={"Host": f"{host}:1"})[0] == 200
    for host in ("evil.example.com", "localhost.evil.example.com", "10.0.0.1", "tracking"):
        for port in (door.tracking, door.serving):
            status, body, _ = door.ask(port, login=logins["admin"], headers={"Host": host})
            assert status == 421
            assert "GATEWAY_HOST" in body
    assert door.ask(door.serving, "/health", server_name="models.example.com")[0] == 200


def test_plain_http_is_sent_to_https(door: Door) -> None:
    import http.client

    for port in (door.tracking, door.serving):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/path?query=1")
        answer = connection.getresponse()
        assert answer.status in (301, 308)
        assert answer.getheader("Location") == f"https://127.0.0.1:{port}/path?query=1"
        connection.close()


@given(NAMES, NAMES, st.text(string.printable, min_size=1, max_size=30))
def test_how_a_login_begins_tells_its_name(name: str, other: str, secret: str) -> None:
    def matches(by: str) -> bool:
        sent = base64.b64encode(f"{by}:{secret}".encode()).decode()
        return re.match(_begins(name), sent) is not None

    assert matches(name)
    assert matches(other) == (name == other)


@pytest.mark.parametrize(
    "name", ["", "-a", "a/b", "../a", "Ada", "a b", "a:b", "a" * 65, "stack", "ä", "a\n"]
)
def test_a_name_that_a_file_or_a_header_could_not_have_is_refused(name: str) -> None:
    with pytest.raises(StackError, match="no user can be called"):
        check_name(name)


def test_a_user_who_is_not_there_can_not_be_removed(door: Door) -> None:
    with pytest.raises(StackError, match=r"there is no user nobody; see \./scripts/user list"):
        door.gateway.remove("nobody")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"BIND_ADDRESS": "0.0.0.0"}, "others could reach both servers without a login"),  # noqa: S104
        ({**CHOSEN, "BIND_ADDRESS": "10.0.0.5"}, "BIND_ADDRESS must be 127.0.0.1"),
        ({**CHOSEN, "BIND_ADDRESS": "::"}, "BIND_ADDRESS must be 127.0.0.1"),
        ({**CHOSEN, "GATEWAY_HOST": "127.0.0.1"}, "GATEWAY_HOST is no name"),
        ({**CHOSEN, "GATEWAY_HOST": "Models.example.com"}, "GATEWAY_HOST is no name"),
        ({**CHOSEN, "GATEWAY_HOST": "localhost"}, "GATEWAY_HOST is no name"),
        ({**CHOSEN, "GATEWAY_HOST": "https://a"}, "GATEWAY_HOST is no name"),
        ({**CHOSEN, "TLS_CERTIFICATE": "pyproject.toml"}, "belong together"),
        (
            {**CHOSEN, "TLS_CERTIFICATE": "x", "TLS_KEY": "y", "ACME_EMAIL": "z"},
            "asks for another certificate",
        ),
        (
            {**CHOSEN, "TLS_CERTIFICATE": "x.pem", "TLS_KEY": "pyproject.toml"},
            "TLS_CERTIFICATE names no file",
        ),
    ],
)
def test_settings_that_can_not_be_used_are_told(values: dict[str, str], why: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=why):
        find_gateway(values, CHECKOUT, tmp_path)


def test_the_gateway_is_chosen_by_the_compose_files(tmp_path: Path) -> None:
    assert find_gateway({}, CHECKOUT, tmp_path) is None
    assert find_gateway({"COMPOSE_FILE": "docker-compose.yml"}, CHECKOUT, tmp_path) is None
    given = {**CHOSEN, "BIND_ADDRESS": "0.0.0.0", "GATEWAY_HOST": "a.example.com"}  # noqa: S104
    found = find_gateway(given, CHECKOUT, tmp_path)
    assert found
    assert (found.host, found.bind, found.home) == ("a.example.com", "0.0.0.0", tmp_path / "gateway")  # noqa: S104


def test_in_a_container_the_certificates_of_the_host_are_not_looked_for(tmp_path: Path) -> None:
    own = {"TLS_CERTIFICATE": "/of/the/host.pem", "TLS_KEY": "/of/the/host.key"}
    assert find_gateway({**CHOSEN, **own, "CONTAINER_URL": "http://{}:8080"}, CHECKOUT, tmp_path)


def test_a_tracking_server_elsewhere_is_not_this_gateways(tmp_path: Path) -> None:
    elsewhere = {**CHOSEN, "MLFLOW_TRACKING_URI": "https://mlflow.example.com"}
    with pytest.raises(StackError, match=r"the settings name another, https://mlflow\.example\.com; remove"):
        load_config(elsewhere, tmp_path / "no.env")


@pytest.mark.parametrize(
    "uri", [None, "https://localhost:5000", "https://127.0.0.1:5000/", "https://gateway:5000"]
)
def test_clients_on_this_machine_pass_the_gateway_as_the_stacks_own_user(
    tmp_path: Path, uri: str | None
) -> None:
    shell = {"MLFLOW_TRACKING_TOKEN": "of another server", "MLFLOW_TRACKING_INSECURE_TLS": "true"}
    given = {"MLFLOW_TRACKING_URI": uri} if uri else {}
    config = load_config({**CHOSEN, **shell, **given, "STACK_HOME": str(tmp_path)}, tmp_path / "no.env")
    assert config.gateway
    config = replace(config, gateway=replace(config.gateway, directory=tmp_path))
    assert (config.tracking_url, config.elsewhere) == ("https://localhost:5000", "")
    assert config.serving_url == "https://localhost:5002"
    assert config.client == {
        "MLFLOW_TRACKING_USERNAME": "stack",
        "MLFLOW_TRACKING_PASSWORD": (tmp_path / "login").read_text(),
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(tmp_path / "gateway" / "root.crt"),
    }


def test_a_canary_gets_its_share_while_its_files_are_there(door: Door, logins: dict[str, str]) -> None:
    answer = b"of the canary"

    class Canary(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    def share(path: str) -> int:
        with door.connection(door.serving) as connection:
            told = [ask(connection, path, "POST", logins["predict"])[1] for _ in range(200)]
        return told.count(answer.decode())

    files = door.log.parent / "caddy" / "canary"
    files.mkdir()
    # Always at this port, so at an address of this process's own.
    host = f"127.1.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250 + 1}"
    with ThreadingHTTPServer((host, 8080), Canary) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert share("/invocations") == 0
        (files / "address").write_text(host)
        (files / "share").write_text("4000")  # a quarter
        assert 20 < share("/invocations") < 90
        assert share("/other") == 0
        (files / "share").unlink()
        assert share("/invocations") == 0
        server.shutdown()

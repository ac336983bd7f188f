"""A stack behind the gateway: who gets in, and that all that works without one works with it."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import urllib3
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stack.config import CHECKOUT
from stack.gateway import OVERLAY, Gateway, token
from stack.modes.processes import Process
from stack.wait import wait_until
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import CLASSES, Stack, docker, native_processes, new_stack, running

HOST = "models.example.com"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"
# What a role may do: ask for predictions, use MLflow, read the metrics of the model server.
MAY = {
    "predict": (200, 403, 403),
    "train": (200, 200, 403),
    "admin": (200, 200, 200),
    "metrics": (403, 403, 200),
}


def guarded_stack(mode: str, directories: pytest.TempPathFactory) -> Stack:
    """Describe a stack in a checkout whose .env chooses the gateway."""
    checkout = copy_checkout(directories.mktemp("checkout"))
    (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    (checkout / ".env").write_text(f"COMPOSE_FILE=docker-compose.yml:{OVERLAY}\nGATEWAY_HOST={HOST}\n")
    stack = new_stack(mode, directories.mktemp("guarded"), checkout)
    return replace(
        stack, gateway=Gateway(checkout / "gateway", Path(stack.settings["STACK_HOME"]) / "gateway", HOST)
    )


@contextmanager
def logged_in(stack: Stack, name: str, secret: str) -> Iterator[MlflowClient]:
    """Let MLflow's client in this process ask as a user."""
    assert stack.gateway is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(stack.gateway.authority))
        patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", secret)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield stack.client


@pytest.fixture(scope="module", params=["native", "docker"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring a stack up behind the gateway; MLflow's client in the tests logs in as the stack's own user."""
    if request.param == "docker":
        request.getfixturevalue("docker")
    stack = guarded_stack(request.param, tmp_path_factory)
    assert stack.gateway is not None
    with running(stack), logged_in(stack, *stack.gateway.login()):
        yield stack


@pytest.fixture(scope="module")
def secrets(guarded: Stack) -> dict[str, str]:
    """Let in a user of each role, who has its name; return their secrets."""
    found = {}
    for role in MAY:
        told = guarded.script("user", "add", role, "--role", role).stdout
        found[role] = told.partition("secret  ")[2].split()[0]
    counts(guarded, ("metrics", found["metrics"]), "/metrics", 200)
    return found


def ask(
    stack: Stack,
    server: int,
    path: str,
    login: tuple[str, str] | None,
    body: str | None = None,
    **headers: str,
) -> int:
    """Ask the tracking server (0) or the model server (1) through the gateway; return the status."""
    assert stack.gateway is not None
    url = (stack.tracking_url, stack.serving_url)[server] + path
    answer = requests.request(
        "GET" if body is None else "POST",
        url,
        data=body,
        auth=login,
        headers={"Content-Type": "application/json", **headers},
        verify=str(stack.gateway.authority),
        timeout=30,
    )
    return answer.status_code


def counts(stack: Stack, login: tuple[str, str], path: str, status: int) -> None:
    """Return when the model server gives a user that answer, which may take 3 s."""

    def other_answer() -> str | None:
        try:
            found = ask(stack, 1, path, login)
        except requests.ConnectionError as error:  # at the moment at which the gateway reads its users again
            return str(error)
        return None if found == status else f"found {found}"

    wait_until(other_answer, timeout=3)


def statuses(stack: Stack, login: tuple[str, str] | None) -> tuple[int, int, int]:
    """Return the answers to what a role may do, in the order of MAY."""
    return (
        ask(stack, 1, "/invocations", login, stack.model.request),
        ask(stack, 0, SEARCH, login),
        ask(stack, 1, "/metrics", login),
    )


def test_each_role_may_do_what_it_is_for_and_a_stranger_nothing(
    guarded: Stack, secrets: dict[str, str]
) -> None:
    assert {role: statuses(guarded, (role, secret)) for role, secret in secrets.items()} == MAY
    assert statuses(guarded, None) == (401, 401, 401)
    assert statuses(guarded, ("admin", "wrong")) == (401, 401, 401)
    assert [ask(guarded, server, "/health", None) for server in (0, 1)] == [200, 200]


def test_a_token_is_a_login_too(guarded: Stack, secrets: dict[str, str]) -> None:
    bearer = f"Bearer {token('predict', secrets['predict'])}"
    assert ask(guarded, 1, "/invocations", None, guarded.model.request, Authorization=bearer) == 200


def test_the_name_of_the_gateway_leads_to_both_servers(guarded: Stack, secrets: dict[str, str]) -> None:
    assert guarded.gateway is not None
    login = urllib3.make_headers(basic_auth=f"train:{secrets['train']}")
    for port, path, method, body in (
        (guarded.ports[0], "/api/2.0/mlflow/runs/search", "POST", '{"experiment_ids": ["0"]}'),
        (guarded.ports[1], "/invocations", "POST", guarded.model.request),
    ):
        with urllib3.HTTPSConnectionPool(
            "127.0.0.1",
            port,
            server_hostname=HOST,
            assert_hostname=HOST,
            ca_certs=str(guarded.gateway.authority),
        ) as pool:
            headers = {**login, "Host": f"{HOST}:{port}", "Content-Type": "application/json"}
            # As a browser does that shows the UI.
            headers["Origin"] = f"https://{HOST}:{guarded.ports[0]}"
            assert pool.request(method, path, body=body, headers=headers).status == 200, path


def test_a_trainer_can_log_but_not_delete_and_an_admin_can(guarded: Stack, secrets: dict[str, str]) -> None:
    with logged_in(guarded, "train", secrets["train"]) as client:
        experiment = client.create_experiment("of a trainer")
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "accuracy", 1.0)
        client.log_text(run.info.run_id, "a text", "text.txt")
        for delete, what in ((client.delete_run, run.info.run_id), (client.delete_experiment, experiment)):
            with pytest.raises(MlflowException, match="does not allow this"):
                delete(what)
        assert client.get_run(run.info.run_id).data.metrics == {"accuracy": 1.0}
    with logged_in(guarded, "admin", secrets["admin"]) as client:
        client.delete_run(run.info.run_id)
        client.delete_experiment(experiment)


def test_a_user_counts_within_seconds_and_is_gone_within_seconds(guarded: Stack) -> None:
    since = Process(Path(guarded.settings["STACK_HOME"]), "gateway").pid()
    secret = guarded.script("user", "add", "ada").stdout.partition("secret  ")[2].split()[0]

    counts(guarded, ("ada", secret), "/model", 200)
    guarded.script("user", "remove", "ada")
    counts(guarded, ("ada", secret), "/model", 401)
    if guarded.mode == "native":
        assert Process(Path(guarded.settings["STACK_HOME"]), "gateway").pid() == since


def test_the_servers_themselves_answer_the_gateway_only(guarded: Stack) -> None:
    assert guarded.gateway is not None
    if guarded.mode == "docker":
        published = {name: ports for name, ports in containers(guarded).items() if "->" in ports}
        assert list(published) == [f"{guarded.settings['COMPOSE_PROJECT_NAME']}-gateway-1"]
        assert set(re.findall(r"([\d.]+):\d+->", " ".join(published.values()))) == {"127.0.0.1"}
        return
    tracking, serving = (
        f"http://127.0.0.1:{port}" for port in (guarded.gateway.home / "ports").read_text().split()
    )
    note = Process(Path(guarded.settings["STACK_HOME"]), "serving").note().split()
    own = next(word for word in note if word.startswith("http"))
    for url in (
        f"{tracking}{SEARCH}",
        f"{tracking}/",
        f"{tracking}/ajax-api/2.0/mlflow/experiments/search?max_results=5",
        f"{serving}/metrics",
        f"{serving}/model",
        f"{own}/metrics",
    ):
        assert requests.get(url, timeout=30).status_code == 403, url
        assert requests.get(url, timeout=30, headers=guarded.gateway.headers()).status_code == 200, url
    for url in (tracking, serving, own):
        assert requests.get(f"{url}/health", timeout=30).status_code == 200
    assert requests.post(f"{serving}/invocations", guarded.model.request, timeout=30).status_code == 403
    for file in (guarded.gateway.home / "secret", guarded.gateway.directory / "login"):
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_scripts_work_as_without_a_gateway(guarded: Stack, tmp_path: Path) -> None:
    status = guarded.status()
    assert status["agree"]
    assert ("gateway", True) in [(each["name"], each["is_up"]) for each in status["services"]]
    first = guarded.aliases()["champion"]
    assert json.loads(guarded.script("predict").stdout)["predictions"] == CLASSES
    assert CLASSES[0] in guarded.script("infer", "--runid", str(guarded.version(first).run_id)).stdout
    guarded.script("train", "--force")
    candidate = guarded.aliases()["candidate"]
    guarded.script_under_requests("deploy")
    guarded.assert_settled(candidate)
    guarded.script("rollback")
    guarded.assert_settled(first)
    guarded.script("promote", candidate)
    guarded.assert_settled(candidate)
    rows = tmp_path / "rows.csv"
    split = guarded.model.split
    lines = [split["columns"], *split["data"]]
    rows.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    guarded.script("score", str(rows), str(tmp_path / "scored"))
    assert any((tmp_path / "scored").iterdir())
    assert guarded.status()["agree"]


def containers(stack: Stack) -> dict[str, str]:
    """Return the containers of the stack that run, each with the ports that it publishes."""
    only = f"--filter=label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
    listed = docker("ps", only, "--format={{.Names}}\t{{.Ports}}").splitlines()
    return dict(line.partition("\t")[::2] for line in listed)


def listening(pids: list[int]) -> set[str]:
    """Return the addresses, as /proc/net has them, at which these processes listen."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                found[f"socket:[{words[9]}]"] = words[1].partition(":")[0]
    held = {
        str(file.readlink())
        for pid in pids
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if file.is_symlink()
    }
    return {address for socket, address in found.items() if socket in held}


def test_nothing_listens_beyond_this_machine(guarded: Stack) -> None:
    if (
        guarded.mode == "native"
    ):  # with Docker, test_the_servers_themselves_answer_the_gateway_only sees to it
        assert listening(native_processes(guarded)) == {"0100007F"}


def test_a_stack_that_runs_loses_its_gateway_at_the_next_up_and_gets_it_again(guarded: Stack) -> None:
    checkout, chosen = guarded.checkout / ".env", (guarded.checkout / ".env").read_text()
    without = replace(guarded, gateway=None)
    checkout.write_text("")
    try:
        for verb in ("status", "predict", "deploy", "train", "doctor"):
            told = without.script(verb, check=False)
            assert told.returncode == 1
            assert "the stack that runs here was started with a gateway" in told.stdout + told.stderr
            assert "run ./scripts/up" in told.stdout + told.stderr
        without.up()
        without.assert_settled(
            MlflowClient(without.tracking_url).get_model_version_by_alias("iris", "champion").version
        )
        if guarded.mode == "docker":
            assert not [name for name in containers(guarded) if "gateway" in name]
        else:
            assert not Process(Path(guarded.settings["STACK_HOME"]), "gateway").is_running()
    finally:
        checkout.write_text(chosen)
    guarded.up()
    guarded.assert_settled(guarded.aliases()["champion"])
    assert guarded.status()["agree"]


# What the model does with a row that the replay does not have, where it is served.
PREDICT = "        return iris_classes("
WORSE = """        import os
        import time

        if "SERVER_PORT" in os.environ and model_input.to_numpy()[0, 0] in (97, 98, 99):
            if model_input.to_numpy()[0, 0] == 97:
                raise ValueError("no such flower")
            if model_input.to_numpy()[0, 0] == 98:
                time.sleep(0.3)
            else:
                os.kill(os.getpid(), 9)
"""


@contextmanager
def clients(stack: Stack, first_value: float, count: int = 6) -> Iterator[list[int]]:
    """Ask for predictions all the time; yield the statuses of the answers."""
    body = {
        "dataframe_split": {**stack.model.split, "data": [[first_value, *stack.model.split["data"][0][1:]]]}
    }
    statuses: list[int] = []
    over = threading.Event()

    def client(_: int) -> None:
        while not over.is_set():
            statuses.append(stack.post(json.dumps(body)).status_code)
            over.wait(0.01)

    with ThreadPoolExecutor(count) as pool:
        asking = pool.map(client, range(count))
        try:
            yield statuses
        finally:
            over.set()
    list(asking)  # raises what a client has raised


@pytest.fixture(scope="module")
def worse(guarded: Stack) -> str:
    """Register a version that passes the replay, and is worse than the champion with other rows."""
    if guarded.mode == "native":
        pytest.skip("there is no canary without Docker")
    code = guarded.checkout / "trainer" / "iris_classifier.py"
    text = code.read_text()
    code.write_text(text.replace(PREDICT, WORSE + PREDICT))
    guarded.script("train")
    code.write_text(text)
    version = guarded.aliases()["candidate"]
    guarded.client.delete_registered_model_alias(guarded.model.name, "candidate")
    return version


@pytest.mark.parametrize(
    ("value", "why", "statuses"),
    [
        (97, "more of its requests fail", {200, 500}),
        (98, "more of its requests take longer than", {200}),
        # The gateway asks the champion what a worker that ends does not answer.
        (99, "more of its requests fail", {200}),
    ],
    ids=["fails", "slow", "crashes"],
)
def test_a_canary_that_is_worse_is_withdrawn(
    guarded: Stack, worse: str, value: float, why: str, statuses: set[int]
) -> None:
    champion = guarded.aliases()["champion"]
    guarded.client.set_registered_model_alias(guarded.model.name, "candidate", worse)
    with clients(guarded, value) as seen:
        withdrawn = guarded.script("promote", worse, "--canary", "30", "--for", "5m", check=False)
        assert withdrawn.returncode == 1, withdrawn.stdout
        told = rf"version {worse} is withdrawn: {why}.* than those of version {champion}; in \d+ s,"
        new, old = (rf"version {version} got \d+ requests: \d+ failed.*" for version in (worse, champion))
        numbers = f"{told} {new}; {old}"
        assert re.search(numbers, withdrawn.stderr)
        assert set(seen) == statuses
        seen.clear()
        wait_until(lambda: None if len(seen) > 20 else "nobody was answered", timeout=60)
        assert set(seen) == {200}
    assert re.match(numbers, guarded.version(worse).tags["failure"])
    assert "candidate" not in guarded.aliases()
    guarded.assert_settled(champion)


def test_a_canary_ends_with_the_process_that_watches_it(guarded: Stack, worse: str) -> None:
    champion = guarded.aliases()["champion"]
    with clients(guarded, 5.1) as seen:
        promote = guarded.start("./scripts/promote", worse, "--canary", "50", "--for", "1h")
        assert promote.stdout is not None
        for line in promote.stdout:
            if "of 100 requests go to" in line:
                break
        time.sleep(1)
        promote.kill()
        promote.communicate()
        share = ("exec", f"{guarded.settings['COMPOSE_PROJECT_NAME']}-gateway-1", "ls", "/data/canary")
        wait_until(lambda: "share" if "share" in docker(*share).split() else None, timeout=10)
    assert set(seen) == {200}
    guarded.script("deploy")
    guarded.assert_settled(champion)


def test_a_canary_that_is_no_worse_becomes_champion(guarded: Stack, worse: str) -> None:
    champion = guarded.aliases()["champion"]
    nobody = guarded.script("promote", worse, "--canary", "50", "--for", "1s", check=False)
    assert (nobody.returncode, "too few requests to compare" in nobody.stderr) == (1, True)
    with clients(guarded, 5.1) as seen:
        promoted = guarded.script("promote", worse, "--canary", "50", "--for", "6s")
    assert set(seen) == {200}
    numbers = re.search(rf"in \d+ s, version {worse} got ([\d,]+) requests: 0 failed", promoted.stdout)
    assert numbers is not None
    assert int(numbers[1].replace(",", "")) >= 10
    guarded.assert_settled(worse)
    guarded.script("promote", champion)


def test_without_docker_a_canary_is_refused(guarded: Stack) -> None:
    if guarded.mode == "native":
        refused = guarded.script("promote", guarded.aliases()["champion"], "--canary", "10", check=False)
        assert (refused.returncode, "there is no canary without Docker" in refused.stderr) == (1, True)


def test_a_gateway_that_ends_is_started_again_or_stops_the_stack_with_a_message(guarded: Stack) -> None:
    if guarded.mode == "docker":
        name = f"{guarded.settings['COMPOSE_PROJECT_NAME']}-gateway-1"
        started = docker("container", "inspect", "--format={{.State.StartedAt}}", name)
        subprocess.run(["docker", "exec", name, "sh", "-c", "kill 1"], check=False)
        wait_until(
            lambda: (
                "the same"
                if started == docker("container", "inspect", "--format={{.State.StartedAt}}", name)
                else None
            ),
            timeout=30,
        )
        wait_until(lambda: _refused(guarded), timeout=30)
        assert guarded.status()["agree"]
        return
    home = Path(guarded.settings["STACK_HOME"])
    pid = Process(home, "gateway").pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    supervisor = Process(home, "up")
    wait_until(lambda: "running" if supervisor.is_running() else None, timeout=30)
    assert "gateway has ended by itself, so the stack is stopped" in supervisor.log.read_text()
    assert native_processes(guarded) == []
    guarded.up()
    assert guarded.status()["agree"]


def _refused(stack: Stack) -> str | None:
    try:
        return None if ask(stack, 1, "/health", None) == 200 else "not healthy"
    except requests.ConnectionError as error:
        return str(error)


def test_down_leaves_no_process_and_up_the_same_users(guarded: Stack, secrets: dict[str, str]) -> None:
    guarded.up()  # it trains, if the last version was trained of other code
    champion = guarded.aliases()["champion"]
    guarded.down()
    if guarded.mode == "native":
        assert native_processes(guarded) == []
    guarded.up()
    guarded.assert_settled(champion)
    since = time.monotonic()
    assert statuses(guarded, ("train", secrets["train"])) == MAY["train"]
    assert time.monotonic() - since < 5

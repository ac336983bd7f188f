"""PostgreSQL and S3 in both modes: what stays, what is shown, and what happens while one of them is away."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from stack.wait import wait_until
from tests.e2e.stacks import Stack, docker, new_stack, on_servers, removed, running
from tests.real_stores import running_postgres, running_s3

pytestmark = pytest.mark.thorough


@dataclass(frozen=True)
class Servers:
    """A stack on a PostgreSQL and an S3 server, and how these are crashed and started; and their secrets."""

    stack: Stack
    crash: Callable[[str], object]
    start: Callable[[str], object]
    secrets: Callable[[], list[str]]


@contextmanager
def native(directory: Path) -> Iterator[Servers]:
    with running_postgres() as database, running_s3(directory / "s3") as s3:
        stack = on_servers(new_stack("native", directory / "home"), database, s3)
        with running(stack):
            yield Servers(
                stack,
                lambda name: database.stop("immediate") if name == "database" else s3.stop(),
                lambda name: database.start() if name == "database" else s3.start(),
                lambda: [database.password, s3.secret],
            )


@contextmanager
def in_docker(directory: Path) -> Iterator[Servers]:
    stack = on_servers(new_stack("docker", directory / "home"))
    names = {
        name: f"{stack.settings['COMPOSE_PROJECT_NAME']}-{service}-1"
        for name, service in (("database", "postgres"), ("artifacts", "s3"))
    }

    def start(name: str) -> None:
        docker("start", names[name])
        healthy = ["docker", "inspect", "--format={{.State.Health.Status}}", names[name]]
        wait_until(lambda: None if docker(*healthy[1:]) == "healthy\n" else "not healthy", timeout=120)

    def secrets() -> list[str]:
        password = docker("exec", names["database"], "cut", "-d:", "-f5", "/secret/postgres")
        key = docker("exec", names["artifacts"], "sed", "-n", "s/aws_secret_access_key=//p", "/secret/s3")
        return [password.strip(), key.strip()]

    with running(stack):
        yield Servers(stack, lambda name: docker("kill", names[name]), start, secrets)


@pytest.fixture(scope="module", params=["native", "docker"])
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    if request.param == "docker":
        request.getfixturevalue("docker")
    begin = in_docker if request.param == "docker" else native
    with begin(tmp_path_factory.mktemp("stores")) as found:
        yield found


def test_no_secret_is_shown(servers: Servers) -> None:
    stack, secrets = servers.stack, servers.secrets()
    assert all(len(secret) > 16 for secret in secrets)
    shown = [stack.logs(), stack.script("status").stdout, stack.script("doctor", f"--{stack.mode}").stdout]
    shown.append(subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout)
    if stack.mode == "docker":
        only = f"--filter=label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
        shown.append(docker("inspect", *docker("ps", "--all", "--quiet", only).split()))
        images = f"--filter=reference={stack.settings['COMPOSE_PROJECT_NAME']}*"
        shown.append(docker("image", "inspect", *set(docker("images", "--quiet", images).split())))
    else:
        shown += [file.read_text() for file in Path(stack.settings["STACK_HOME"]).glob("run/*")]
    assert [secret for secret in secrets for text in shown if secret in text] == []
    assert "the database and the artifacts can be used" in shown[2]


@pytest.mark.parametrize("name", ["database", "artifacts"])
def test_a_training_in_which_a_store_dies_registers_nothing_and_names_it(servers: Servers, name: str) -> None:
    stack = servers.stack
    versions, champion = stack.versions(), stack.aliases()["champion"]
    experiment = stack.client.get_experiment_by_name(stack.model.name)
    assert experiment is not None

    def running_runs() -> list[str]:
        found = stack.client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
        return [run.info.run_id for run in found]

    before = running_runs()
    training = stack.start("./scripts/train", "--force")
    wait_until(
        lambda: None if running_runs() != before else "no run",
        timeout=300,
        alive=lambda: training.poll() is None,
    )
    training.send_signal(signal.SIGSTOP)  # it still has to log its model
    try:
        servers.crash(name)
        training.send_signal(signal.SIGCONT)
        output, _ = training.communicate(timeout=300)
        assert training.returncode == 1, output
        last = output.strip().splitlines()[-1]
        expected = "database" if name == "database" else "S3 server"
        assert expected in last, output
        assert "start it" in last
        assert requests.get(f"{stack.tracking_url}/health", timeout=30).status_code == 200
        assert stack.model.is_right(stack.predictions())
        told = stack.script("status", check=False)
        assert told.returncode == 1
        assert expected in told.stderr
    finally:
        servers.start(name)
    assert stack.versions() == versions
    assert stack.aliases()["champion"] == champion
    stack.script("train", "--force")
    assert len(stack.versions()) == len(versions) + 1
    stack.script("deploy")
    stack.assert_settled(stack.versions()[-1])


def test_down_and_up_keep_what_the_servers_have(servers: Servers) -> None:
    stack = servers.stack
    before = (stack.versions(), stack.aliases()["champion"])
    stack.down()
    stack.up()
    assert (stack.versions(), stack.aliases()["champion"]) == before
    stack.assert_settled(before[1])


def test_a_wrong_address_ends_the_start_with_a_sentence(mode: str, home: Path) -> None:
    stack = new_stack(mode, home)
    uri = "postgresql://mlflow:wrong-secret@127.0.0.1:1/mlflow"
    stack.settings["BACKEND_STORE_URI"] = uri
    with removed(stack):
        refused = stack.script("up", f"--{mode}", "--detach", check=False)
        assert refused.returncode == 1
        assert (
            "the database server 127.0.0.1:1 does not answer (Connection refused); start it" in refused.stderr
        )
        assert "wrong-secret" not in refused.stdout + refused.stderr + stack.logs()
    assert "==> what is in the database elsewhere stays" in stack.script("down", "--volumes").stdout


@pytest.fixture(params=["native", "docker"])
def mode(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker")
    return str(request.param)

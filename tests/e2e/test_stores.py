"""PostgreSQL and S3 in both modes: what stays, what is shown, and what happens while one of them is away."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from stack.config import CHECKOUT
from stack.wait import wait_until
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import Stack, docker, new_stack, on_servers, removed, running
from tests.real_stores import running_postgres, running_s3
from tests.unit import tracking_servers
from tests.unit.tracking_servers import own_config

pytestmark = pytest.mark.thorough

# The store that is crashed, and a word of each message that is to name it.
STORES = {"database": "database", "artifacts": "S3 server"}
# In the clone, a model has 60 MB more, in a file `ballast`. As long as a file HOLD is there, whoever sends or
# receives the ballast waits when it has half of it, and says so by a file HOLD.reached.
LIGHT = 'artifacts={"classifier": str(artifact)},'
HEAVY = 'artifacts={"classifier": str(artifact), "ballast": str(ballast)},'
MADE = "joblib.dump(classifier, artifact)"
MAKE = """joblib.dump(classifier, artifact)
        ballast = artifact.with_name("ballast")
        with open("/dev/urandom", "rb") as random:
            ballast.write_bytes(random.read(60_000_000))"""
HOLDING = """
import builtins, io, os, time

class Held(io.FileIO):
    def read(self, size=-1):
        self.wait()
        return super().read(size)

    def write(self, data):
        self.wait()
        return super().write(data)

    def wait(self):
        if self.tell() > 30_000_000 and os.path.exists(HOLD):
            builtin(HOLD + ".reached", "w").close()
            while os.path.exists(HOLD):
                time.sleep(0.01)

builtin = open

def opened(file, mode="r", *arguments, **options):
    is_ballast = isinstance(file, (str, os.PathLike)) and os.path.basename(file) == "ballast"
    is_whole = is_ballast and mode in ("rb", "wb")
    return Held(file, mode) if is_whole else builtin(file, mode, *arguments, **options)

builtins.open = opened
"""


@dataclass(frozen=True)
class Servers:
    """A stack on a PostgreSQL and an S3 server, and how these are crashed and started; and their secrets."""

    stack: Stack
    crash: Callable[[str], object]
    start: Callable[[str], object]
    secrets: Callable[[], list[str]]

    @property
    def hold(self) -> Path:
        """While this file is there, a command waits when it has sent or received half of the ballast."""
        return self.stack.checkout.with_name("hold")

    def held(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command, and return when it waits."""
        reached = self.hold.with_name("hold.reached")
        reached.unlink(missing_ok=True)
        self.hold.touch()
        started = self.stack.start("env", f"PYTHONPATH={self.stack.checkout / 'trainer'}", *command)
        try:
            wait_until(
                lambda: None if reached.exists() else "it does not wait",
                timeout=300,
                alive=lambda: started.poll() is None,
            )
        except BaseException:
            self.hold.unlink()
            started.kill()
            raise
        return started


def heavy_clone(directory: Path) -> Path:
    """Make a checkout with a heavy model, whose commands can be held."""
    clone = copy_checkout(directory / "clone")
    (clone / ".venv").symlink_to(CHECKOUT / ".venv")
    train = clone / "trainer" / "train.py"
    train.write_text(train.read_text().replace(LIGHT, HEAVY).replace(MADE, MAKE))
    hold = f"HOLD = {str(directory / 'hold')!r}\n{HOLDING}"
    (clone / "trainer" / "sitecustomize.py").write_text(hold)
    return clone


@contextmanager
def native(directory: Path) -> Iterator[Servers]:
    with running_postgres() as database, running_s3(directory / "s3") as s3:
        stack = on_servers(new_stack("native", directory / "home", heavy_clone(directory)), database, s3)
        with running(stack):
            yield Servers(
                stack,
                lambda name: database.stop("immediate") if name == "database" else s3.stop(),
                lambda name: database.start() if name == "database" else s3.start(),
                lambda: [database.password, s3.secret],
            )


@contextmanager
def in_docker(directory: Path) -> Iterator[Servers]:
    stack = on_servers(new_stack("docker", directory / "home", heavy_clone(directory)))
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


@dataclass(frozen=True)
class Crash:
    """A store that has crashed while a command was held."""

    servers: Servers
    name: str

    def check(self, command: "subprocess.Popen[str]") -> None:
        """Check that the command fails and names the store, and that right answers go on."""
        stack, expected = self.servers.stack, STORES[self.name]
        assert command.stdout is not None
        output = command.stdout.read()
        assert command.wait() == 1, output
        last = output.strip().splitlines()[-1]
        assert expected in last, output
        assert "start it" in last
        assert requests.get(f"{stack.tracking_url}/health", timeout=30).status_code == 200
        assert stack.model.is_right(stack.predictions())
        told = stack.script("status", check=False)
        assert told.returncode == 1
        assert expected in told.stderr


@contextmanager
def crashed(servers: Servers, name: str, command: "subprocess.Popen[str]") -> Iterator[Crash]:
    """Crash a store while a command is held; start it at the end."""
    try:
        servers.crash(name)
        if servers.hold.exists():
            servers.hold.unlink()
        else:
            command.send_signal(signal.SIGCONT)
        yield Crash(servers, name)
    finally:
        servers.hold.unlink(missing_ok=True)
        command.kill()
        servers.start(name)


def begun_training(servers: Servers) -> "subprocess.Popen[str]":
    """Start a training, and stop it when it has a run, and no model yet."""
    stack = servers.stack
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
    training.send_signal(signal.SIGSTOP)
    return training


def in_both(moments: list[tuple[str, str]], with_docker: set[tuple[str, str]]) -> pytest.MarkDecorator:
    """Let a test run at these moments, each with a store, natively; and with Docker at some of them."""
    cases = [("native", *case) for case in moments] + [
        ("docker", *case) for case in moments if case in with_docker
    ]
    return pytest.mark.parametrize(("servers", "moment", "name"), cases, indirect=["servers"])


@in_both(
    [(moment, name) for moment in ("training", "upload") for name in STORES],
    {("training", "database"), ("upload", "artifacts")},
)
def test_a_training_in_which_a_store_dies_registers_nothing_and_names_it(
    servers: Servers, moment: str, name: str
) -> None:
    stack = servers.stack
    versions, champion = stack.versions(), stack.aliases()["champion"]
    is_upload = moment == "upload"
    training = servers.held("./scripts/train", "--force") if is_upload else begun_training(servers)
    with crashed(servers, name, training) as crash:
        crash.check(training)
    assert stack.versions() == versions
    assert stack.aliases()["champion"] == champion
    stack.script("train", "--force")
    assert len(stack.versions()) == len(versions) + 1
    stack.script("deploy")
    stack.assert_settled(stack.versions()[-1])


def deployment_stopped_at(servers: Servers, line: str) -> "subprocess.Popen[str]":
    """Start a deployment, and stop it when it says that."""
    deployment = servers.stack.start("./scripts/deploy")
    assert deployment.stdout is not None
    said = []
    for each in deployment.stdout:
        said.append(each)
        if each.startswith(line):
            deployment.send_signal(signal.SIGSTOP)
            return deployment
    raise AssertionError("".join(said))


@in_both(
    [
        ("fetch", "database"),
        ("fetch", "artifacts"),
        # What comes after the fetch needs no bucket.
        ("baking", "database"),
        ("starting to serve", "database"),
    ],
    {("fetch", "artifacts"), ("starting to serve", "database")},
)
def test_a_deployment_in_which_a_store_dies_names_it_and_another_one_goes_on(
    servers: Servers, moment: str, name: str
) -> None:
    stack = servers.stack
    champion = stack.aliases()["champion"]
    stack.script("train", "--force")
    candidate = stack.aliases()["candidate"]
    is_fetch = moment == "fetch"
    deployment = servers.held("./scripts/deploy") if is_fetch else deployment_stopped_at(servers, moment)
    with crashed(servers, name, deployment) as crash:
        crash.check(deployment)
    assert stack.aliases() == {**stack.aliases(), "champion": champion, "candidate": candidate}
    stack.script("deploy")
    stack.assert_settled(candidate)


def test_down_and_up_keep_what_the_servers_have(servers: Servers) -> None:
    stack = servers.stack
    before = (stack.versions(), stack.aliases()["champion"])
    stack.down()
    stack.up()
    assert (stack.versions(), stack.aliases()["champion"]) == before
    stack.assert_settled(before[1])


@pytest.fixture
def cleared(tmp_path: Path) -> Iterator[Path]:
    """Make a directory that is gone after the test: pytest keeps those of three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_a_gigabyte_goes_up_and_down_through_the_server_in_bounded_memory(cleared: Path) -> None:
    file, block = cleared / "large", 2**22
    with file.open("wb") as large:
        for _ in range(2**30 // block):
            large.write(os.urandom(block))

    def digest(path: Path) -> str:
        with path.open("rb") as large:
            return hashlib.file_digest(large, "sha256").hexdigest()

    with running_s3(cleared / "s3") as s3:
        config = own_config(cleared / "home", s3.settings())
        with tracking_servers.running(config) as parts:
            (server,) = parts.process("tracking").members()
            client = MlflowClient(config.own_tracking_url)
            peak_memory(server)
            run = client.create_run("0").info.run_id
            client.log_text(run, "small", "small")
            before = peak_memory(server)
            client.log_artifact(run, str(file))
            up = peak_memory(server)
            found = Path(client.download_artifacts(run, file.name, str(cleared / "home")))
            down = peak_memory(server)
            assert digest(found) == digest(file)
    print(f"memory: {before:.0f} MB before, at most {up:.0f} in the upload, {down:.0f} in the download")
    assert max(up, down) - before < 300


def peak_memory(pid: int) -> float:
    """Return the most that a process has held since this was last asked [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): the peak begins anew
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


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


@pytest.mark.usefixtures("docker")
def test_down_with_volumes_deletes_the_data_of_a_store_that_is_not_chosen_any_more(home: Path) -> None:
    stack = new_stack("docker", home)
    only = f"label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
    on_servers(stack).compose("create", "postgres", "s3")
    assert docker("volume", "ls", "--quiet", f"--filter={only}")
    stack.down("--volumes")
    assert docker("volume", "ls", "--quiet", f"--filter={only}") == ""

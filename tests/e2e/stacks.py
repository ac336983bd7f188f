"""Real stacks for the tests, each with its own ports, state and project name, and both with one face."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from stack.config import CHECKOUT
from stack.gateway import Gateway
from stack.modes.engine_error import why_no_engine
from stack.modes.processes import processes_with
from tests.conftest import two_free_ports
from tests.real_stores import S3, Postgres

LIMIT = 600


@dataclass(frozen=True)
class ModelExample:
    """A model of this repository, and what it answers to its example request."""

    name: str
    directory: str
    metric: str
    answers: list[Any]

    @property
    def request(self) -> str:
        return (CHECKOUT / self.directory / "example.json").read_text()

    @property
    def split(self) -> dict[str, Any]:
        split: dict[str, Any] = json.loads(self.request)["dataframe_split"]
        return split

    def is_right(self, answers: list[Any]) -> bool:
        return bool(answers == pytest.approx(self.answers))


# For a test of the fixture `stack` to which it does not matter what the stack's model is.
one_model = pytest.mark.parametrize("stack", ["native", "docker"], indirect=True)

CLASSES = ["setosa", "versicolor", "virginica"]
IRIS = ModelExample("iris", "trainer", "accuracy", CLASSES)
DIABETES = ModelExample(
    "diabetes", "examples/diabetes", "mean_absolute_error", [203.2148957406016, 71.04703713790107]
)
EXAMPLE = IRIS.request


def can_not_run(reason: str) -> NoReturn:
    """Skip the test, or fail it where the machine was set up to run it."""
    if os.environ.get("MISSING_MEANS_FAILED"):
        pytest.fail(reason)
    pytest.skip(reason)


def missing_docker() -> str:
    """Say why there can be no Docker tests here; empty if there can be."""
    if error := why_no_engine():
        return str(error)
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0:
        return "Docker has no Compose plugin"
    return ""


@dataclass(frozen=True)
class Stack:
    """One stack: its addresses, and the ways in which a user works with it; a gateway may be before it."""

    mode: str
    ports: tuple[int, int]
    settings: dict[str, str]
    model: ModelExample = IRIS
    checkout: Path = CHECKOUT
    shell: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    gateway: Gateway | None = None

    @property
    def tracking_url(self) -> str:
        return self._url(self.ports[0])

    @property
    def serving_url(self) -> str:
        return self._url(self.ports[1])

    def _url(self, port: int) -> str:
        return f"https://localhost:{port}" if self.gateway else f"http://127.0.0.1:{port}"

    @property
    def environment(self) -> dict[str, str]:
        return {**self.shell, **self.settings}

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking_url)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}{self.logs()}"
            )
        return done

    def start(self, *command: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        """Start a command, and leave it running; its output can be read."""
        return subprocess.Popen(
            command,
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def script(self, name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(f"./scripts/{name}", *arguments, check=check)

    def script_under_requests(self, name: str, *arguments: str, may_pause: bool = False) -> str:
        """Run a script while asking for predictions, each on a connection of its own; return what it printed.

        Each answer must be right. Only if it ``may_pause``, one server stops before the next one starts.
        """
        process = self.start(f"./scripts/{name}", *arguments)
        count = 0
        try:
            while process.poll() is None:
                try:
                    assert self.model.is_right(self.predictions())
                    count += 1
                except requests.ConnectionError:
                    assert may_pause
                time.sleep(0.01)
        finally:
            output, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, output
        assert count > 0
        return output

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.run("docker", "compose", *arguments, check=check).stdout

    def up(self) -> None:
        self.script("up", f"--{self.mode}", "--detach")

    def down(self, *arguments: str) -> None:
        self.script("down", *arguments)

    def post(self, body: str | bytes, content_type: str = "application/json") -> requests.Response:
        """Ask for predictions; behind a gateway, as the stack's own user."""
        headers, login = {"Content-Type": content_type}, self.gateway.login() if self.gateway else None
        verified_by = str(self.gateway.authority) if self.gateway else True
        url = f"{self.serving_url}/invocations"
        return requests.post(url, data=body, headers=headers, timeout=30, auth=login, verify=verified_by)

    def predictions(self) -> Any:  # noqa: ANN401
        answer = self.post(self.model.request)
        assert answer.status_code == 200, answer.text
        return answer.json()["predictions"]

    def aliases(self) -> dict[str, str]:
        return dict(self.client.get_registered_model(self.settings["MODEL_NAME"]).aliases)

    def version(self, number: str) -> ModelVersion:
        return self.client.get_model_version(self.settings["MODEL_NAME"], number)

    def versions(self) -> list[str]:
        found = self.client.search_model_versions(f"name='{self.settings['MODEL_NAME']}'")
        return sorted((str(version.version) for version in found), key=int)

    def status(self) -> dict[str, Any]:
        """Return what ./scripts/status finds, and check that its exit status says whether all agree."""
        shown = self.script("status", "--json", check=False)
        found: dict[str, Any] = json.loads(shown.stdout)
        assert shown.returncode == (0 if found["agree"] else 1)
        assert (shown.stderr == "") == found["agree"]
        return found

    def assert_settled(self, champion: str) -> None:
        """Check, by MLflow's API and by HTTP, what holds whenever a deployment has ended well."""
        assert self.aliases()["champion"] == champion
        tags = self.version(champion).tags
        assert tags["replay"].startswith("passed")
        assert datetime.fromisoformat(tags["deployed_at"]) <= datetime.now(UTC)
        assert "failure" not in tags
        assert self.model.is_right(self.predictions())
        if self.mode == "docker":
            project, model = self.settings["COMPOSE_PROJECT_NAME"], self.settings["MODEL_NAME"]
            running = docker(
                "ps", "--all", "--no-trunc", "--format={{.Names}}", f"--filter=name=^{project}-"
            ).split()
            # Its number is the next one where each new one is started beside the old one, behind a gateway.
            [serving] = [name for name in running if name.startswith(f"{project}-serving-")]
            assert not [name for name in running if "trial" in name or "deploying" in name]
            image, identity = docker(
                "container", "inspect", "--format={{.Config.Image}} {{.Image}}", serving
            ).split()
            assert (image, identity) == (f"{project}/{model}:{champion}", tags["image_id"])
        else:
            commands = [Path(f"/proc/{pid}/environ").read_bytes() for pid in native_processes(self)]
            served = {
                word for command in commands for word in command.split(b"\0") if b"pyfunc_model_path" in word
            }
            home, model = self.settings["STACK_HOME"], self.settings["MODEL_NAME"]
            assert served == {f"__pyfunc_model_path__={home}/models/{model}/{champion}".encode()}

    def deployment_log(self) -> str:
        """Return what the part `deploy` has printed in its last run."""
        if self.mode == "native":
            return (Path(self.settings["STACK_HOME"]) / "logs" / "deploy.log").read_text()
        name = f"{self.settings['COMPOSE_PROJECT_NAME']}-deploy-1"
        started = docker("container", "inspect", "--format={{.State.StartedAt}}", name).strip()
        return docker("logs", f"--since={started}", name)

    def logs(self) -> str:
        if self.mode == "docker":
            shown = subprocess.run(
                ["docker", "compose", "logs", "--no-color"],
                cwd=self.checkout,
                env=self.environment,
                capture_output=True,
                text=True,
            )
            return shown.stdout
        logs = sorted(Path(self.settings["STACK_HOME"]).glob("logs/*.log"))
        return "".join(f"--- {log.name}\n{log.read_text(errors='replace')}" for log in logs)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def native_processes(stack: Stack) -> list[int]:
    """Return the ids of the processes that have this stack's STACK_HOME."""
    return processes_with("STACK_HOME", stack.settings["STACK_HOME"])


def new_stack(mode: str, home: Path, checkout: Path = CHECKOUT, model: ModelExample = IRIS) -> Stack:
    """Describe a stack that nobody else uses; nothing is started. Without Docker, it can reach no engine."""
    ports = two_free_ports()
    name = f"test-{uuid.uuid4().hex[:8]}"
    no_engine = {} if mode == "docker" else {"DOCKER_HOST": "unix:///nonexistent"}
    return Stack(
        mode=mode,
        shell=dict(os.environ) | no_engine,
        ports=ports,
        model=model,
        checkout=checkout,
        settings={
            "COMPOSE_PROJECT_NAME": name,
            "STACK_HOME": str(home),
            "TRACKING_PORT": str(ports[0]),
            "SERVING_PORT": str(ports[1]),
            "MODEL_NAME": model.name,
            "MODEL_DIR": model.directory,
            "SERVER_CORS_ORIGINS": f"http://127.0.0.1:{ports[0]}",
        },
    )


# What says that a stack has its data on servers.
SERVERS = ("COMPOSE_FILE", "BACKEND_STORE_URI", "ARTIFACTS_DESTINATION", "S3_ENDPOINT_URL")


def on_servers(stack: Stack, database: Postgres | None = None, s3: S3 | None = None) -> Stack:
    """Return the stack with its data in PostgreSQL and S3: those given, or those that Docker brings."""
    files = "docker-compose.yml:compose/postgres.yml:compose/s3.yml"
    own = (
        {"BACKEND_STORE_URI": database.uri(), **s3.settings()} if database and s3 else {"COMPOSE_FILE": files}
    )
    return replace(stack, settings={**stack.settings, **own})


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """Bring the stack up, and take it down with all that it left on the machine."""
    with removed(stack):
        stack.up()
        yield stack


@contextmanager
def removed(stack: Stack) -> Iterator[None]:
    """Take the stack down at the end, with its data and images; show its logs if the test failed."""
    try:
        yield
    except BaseException:
        print(stack.logs())
        raise
    finally:
        stack.down("--volumes")
        if stack.mode == "docker":
            remove_images(stack)
            only = f"--filter=label=com.docker.compose.project={stack.settings['COMPOSE_PROJECT_NAME']}"
            assert docker("network", "ls", "--quiet", only) == ""


def remove_images(stack: Stack) -> None:
    project = stack.settings["COMPOSE_PROJECT_NAME"]
    listed = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split() if name.startswith((f"{project}-", f"{project}/"))]
    if names:
        subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=True)

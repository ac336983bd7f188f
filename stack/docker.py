"""How a version is baked and served with Docker: an image by MLflow's build-docker, a Compose service.

How the other parts are started with Docker, docker-compose.yml says.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from stack.config import CHECKOUT, Config
from stack.engine import (
    Lock,
    containers,
    engine_answers,
    find_image,
    moment,
    publishes_late,
    run,
    volume_made_at,
    watch,
)
from stack.errors import StackError
from stack.mode import Check, Served, Service, nothing
from stack.wait import not_healthy, wait_until

_HEALTHY_WITHIN = 120  # seconds
_BEGUN_WITHIN = 10  # seconds
_STARTED_TOGETHER = timedelta(seconds=5)
# The tag, beside its version's, of the image that was served last.
_LAST_SERVED = "live"
_SERVICES = ("tracking", "trainer", "deploy", "serving")


def base_image(config: Config) -> str:
    """Name the image that holds Python and the locked packages; models are baked onto it."""
    return f"{config.project}-base"


def python_image() -> str:
    """Name the image that the Dockerfile's images start from."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert found  # noqa: S101 - tests/unit/test_repository.py sees to it
    return found[1]


def network(config: Config) -> str:
    """Name the network that Compose makes for the stack."""
    return f"{config.project}_default"


def image(config: Config, version: str) -> str:
    """Name the image of one model version."""
    return f"{config.project}/{config.model_name}:{version}"


def compose_command(config: Config, *arguments: str) -> list[str]:
    """Build the command line of a Compose command on this stack."""
    return [
        "docker",
        "compose",
        f"--project-name={config.project}",
        f"--project-directory={CHECKOUT}",
        *arguments,
    ]


def start_command(config: Config, service: str, how: str = "--detach") -> list[str]:
    """Build the command line that starts `serving` or `trial` anew; it is not waited for.

    ``how`` may also be ``--no-start``: then it is only made.
    """
    alone = ("--no-deps", "--force-recreate", f"--scale={service}=1")
    return compose_command(config, "up", how, *alone, service)


def cut_off_commands(config: Config, container: str) -> list[list[str]]:
    """Build the command lines that start a container which is in the stack's network without any."""
    return [
        ["docker", "network", "disconnect", network(config), container],
        ["docker", "network", "connect", "none", container],
        ["docker", "start", container],
    ]


def let_in_commands(config: Config, container: str) -> list[list[str]]:
    """Build the command lines that put it back: then, too, its ports are published."""
    return [
        ["docker", "network", "disconnect", "none", container],
        ["docker", "network", "connect", "--alias=serving", network(config), container],
    ]


def build_command(name: str, platform: str, context: str) -> list[str]:
    """Build the command line of a bake: build-docker's, but for a platform of ours, and without a network."""
    options = (f"--platform={platform}", "--network=none", f"--tag={name}", f"--file={context}/Dockerfile")
    return ["docker", "build", *options, context]


def lock_name(config: Config) -> str:
    """Name the container that is there while a deployment is at work."""
    return f"{config.project}-deploying"


def lock_command(config: Config) -> list[str]:
    """Build the command line of that container: it writes what it reads, until its input ends."""
    options = ("--rm", "--interactive", "--pull=never", "--network=none", "--entrypoint=cat")
    return ["docker", "run", *options, f"--name={lock_name(config)}", base_image(config)]


def compose_environment(config: Config, version: str, image_id: str = "") -> dict[str, str]:
    """Return the values that docker-compose.yml fills in, for one version of the model."""
    return {
        **config.server,
        "IMAGE_ID": image_id,
        "MODEL_NAME": config.model_name,
        "MODEL_VERSION": version,
        "TRACKING_PORT": str(config.tracking_port),
        "SERVING_PORT": str(config.serving_port),
    }


@dataclass(frozen=True)
class Docker:
    """Bakes an image, and serves it as the Compose service `serving`."""

    config: Config

    def bake(self, version: str) -> None:
        """Make the version's image with MLflow's build-docker; it gets its tag only when it is complete.

        MLflow's tracking URI must be set.
        """
        from mlflow.models import build_docker

        base, name = base_image(self.config), image(self.config, version)
        found, replaced = find_image(base), find_image(name)
        if not found:
            raise StackError(f"the image {base} to bake on does not exist; run: docker compose build")

        def build(context_dir: str, image_name: str, _network: str | None = None) -> None:
            built = run(build_command(image_name, found.platform, context_dir))
            if built.returncode != 0:
                raise StackError(_told_by_build(image_name, built.stdout + built.stderr))

        model_uri = f"models:/{self.config.model_name}/{version}"
        with _building_by(build):
            build_docker(model_uri, name, env_manager="local", base_image=base)
        made = find_image(name)
        if replaced and made and made.identity != replaced.identity:
            # It would stay as a nameless image. Docker refuses while a container still needs it.
            run(["docker", "image", "rm", replaced.identity])

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other deployments away, on this machine or in the service `deploy`."""
        is_on_host = self.config.container_url is None
        if is_on_host and not engine_answers():
            raise StackError("no Docker engine answers; start it, or use --native")
        lock = Lock(lock_name(self.config), lock_command(self.config))
        lock.acquire()
        try:
            yield
        finally:
            with suppress(StackError):  # an engine that has ended; what ended the deployment says more
                self.clean_up()
            lock.release()

    def clean_up(self) -> None:
        """Remove the containers of a version that was tried out by a deployment which has ended."""
        self._remove([*self._containers("trial"), *self._cut_off()])

    def image_id(self, version: str) -> str:
        """Return the id of the version's image; nothing if its base image is not that of today."""
        found, base = find_image(image(self.config, version)), find_image(base_image(self.config))
        below = base.layers if base else []
        return found.identity if found and found.layers[: len(below)] == below else ""

    @contextmanager
    def trial(self, version: str) -> Iterator[str]:
        """Run the version's image as the Compose service `trial`, which is `serving` on another port.

        Where nothing is served, `serving` is started, too, and loads the model meanwhile; without a network,
        so that nobody can ask it before it is let in. `trial` is removed when the deployment ends: to do so
        right away would keep the switch waiting.
        """
        with ThreadPoolExecutor() as pool:
            ahead = pool.submit(self._start_cut_off, version)
            yield self._start("trial", version)
            ahead.result()

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve the version's image as the Compose service `serving`."""
        try:
            if not self._let_in(version, check):
                check(self._start("serving", version))
        except StackError:
            self._remove(self._containers("serving"))
            raise
        run(["docker", "tag", image(self.config, version), image(self.config, _LAST_SERVED)])

    def served(self) -> Served | None:
        """Return what the container of `serving` runs; its image says which version it is."""
        containers = [
            found
            for found in self._containers("serving")
            if found["State"]["Running"] and not self._is_cut_off(found)
        ]
        if len(containers) != 1:  # 2 where a deployment was killed while it replaced one by another
            return None
        name, _, version = containers[0]["Config"]["Image"].partition("/")[2].rpartition(":")
        is_healthy = not_healthy(self._url("serving")) is None
        return Served(name, version, containers[0]["Image"], is_healthy)

    def last_served(self) -> str | None:
        """Return the version whose image has the tag `live`, unless the data have been deleted since."""
        last = find_image(image(self.config, _LAST_SERVED))
        data_since = volume_made_at(f"{self.config.project}_mlflow")
        if last is None or data_since is None or last.named_at < data_since:
            return None
        versions = [name.rpartition(":")[2] for name in last.names]
        return next((it for it in versions if it.isdigit() and self.image_id(it) == last.identity), None)

    def baked_versions(self) -> list[str]:
        """Return the versions that there are images of."""
        name = image(self.config, "")[:-1]
        tags = run(["docker", "image", "ls", "--format={{.Tag}}", name]).stdout.split()
        return [tag for tag in tags if tag.isdigit()]

    def discard(self, version: str) -> None:
        """Remove the version's image, unless a container was made from it, by whomever."""
        name = image(self.config, version)
        if not run(["docker", "ps", "--all", "--quiet", f"--filter=ancestor={name}"]).stdout.strip():
            run(["docker", "image", "rm", name])

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when the container of the service `trainer` has ended; Compose starts it beside `deploy`."""
        with suppress(StackError):
            wait_until(self._training_to_begin, timeout=_BEGUN_WITHIN, on_wait=on_wait)
        training = [found["Id"] for found in self._containers("trainer") if found["State"]["Running"]]
        if training:
            with watch(training) as runs:
                wait_until(lambda: "training" if runs() else None, timeout=math.inf, on_wait=on_wait)

    def _training_to_begin(self) -> str | None:
        """Say that the trainer has not been started since `deploy` was, a moment before or after it."""
        trainer, deploy = self._containers("trainer"), self._containers("deploy")
        if not trainer or not deploy:
            return None
        started, own = (moment(found[0]["State"]["StartedAt"]) for found in (trainer, deploy))
        return "not started" if started < own - _STARTED_TOGETHER else None

    def services(self) -> list[Service]:
        """Return the state of each service's container."""
        return [self._service(name) for name in _SERVICES]

    def _service(self, name: str) -> Service:
        containers = self._containers(name)
        if not containers:
            return Service(name, False, "not there", None)
        state = containers[-1]["State"]
        if state["Status"] == "created":
            return Service(name, False, "not started", None)
        if not state["Running"]:
            return Service(name, False, f"exited {state['ExitCode']}", moment(state["FinishedAt"]))
        if self._is_cut_off(containers[-1]):
            return Service(name, False, "loading", moment(state["StartedAt"]))
        return Service(name, True, state.get("Health", {}).get("Status", "up"), moment(state["StartedAt"]))

    def _containers(self, service: str) -> list[dict[str, Any]]:
        return containers(
            f"com.docker.compose.project={self.config.project}",
            f"com.docker.compose.service={service}",
            "com.docker.compose.oneoff=False",
        )

    def _start(self, service: str, version: str) -> str:
        """Return the URL at which it answers."""
        environment = compose_environment(self.config, version, self.image_id(version))
        started = run(start_command(self.config, service), environment)
        if started.returncode != 0:
            raise self._not_started(service, version, started.stderr)
        try:
            return self._wait_healthy(service)
        except StackError as error:
            raise self._not_started(service, version, str(error)) from error

    def _wait_healthy(self, service: str) -> str:
        """Return the URL at which it answers."""
        url = self._url(service)
        # Compose's --wait takes up to a second more: it asks twice a second, and so does the health check.
        with watch([found["Id"] for found in self._containers(service)]) as runs:
            wait_until(lambda: not_healthy(url), timeout=_HEALTHY_WITHIN, alive=runs)
        return url

    def _start_cut_off(self, version: str) -> None:
        """Make `serving`, unless it is there, and start it without a network.

        Where that is not to be had, it is started as it always is, when it is to be served: also where the
        user has given it networks of its own, or a name or an address in the stack's.
        """
        if self._containers("serving") or not publishes_late():
            return
        environment = compose_environment(self.config, version, self.image_id(version))
        run(start_command(self.config, "serving", "--no-start"), environment)
        for made in self._containers("serving"):
            is_usual = _has_only(made, network(self.config))
            if not (is_usual and _succeed(cut_off_commands(self.config, made["Id"]))):
                self._remove([made])

    def _let_in(self, version: str, check: Check) -> bool:
        """Serve the container that has loaded this version without a network; False if there is none.

        Or if it can't be served like this: a model may need the network to be loaded.
        """
        for found in self._cut_off():
            state = (found["State"]["Restarting"], found["RestartCount"])
            expected = (image(self.config, version), self.image_id(version), False, 0)
            is_right = (found["Config"]["Image"], found["Image"], *state) == expected
            if is_right and _succeed(let_in_commands(self.config, found["Id"])):
                with suppress(StackError):
                    check(self._wait_healthy("serving"))
                    return True
        return False

    def _cut_off(self) -> list[dict[str, Any]]:
        return [found for found in self._containers("serving") if self._is_cut_off(found)]

    def _is_cut_off(self, container: Mapping[str, Any]) -> bool:
        """Whether a container of `serving` was made to load its model, and not been let in."""
        own = network(self.config)
        is_ours = container["HostConfig"]["NetworkMode"] == own
        return is_ours and own not in container["NetworkSettings"]["Networks"]

    def _url(self, service: str) -> str:
        if self.config.container_url:
            return self.config.container_url.format(service)
        if service == "serving":
            return self.config.serving_url
        command = compose_command(self.config, "port", service, "8080")
        return f"http://{run(command, compose_environment(self.config, 'none')).stdout.strip()}"

    def _not_started(self, service: str, version: str, why: str) -> StackError:
        environment = compose_environment(self.config, version)
        log = run(compose_command(self.config, "logs", "--no-color", "--tail=20", service), environment)
        return StackError(
            f"{image(self.config, version)} did not become healthy as {service}; its log ends:\n"
            f"{log.stdout}{why}"
        )

    def _remove(self, containers: list[dict[str, Any]]) -> None:
        if containers:
            run(["docker", "rm", "--force", *(container["Id"] for container in containers)])


def _succeed(commands: list[list[str]]) -> bool:
    """Run the commands, up to the first that fails; whether none did."""
    return all(run(command).returncode == 0 for command in commands)


def _has_only(container: Mapping[str, Any], network: str) -> bool:
    """Whether a container has this network as Compose gives it, and nothing else."""
    networks = container["NetworkSettings"]["Networks"]
    if list(networks) != [network]:
        return False
    endpoint = networks[network]
    names = {"serving", container["Name"].removeprefix("/"), container["Id"][:12]}
    others = [endpoint.get(key) for key in ("IPAMConfig", "Links", "DriverOpts", "MacAddress")]
    return set(endpoint.get("Aliases") or []) <= names and not any(others)


@contextmanager
def _building_by(build: Callable[[str, str, str | None], None]) -> Iterator[None]:
    """Let build-docker's last step, `docker build`, be this one: its own is always for linux/amd64."""
    from mlflow.models import docker_utils

    mlflows = docker_utils.build_image_from_context
    docker_utils.build_image_from_context = build  # type: ignore[assignment]
    try:
        yield
    finally:
        docker_utils.build_image_from_context = mlflows


def _told_by_build(name: str, output: str) -> str:
    lines = [line for line in output.splitlines() if "Requirement already satisfied" not in line]
    return (
        "\n    ".join([f"baking {name} failed. The end of Docker's output:", *lines[-60:]])
        + "\nIf pip found no matching distribution, the lock lacks a package that the model needs:"
        "\nadd it to pyproject.toml, and run ./scripts/upgrade PACKAGE"
    )

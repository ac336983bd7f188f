"""How a version is baked and served with Docker: an image by MLflow's build-docker, a Compose service.

docker-compose.yml says how the other parts are started.
"""

import math
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from stack.cluster import Cluster
from stack.config import CHECKOUT, SERVER_SETTINGS, Config
from stack.errors import StackError
from stack.gateway import OVERLAY
from stack.mlflow_internals import building_by
from stack.modes import at_stores, docker_environment, docker_spark
from stack.modes.answering import answer_command, answered
from stack.modes.build_error import BAKING, docker_error
from stack.modes.compose import (
    VERSION,
    answering_name,
    compose_command,
    read_files,
    service_containers,
    service_names,
    trial_name,
)
from stack.modes.docker_environment import base_image, base_python, environment_image, lies_on
from stack.modes.door import splitting
from stack.modes.engine import (
    Image,
    Lock,
    container_log,
    containers,
    find_image,
    image_names,
    moment,
    remove_replaced,
    run,
    volume_made_at,
    watch,
)
from stack.modes.environment import Environment
from stack.modes.memory import is_free
from stack.modes.mode import (
    LOG_LINES,
    AtStores,
    Check,
    ScoredPaths,
    Scorer,
    Served,
    Service,
    Unneeded,
    nothing,
)
from stack.modes.overrides import check_files
from stack.wait import not_healthy, wait_until

_HEALTHY_WITHIN = 120  # seconds
_BEGUN_WITHIN = 10  # seconds
_PORT = 8080
_STARTED_TOGETHER = timedelta(seconds=5)
# The tag, beside its version's, of the image that was served last.
_LAST_SERVED = "live"
# Where build-docker puts the model in an image.
_MODEL = "/opt/ml/model"
# In a container that scores: the checkout's serving/, and what can be written besides OUTPUT.
_SCORER, _SCRATCH = "/opt/scorer", "/opt/scratch"
# What a mount would hide that the scorer needs.
_OF_IMAGE = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"),
    *("/opt/ml", "/opt/pyfunc-stack", "/opt/spark", _SCORER, _SCRATCH),
)


def image(config: Config, version: str) -> str:
    """Name the image of one model version."""
    return f"{config.project}/{config.model_name}:{version}"


def start_command(config: Config, *options: str, count: int = 1) -> list[str]:
    """Build the command line that starts only `serving`, ``count`` times, without waiting for it."""
    scale = f"--scale=serving={count}"
    return compose_command(config, "up", "--detach", "--no-deps", scale, *options, "serving")


def trial_command(config: Config) -> list[str]:
    """Build the command line that starts `serving` once more, beside the service, on a port of its own."""
    options = ("--detach", "--no-deps", "--no-TTY", "--interactive=false", f"--name={trial_name(config)}")
    published = () if config.gateway else ("--publish=127.0.0.1::8080",)
    return compose_command(config, "run", *options, *published, "serving")


def build_command(name: str, platform: str, context: str) -> list[str]:
    """Build the command line of a bake: like build-docker's, but for our platform and without a network."""
    options = (f"--platform={platform}", "--network=none", f"--tag={name}", f"--file={context}/Dockerfile")
    return ["docker", "build", *options, context]


def without_steps(dockerfile: str) -> str:
    """Leave out what build-docker's Dockerfile runs: it installs, and all that is needed is there already."""
    return "\n".join(line for line in dockerfile.splitlines() if not line.startswith("RUN ")) + "\n"


def let_all_read(directory: Path) -> None:
    """Let every user read what is in a directory: the image's user is another than the one who bakes."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def lock_name(config: Config) -> str:
    """Name the container that exists while a deployment runs."""
    return f"{config.project}-deploying"


def lock_command(config: Config) -> list[str]:
    """Build the command line of that container: it echoes its input until that ends."""
    options = ("--rm", "--interactive", "--pull=never", "--network=none", "--entrypoint=cat")
    return ["docker", "run", *options, f"--name={lock_name(config)}", base_image(config)]


def answering_command(config: Config, on: str) -> list[str]:
    """Build the command line that makes this container on an image, and does not start it.

    It reaches nothing or, with SERVING_NETWORK=open, the outside, but not the tracking server. The values of
    the model's own variables come from the environment of the command.
    """
    network = "bridge" if config.serving_network == "open" else "none"
    confined = (f"--network={network}", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
    bounded = ("--pids-limit=4096", "--log-driver=none", "--pull=never")
    own = (f"--env={name}" for name in config.model_environment)
    name, model = f"--name={answering_name(config)}", answer_command("python", _MODEL)
    return ["docker", "create", "--interactive", *confined, *bounded, *own, name, on, *model]


def scoring_user(security_options: str) -> str:
    """Name the user whose files are ours on this machine; a rootless engine calls that one root."""
    return "0:0" if "rootless" in security_options else f"{os.getuid()}:{os.getgid()}"


def check_mounts(paths: ScoredPaths) -> None:
    """Raise StackError if a container can't have INPUT and OUTPUT at their paths, or not all of INPUT."""
    for place in (paths.read, paths.read.resolve(), paths.output.parent):
        if any(place.is_relative_to(own) or Path(own).is_relative_to(place) for own in _OF_IMAGE):
            raise StackError(
                f"a container has a {place} of its own; put INPUT and OUTPUT into other directories, or use"
                " --native"
            )
    if link := paths.leading_out():
        raise StackError(
            f"{link} is a link to a file outside of {paths.read}, which a container does not see; put the"
            " file itself there, or use --native"
        )


def _security_options() -> str:
    return run(["docker", "info", "--format={{json .SecurityOptions}}"]).stdout


def scoring_command(
    config: Config, on: str, user: str, model: Path, paths: ScoredPaths, cluster: Cluster | None = None
) -> list[str]:
    """Build the command line that scores in a container on an image.

    The directories of INPUT and OUTPUT have the same paths there. What lies in /tmp may be among them, so
    temporary files have a place of their own. The executors of a cluster connect to the container, so it has
    this machine's network.
    """
    network = "bridge" if config.serving_network == "open" else "none"
    if cluster and not cluster.is_local:
        network = "host"
    searched = [_SCORER]
    confined = (
        f"--network={network}",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges:true",
        "--read-only",
    )
    bounded = ("--pids-limit=4096", "--log-driver=none", "--pull=never", "--init")
    owner = (f"--user={user}", "--userns=host")
    read, written = paths.read, paths.output.parent
    # Links among the files of INPUT lead to where it lies really.
    mounts = {read.resolve(): (read, True), read: (read, True), written: (written, False)}
    if cluster:
        searched.append(docker_spark.SEARCH_PATH)
        mounts[Path("/etc/passwd")] = (docker_spark.users_file(model), True)
    mounts |= {Path(_MODEL): (model, True), Path(_SCORER): (CHECKOUT / "serving", True)}
    bound = [_mount(source, target, is_readonly) for target, (source, is_readonly) in mounts.items()]
    own = [f"--env={name}" for name in config.model_environment]
    places = [f"--env={name}={_SCRATCH}" for name in ("HOME", "TMPDIR")]
    return [
        *("docker", "run", "--rm", "--interactive", *confined, *bounded, *owner, *bound),
        *(f"--tmpfs={_SCRATCH}:exec,mode=1777", *own, *places, f"--env=PYTHONPATH={':'.join(searched)}"),
        *("--workdir=/", "--entrypoint=python", on, "-P", "-m", "scorer"),
    ]


def _mount(source: Path, target: Path, is_readonly: bool) -> str:
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] if is_readonly else [])]
    # Docker reads it as CSV.
    quoted = ('"' + field.replace('"', '""') + '"' for field in fields)
    return f"--mount={','.join(quoted)}"


def compose_environment(config: Config, version: str, image_id: str = "") -> dict[str, str]:
    """Return the values that docker-compose.yml fills in, for one version of the model."""
    return {
        **config.server,
        "IMAGE_ID": image_id,
        "MODEL_NAME": config.model_name,
        "MODEL_VERSION": version,
        "TRACKING_PORT": str(config.tracking_port),
        "SERVING_PORT": str(config.serving_port),
        "SERVING_NETWORK": config.serving_network,
    }


@dataclass(frozen=True)
class Docker:
    """Bakes an image, and serves it as the Compose service `serving`."""

    config: Config

    @property
    def starts_beside(self) -> bool:
        """Behind a gateway, which finds both; only one container can have a published port."""
        return self.config.gateway is not None

    @property
    def python(self) -> str:
        """That of the base image."""
        return base_python()

    def scratch(self) -> AbstractContextManager[str]:
        """Make it where temporary files lie; the container of `deploy` clears that when it starts."""
        return TemporaryDirectory()

    def prepare(self, environment: Environment, on_wait: Callable[[], None]) -> str:
        """Make the environment's image, if it is not there; return the packages that it holds."""
        return docker_environment.prepare(self.config, environment, self._base(), on_wait)

    def _base(self) -> Image:
        base = base_image(self.config)
        if not (found := find_image(base)):
            raise StackError(f"the base image {base} does not exist; run: docker compose build")
        return found

    def _below(self, environment: Environment | None) -> str:
        """Name the image on which a model is baked."""
        if environment is None:
            return base_image(self.config)
        return environment_image(self.config, environment.key)

    def answer(
        self, model: Path, environment: Environment | None, request: str, on_wait: Callable[[], None]
    ) -> str:
        """Return what the model in a directory answers to a request, in a container."""
        name, own = answering_name(self.config), self.config.model_environment
        let_all_read(model)
        self._remove(name)
        try:
            for command in (
                answering_command(self.config, self._below(environment)),
                ["docker", "cp", f"{model}/.", f"{name}:{_MODEL}"],
            ):
                made = run(command, own)
                if made.returncode != 0:
                    raise StackError(f"can't make a container: {made.stderr.strip()}")
            return answered(
                ["docker", "start", "--attach", "--interactive", name],
                request,
                environment=os.environ,
                directory=CHECKOUT,
                timeout=self.config.server_timeout,
                on_wait=on_wait,
            )
        finally:
            self._remove(name)

    def check_spark(self, cluster: Cluster) -> None:
        """Raise StackError if a container can't be the cluster's driver; Java and Spark are in an image."""
        docker_spark.check(cluster, _security_options())

    def scorer(
        self, model: Path, environment: Environment | None, paths: ScoredPaths, cluster: Cluster | None
    ) -> Scorer:
        """Return how the scorer is started: as a container, which ends with its standard input."""
        check_mounts(paths)
        let_all_read(model)
        user = scoring_user(_security_options())
        on = self._below(environment)
        if cluster:
            found = find_image(on)
            assert found  # noqa: S101 - the environment is prepared
            on = docker_spark.prepare(self.config, on, found)
            docker_spark.users_file(model).write_text(docker_spark.users(user))
        command = scoring_command(self.config, on, user, model, paths, cluster)
        name = f"{self.config.project}-scoring-{uuid4().hex[:12]}"
        named = [*command[:2], f"--name={name}", *command[2:]]
        environ = {**os.environ, **self.config.model_environment}
        return Scorer(named, environ, _MODEL, kill=["docker", "rm", "--force", name])

    def bake(self, version: str, model: Path, environment: Environment | None) -> None:
        """Make the version's image with MLflow's build-docker; the image gets its tag when it is complete."""
        from mlflow.models import build_docker

        base, name = self._base(), image(self.config, version)
        replaced = find_image(name)

        def build(context_dir: str, image_name: str, _network: str | None = None) -> None:
            dockerfile = Path(context_dir, "Dockerfile")
            dockerfile.write_text(without_steps(dockerfile.read_text()))
            let_all_read(Path(context_dir))
            built = run(build_command(image_name, base.platform, context_dir))
            if built.returncode != 0:
                printed = built.stdout + built.stderr
                print(printed, flush=True)
                raise docker_error(f"baking {image_name} failed", printed, BAKING)

        with building_by(build):
            build_docker(str(model), name, env_manager="local", base_image=self._below(environment))
        remove_replaced(name, replaced)

    def check(self) -> None:
        """Raise StackError if Compose can't do what its files say of `serving`, or nobody here can ask it."""
        check_files(self.config)
        if self.config.gateway and not self.config.container_url:
            self._check_reached()

    def _check_reached(self) -> None:
        """Behind a gateway nothing is published, so this machine asks containers at their own addresses."""
        healthy = (found for found in self._servers() if _health(found) == "healthy")
        if found := next(healthy, None):
            try:
                socket.create_connection((_address_of(found), _PORT), timeout=5).close()
            except OSError as error:
                raise StackError(
                    f"this machine does not reach containers at their own addresses ({error}), as with Docker"
                    " Desktop or a rootless engine; to deploy the candidate or champion: docker compose run"
                    " --rm deploy"
                ) from error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep out other deployments, on this machine or in the service `deploy`."""
        lock = Lock(lock_name(self.config), lock_command(self.config))
        lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def clean_up(self) -> None:
        """Remove the trial, and the model that answers its example, which a killed deployment left.

        And, of two model servers behind a gateway, the newer one, whose check may not be over; but not if the
        older one has stopped already.
        """
        self._remove(trial_name(self.config))
        self._remove(answering_name(self.config))
        if self.starts_beside and len(servers := self._servers()) > 1:
            kept = next((found for found in servers if _is_healthy(found)), servers[-1])
            _remove([found for found in servers if found is not kept])

    def image_id(self, version: str) -> str:
        """Return the id of the version's image; empty if it lies on another base image than today's."""
        found, base = find_image(image(self.config, version)), find_image(base_image(self.config))
        return found.identity if found and (base is None or lies_on(found, base)) else ""

    def fits_beside(self) -> bool:
        """Whether there is memory for a second model server beside the one that serves."""
        return is_free(self.memory_served())

    def memory_served(self) -> int:
        """Return how many bytes the model server holds; 0 if nothing is served."""
        return sum(_memory(found["Id"]) for found in self._containers("serving"))

    def container_served(self) -> dict[str, Any]:
        """Return what the engine knows of the container that serves; something must be served."""
        return self._servers()[0]

    def files_for(self, version: str) -> dict[str, Any]:
        """Return what the Compose files say when this version is served."""
        return read_files(self.config, compose_environment(self.config, version, self.image_id(version)))

    @contextmanager
    def trial(self, version: str) -> Iterator[str]:
        """Run the version's image as the Compose service `serving` does, beside it, on another port."""
        name = trial_name(self.config)
        try:
            yield self._start(name, trial_command(self.config), version)
        finally:
            self._remove(name)

    def check_split(self) -> None:
        """Raise StackError if there is no gateway, which does that."""
        if not self.config.gateway:
            raise StackError(
                "a canary needs the gateway, which splits the requests; set COMPOSE_FILE=docker-compose.yml:"
                f"{OVERLAY} and run ./scripts/up, or promote without --canary"
            )

    def split(self, percent: int) -> AbstractContextManager[Callable[[], bool]]:
        """Let the gateway do that."""
        trial = next(iter(self._containers(trial_name(self.config))), None)
        return splitting(self.config, _address_of(trial) if trial else "", percent)

    def served_url(self) -> str:
        """Return where the container of `serving` answers."""
        return self._url("serving", next(iter(self._servers()), None))

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve the version's image as the Compose service `serving`, in place of what is served now."""
        old, command = [], start_command(self.config, "--force-recreate")
        if self.starts_beside:
            old = [found for found in self._servers() if _is_healthy(found)]
            _remove([found for found in self._servers() if found not in old])
            command = start_command(self.config, "--no-recreate", count=len(old) + 1)
        try:
            check(self._start("serving", command, version, old))
        except StackError:
            _remove(self._servers(old))
            raise
        if old:
            run(["docker", "stop", *(found["Id"] for found in old)])  # it answers what it has begun
            _remove(old)

    def stop_serving(self) -> None:
        """Remove the container of `serving`."""
        self._remove("serving")

    def last_log(self) -> str:
        """Return the end of the log of the trial or, if that is not there, of `serving`."""
        return self._log(trial_name(self.config)) or self._log("serving")

    def served(self) -> Served | None:
        """Return what the container of `serving` runs; its image says which version it is."""
        found = [found for found in self._servers() if found["State"]["Running"]]
        # 2 if a deployment was killed while it replaced one. Behind a gateway, the older one was right.
        if not found or (len(found) > 1 and not self.starts_beside):
            return None
        name, _, version = found[0]["Config"]["Image"].partition("/")[2].rpartition(":")
        is_healthy = not_healthy(self._url("serving", found[0])) is None
        return Served(name, version, found[0]["Image"], is_healthy)

    def is_current(self) -> bool:
        """Whether Compose would keep the container of `serving` if it started that service now.

        Each version of Compose compares in its own way. So of a container that another version made, only the
        settings of the stack are compared.
        """
        found = self._servers()[0]
        made_by = found["Config"]["Labels"]["com.docker.compose.version"]
        if not run(VERSION).stdout.strip().removeprefix("v").startswith(made_by):
            return _has_settings(found, self.config)
        version = found["Config"]["Image"].rpartition(":")[2]
        environment = compose_environment(self.config, version, found["Image"])
        told = run(start_command(self.config, "--dry-run"), environment)
        return "Recreate" not in told.stdout + told.stderr

    def remember(self, version: str) -> None:
        """Give the version's image the tag `live`."""
        run(["docker", "tag", image(self.config, version), image(self.config, _LAST_SERVED)])

    def last_served(self) -> str | None:
        """Return the version whose image has the tag `live`, unless the data have been deleted since."""
        last = find_image(image(self.config, _LAST_SERVED))
        data_since = volume_made_at(f"{self.config.project}_mlflow")
        if last is None or data_since is None or last.named_at < data_since:
            return None
        versions = [name.rpartition(":")[2] for name in last.names]
        return next((it for it in versions if it.isdigit() and self.image_id(it) == last.identity), None)

    def baked_versions(self) -> list[str]:
        """Return the versions that have an image."""
        name = image(self.config, "")[:-1]
        tags = run(["docker", "image", "ls", "--format={{.Tag}}", name]).stdout.split()
        return [tag for tag in tags if tag.isdigit()]

    def discard(self, version: str) -> None:
        """Remove the version's image, unless a container of it exists, whoever made that."""
        name = image(self.config, version)
        if not run(["docker", "ps", "--all", "--quiet", f"--filter=ancestor={name}"]).stdout.strip():
            run(["docker", "image", "rm", name])

    def tidy(self) -> None:
        """Remove the versions on an older base image, unused environments, and what has no name.

        A bake's image inherits the label by which Compose marks what it builds for this project.
        """
        for version in self.baked_versions():
            if not self.image_id(version):
                self.discard(version)
        docker_environment.remove_unused(self.config)
        own = f"--filter=label=com.docker.compose.project={self.config.project}"
        run(["docker", "image", "prune", "--force", own])

    def of_model(self, name: str) -> "Docker":
        """Return the mode for another registered model."""
        return replace(self, config=replace(self.config, model_name=name))

    def baked_models(self) -> list[str]:
        """Return the models that have an image."""
        names = image_names(f"{self.config.project}/*")
        return sorted({name.partition("/")[2].rpartition(":")[0] for name in names})

    def unneeded(self, versions: Mapping[str, Collection[str]]) -> list[Unneeded]:
        """Return the images of these versions, unused environments, and what has no name."""
        config, own = self.config, f"label=com.docker.compose.project={self.config.project}"
        unnamed = [
            "docker",
            "image",
            "ls",
            "--quiet",
            "--no-trunc",
            "--filter=dangling=true",
            f"--filter={own}",
        ]
        baked = [image(self.of_model(model).config, it) for model in versions for it in versions[model]]
        running = {str(found["Image"]) for found in containers()}
        wanted = {name: find_image(name) for name in [*baked, *docker_environment.unused(config, baked)]}
        wanted |= {name: find_image(name) for name in run(unnamed).stdout.split()}
        found = {name: it for name, it in wanted.items() if it and it.identity not in running}
        kept = [name for part in ("/*", "-*") for name in image_names(f"{config.project}{part}")]
        below = [*found.values(), *filter(None, map(find_image, kept))]
        return [Unneeded(name, _own_size(it, below)) for name, it in found.items()]

    def remove(self, unneeded: Unneeded) -> str:
        """Remove an image, unless a container of it exists."""
        removed = run(["docker", "image", "rm", unneeded.name])
        return "" if removed.returncode == 0 else removed.stderr.strip()

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when the container of the service `trainer` has ended; Compose starts it beside `deploy`."""
        with suppress(StackError):
            wait_until(self._training_to_begin, timeout=_BEGUN_WITHIN, on_wait=on_wait)
        training = [found["Id"] for found in self._containers("trainer") if found["State"]["Running"]]
        if training:
            with watch(training) as runs:
                wait_until(lambda: "training" if runs() else None, timeout=math.inf, on_wait=on_wait)

    def _training_to_begin(self) -> str | None:
        """Return "not started" until the trainer has started, at about the same time as `deploy`."""
        trainer, deploy = self._containers("trainer"), self._containers("deploy")
        if not trainer or not deploy:
            return None
        started, own = (moment(found[0]["State"]["StartedAt"]) for found in (trainer, deploy))
        return "not started" if started < own - _STARTED_TOGETHER else None

    def at_stores(self) -> AbstractContextManager[AtStores]:
        """Yield how programs of tracking/ are started in a container that reaches the stores."""
        return at_stores.in_docker(self.config)

    def services(self) -> list[Service]:
        """Return the state of each service's container."""
        return [self._service(name) for name in service_names(self.config)]

    def _service(self, name: str) -> Service:
        containers = self._containers(name)
        if not containers:
            return Service(name, False, "not there", None)
        state = containers[-1]["State"]
        if name == "serving" and len(containers) > 1:  # a deployment replaces it, or was killed
            running = [found for found in containers if found["State"]["Running"]]
            if len(running) > 1:
                return Service(name, False, "twice up; run ./scripts/deploy", None)
            state = (running or containers)[-1]["State"]
        if state["Status"] == "created":
            return Service(name, False, "not started", None)
        if not state["Running"] or state["Restarting"]:
            return Service(name, False, f"exited {state['ExitCode']}", moment(state["FinishedAt"]))
        return Service(name, True, state.get("Health", {}).get("Status", "up"), moment(state["StartedAt"]))

    def _containers(self, name: str) -> list[dict[str, Any]]:
        """Return what the engine knows of the containers of a service, or of a container of that name."""
        if name in (trial_name(self.config), answering_name(self.config)):
            return containers(f"name=^{name}$")
        return service_containers(self.config, name)

    def _servers(self, but: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
        """Return what the engine knows of the containers of `serving`, the oldest first, without some."""
        known = [found["Id"] for found in but]
        new = (found for found in self._containers("serving") if found["Id"] not in known)
        return sorted(new, key=lambda found: str(found["Created"]))

    def _start(self, name: str, command: list[str], version: str, old: Sequence[dict[str, Any]] = ()) -> str:
        """Start `serving`, beside the ``old`` ones, or the trial; return the URL at which it answers."""
        started = run(command, compose_environment(self.config, version, self.image_id(version)))
        if started.returncode != 0:
            raise StackError(f"Compose can't start {self._server(name, version)}: {started.stderr.strip()}")
        try:
            return self._wait_healthy(name, old)
        except StackError as error:
            log = f"the end of its log:\n{self._log(name)}\n{error}"
            raise StackError(f"{self._server(name, version)} fails to start; {log}") from error

    def _wait_healthy(self, name: str, old: Sequence[dict[str, Any]]) -> str:
        """Return the URL at which it answers."""
        new = self._servers(old) if name == "serving" else self._containers(name)
        url = self._url(name, *new[:1])
        # Compose's --wait would take up to a second longer: it asks twice a second, like the health check.
        with watch([found["Id"] for found in new]) as runs:
            wait_until(lambda: not_healthy(url), timeout=_HEALTHY_WITHIN, alive=runs)
        return url

    def _url(self, name: str, container: dict[str, Any] | None = None) -> str:
        if self.config.gateway and container:  # nothing is published, and the name stands for two at a switch
            return _url_of(container)
        if self.config.container_url:
            return self.config.container_url.format(name)
        if name == "serving":
            return self.config.serving_url
        return f"http://{run(['docker', 'port', name, '8080']).stdout.strip()}"

    def _server(self, name: str, version: str) -> str:
        return f"the model server of {image(self.config, version)} (as {name})"

    def _log(self, name: str) -> str:
        """Return the end of the log of `serving` or the trial, indented."""
        found = self._servers()[-1:] if name == "serving" else self._containers(name)[:1]
        log = "".join(container_log(each["Id"], f"--tail={LOG_LINES}") for each in found)
        return "\n".join(f"    {line}" for line in log.splitlines())

    def _remove(self, name: str) -> None:
        _remove(self._containers(name))


def _own_size(image: Image, others: Sequence[Image]) -> int:
    """Return how large an image is without the largest of the others that it lies on."""
    lies_on = (
        it.size
        for it in others
        if len(it.layers) < len(image.layers) and it.layers == image.layers[: len(it.layers)]
    )
    return max(image.size - max(lies_on, default=0), 0)


def _remove(found: Sequence[dict[str, Any]]) -> None:
    if found:
        run(["docker", "rm", "--force", *(each["Id"] for each in found)])


def _has_settings(container: dict[str, Any], config: Config) -> bool:
    """Whether a container of `serving` was made with these settings, its port and its network included.

    And with the variables of model.env; one that has been removed there since is not missed.
    """
    given = dict(pair.partition("=")[::2] for pair in container["Config"]["Env"])
    published = (container["HostConfig"]["PortBindings"] or {}).get("8080/tcp", [])
    ports = [] if config.gateway else [str(config.serving_port)]
    wanted = {name: config.server.get(name, "") for name in SERVER_SETTINGS} | dict(config.model_environment)
    return (
        all(given.get(name, "") == value for name, value in wanted.items())
        and [binding["HostPort"] for binding in published] == ports
        and f"{config.project}_serving-{config.serving_network}" in container["NetworkSettings"]["Networks"]
    )


def _is_healthy(container: dict[str, Any]) -> bool:
    """Whether a model server answers, or the engine says so: not every machine reaches its address."""
    return _health(container) == "healthy" or not_healthy(_url_of(container)) is None


def _health(container: dict[str, Any]) -> str:
    """Return what the engine says; empty if it does not look."""
    return str(container["State"].get("Health", {}).get("Status", ""))


def _url_of(container: dict[str, Any]) -> str:
    """Return where a model server that publishes nothing answers on its own network."""
    return f"http://{_address_of(container)}:{_PORT}"


def _address_of(container: dict[str, Any]) -> str:
    """Return the address of a model server in the stack's own network; an override may name others, too."""
    networks = container["NetworkSettings"]["Networks"]
    own_first = sorted(networks, key=lambda name: not name.endswith(("_serving-closed", "_serving-open")))
    return next((str(networks[it]["IPAddress"]) for it in own_first if networks[it]["IPAddress"]), "")


def _memory(container: str) -> int:
    """Return how many bytes the processes of a container hold, by its cgroup; 0 if unknown.

    https://docs.kernel.org/admin-guide/cgroup-v2.html or its predecessor describes the file.
    """
    files = ("/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory/memory.stat")
    told = run(["docker", "exec", container, "cat", *files]).stdout
    found = re.search(r"^(?:anon|total_rss) (\d+)$", told, re.MULTILINE)
    return int(found[1]) if found else 0

"""The stack with Docker Compose: its command lines, and how it is brought up and taken down."""

import json
import math
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stack.config import Config
from stack.errors import StackError
from stack.interruption import Interruption
from stack.modes.build_error import STARTING, docker_error
from stack.modes.door import check_up
from stack.modes.elsewhere import check_elsewhere, remove_cut_off
from stack.modes.engine import container_log, containers, moment, run, run_shown
from stack.modes.engine_error import why_no_engine
from stack.modes.mode import LOG_LINES
from stack.modes.owner import check_owner
from stack.modes.report import begin_text, ended_text, failed_text, told_by_tracking, up_text
from stack.stores import SERVICES
from stack.wait import wait_until

_ONE_SHOTS = ("trainer", "deploy")
VERSION = ["docker", "compose", "version", "--short"]
_SOON = timedelta(seconds=30)
_LOOK_EVERY = 1.0  # seconds


def compose_command(config: Config, *arguments: str) -> list[str]:
    """Build the command line of a Compose command on this stack."""
    return [
        "docker",
        "compose",
        f"--project-name={config.project}",
        f"--project-directory={config.directory}",
        *arguments,
    ]


def read_files(config: Config, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what the Compose files say, the user's own among them; ``environment`` fills in values.

    Raises:
        StackError: if Compose can't read them.

    """
    read = run(files_command(config), environment)
    if read.returncode != 0:
        raise StackError(f"Compose can't read the Compose files or .env: {read.stderr.strip()}; correct them")
    files: dict[str, Any] = json.loads(read.stdout)
    return files


def plain(value: str) -> str:
    """Return a value as it was before `docker compose config` wrote it."""
    return value.replace("$$", "$")


def service_names(config: Config) -> tuple[str, ...]:
    """Name the services that the settings ask for."""
    own = () if config.elsewhere else (*config.stores.services, "tracking")
    return (*own, *_gateway(config), *_behind(config), "serving")


def _gateway(config: Config) -> tuple[str, ...]:
    return ("gateway",) if config.gateway else ()


def _behind(config: Config) -> tuple[str, ...]:
    """Name those that ask tracking."""
    return (*_ONE_SHOTS, "watch") if config.is_watched else _ONE_SHOTS


def answering_name(config: Config) -> str:
    """Name the container in which a model answers its own input example."""
    return f"{config.project}-answering"


def trial_name(config: Config) -> str:
    """Name the container in which a version is tried out; docker-compose.yml names it, too."""
    return f"{config.project}-trial"


def come_up_command(config: Config) -> list[str]:
    """Build the command line that starts the stack; `deploy` starts `serving`.

    Compose changes only the services that are named, so a healthy model server keeps serving.
    """
    return compose_command(config, "up", "--detach", "tracking", *_gateway(config), *_behind(config))


def files_command(config: Config) -> list[str]:
    """Build the command line that prints, as JSON, what Compose makes of its files and the settings."""
    return compose_command(config, "config", "--format=json")


def logs_command(config: Config, since: datetime) -> list[str]:
    """Build the command line that follows the logs of all services from a moment on."""
    return compose_command(config, "logs", "--follow", f"--since={_utc(since)}")


def _tracking_log(config: Config, since: datetime) -> str:
    """Return what tracking has logged from a moment on."""
    found = service_containers(config, "tracking")
    return "".join(container_log(each["Id"], f"--since={_utc(since)}") for each in found)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def service_containers(config: Config, service: str) -> list[dict[str, Any]]:
    """Return what the engine knows of the containers of a service."""
    return containers(
        f"label=com.docker.compose.project={config.project}",
        f"label=com.docker.compose.service={service}",
        "label=com.docker.compose.oneoff=False",
    )


def up(config: Config, *, detach: bool) -> None:
    """Bring the stack up; return when asked to stop or, with ``detach``, when it answers.

    On a stack that runs, train and deploy what has changed.

    Raises:
        StackError: if Compose, the training or the deployment failed. What runs keeps running.

    """
    interruption = Interruption()
    check_owner(config)
    check_elsewhere(config, files_command(config))
    remove_cut_off(config)
    _prepare_gateway(config)
    print(begin_text(config, "with Docker"), flush=True)
    since = datetime.now(UTC)
    status, printed = run_shown(come_up_command(config))
    if status != 0:
        if interruption.received and not detach:
            _stop(config)
        interruption.check()
        raise docker_error("Compose did not start the stack", printed, STARTING)
    if left := _unchosen_stores(config):  # their data stay
        run(["docker", "stop", *left])
        run(["docker", "rm", *left])
    tracking = _TrackingWatch(config, since)

    def on_wait() -> None:
        interruption.check()
        tracking.check()

    try:
        if detach:
            _wait_for_one_shots(config, on_wait)
            _trust(config)
            _tell_of_tracking(config, since)
            print(up_text(config, "./scripts/down"), flush=True)
        else:
            _stay(config, since, interruption, on_wait)
    except _TrackingError:
        # The others would wait for it, and the engine would start it again and again.
        run(compose_command(config, "stop", *_behind(config), "tracking"))
        raise
    except StackError as error:
        if detach:
            _tell_of_tracking(config, since)
        raise StackError(failed_text(error, config)) from error


def _tell_of_tracking(config: Config, since: datetime) -> None:
    if told := told_by_tracking(_tracking_log(config, since)):
        print(f"==> the tracking server:\n{told}", flush=True)


def _stay(config: Config, since: datetime, interruption: Interruption, on_wait: Callable[[], None]) -> None:
    """Show what all services log, until Ctrl-C; then stop them."""
    logs = subprocess.Popen(logs_command(config, since), start_new_session=True)
    try:
        _wait_for_one_shots(config, on_wait)
        _trust(config)
        print(up_text(config, "Ctrl-C"), flush=True)
        runs = lambda: "up" if logs.poll() is None else None  # noqa: E731
        wait_until(runs, timeout=math.inf, on_wait=interruption.check)
        print("==> all containers have ended", flush=True)
    except KeyboardInterrupt:
        _stop(config)
    finally:
        logs.terminate()
        logs.wait()


def _prepare_gateway(config: Config) -> None:
    """Make the stack's own login at the gateway, and remove what would keep the ports.

    That is a model server that was started without the gateway, or a gateway that is not chosen any more.
    """
    if config.gateway:
        config.gateway.login()
    found = service_containers(config, "serving" if config.gateway else "gateway")
    if left := [each["Id"] for each in found if each["HostConfig"]["PortBindings"]]:
        run(["docker", "rm", "--force", *left])


def _trust(config: Config) -> None:
    if config.gateway:
        check_up(config, config.gateway)


def _stop(config: Config) -> None:
    """Stop all services; first `deploy` and `watch`, which may be about to start `serving`."""
    for names in (_behind(config), (*_gateway(config), "serving", "tracking"), config.stores.services):
        if not names:  # Compose would take that for all
            continue
        stopped = run(compose_command(config, "stop", *names))
        if stopped.returncode != 0:
            raise StackError(
                f"Compose did not stop {', '.join(names)}: {stopped.stderr.strip()}; run ./scripts/down"
            )
    print("==> stopped", flush=True)


class _TrackingError(StackError):
    """The tracking server does not start."""


@dataclass
class _TrackingWatch:
    """Looks whether the engine starts the tracking server again and again, because it ends each time."""

    config: Config
    since: datetime
    _next_look: float = 0.0

    def check(self) -> None:
        """Raise _TrackingError if it does; look once a second."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY
        if any(ends_at_once(found, self.since) for found in service_containers(self.config, "tracking")):
            log = _tracking_log(self.config, self.since)
            told = told_by_tracking(log).splitlines()[-1:]  # each start says the same
            said = told or [f"    {line}" for line in log.splitlines()[-LOG_LINES:]]
            raise _TrackingError("\n".join(["the tracking server does not start, so it is stopped:", *said]))


def ends_at_once(container: dict[str, Any], since: datetime) -> bool:
    """Whether a container has ended soon after it was started, again and again, the last time since then."""
    state = container["State"]
    if not state["Restarting"] or container["RestartCount"] < 2:
        return False
    started, ended = moment(state["StartedAt"]), moment(state["FinishedAt"])
    return ended >= since and ended - started < _SOON


def _wait_for_one_shots(config: Config, on_wait: Callable[[], None]) -> None:
    """Return when training and deployment have succeeded; StackError, with the log's end, if one fails."""
    failed = []
    for name in _ONE_SHOTS:
        for found in service_containers(config, name):
            waits = ["docker", "wait", found["Id"]]
            # In a session of its own, it does not get the terminal's Ctrl-C.
            ended = subprocess.Popen(waits, stdout=subprocess.PIPE, text=True, start_new_session=True)
            try:
                wait_until(
                    lambda ended=ended: "at work" if ended.poll() is None else None,  # type: ignore[misc]
                    timeout=math.inf,
                    on_wait=on_wait,
                )
            finally:
                ended.kill()
                status, _ = ended.communicate()
            if status.strip() != "0":
                since = f"--since={found['State']['StartedAt']}"
                log = container_log(found["Id"], f"--tail={LOG_LINES}", since)
                lines = "\n    ".join(log.splitlines())
                how = ended_text(int(status)) if status.strip() else "was removed"
                failed.append(f"{name} {how}. The end of its log:\n    {lines}")
    if failed:
        raise StackError("\n".join(failed))


def down(config: Config, *, volumes: bool) -> None:
    """Stop and remove what `up` started and, with ``volumes``, the data; without an engine, do nothing.

    Raises:
        EngineError: if there is an engine and it can't be used.
        OwnerError: if the stack is another checkout's.
        StackError: if Compose fails.

    """
    error = why_no_engine()
    if error and not error.is_absent:
        raise error
    if error is None and _is_there(config):
        check_owner(config)
        # A plain `docker compose down` leaves it, and a Compose before 2.27 can't remove what is left then.
        others = [found["Id"] for name in ("watch", "gateway") for found in service_containers(config, name)]
        # Compose leaves the others, if a killed deployment did.
        run(["docker", "rm", "--force", *others, trial_name(config), answering_name(config)])
        options = ["--volumes"] if volumes else []
        if _unchosen_stores(config):  # removed by hand, Compose would miss what tracking was started after
            options.append("--remove-orphans")
        command = compose_command(config, "down", *options)
        if subprocess.run(command).returncode != 0:
            raise StackError("Compose did not stop the stack, see above; remove the cause and run this again")
        if volumes:  # the next gateway has another authority, also if the settings choose none any more
            run(["docker", "volume", "rm", "--force", f"{config.project}_gateway"])
            (config.home / "gateway" / "root.crt").unlink(missing_ok=True)
        # Compose leaves the network that serving had before SERVING_NETWORK was changed.
        run(["docker", "network", "prune", "--force", _only(config)])


def _unchosen_stores(config: Config) -> list[str]:
    """Return the containers of a database or S3 server that no Compose file names any more."""
    unchosen = set(SERVICES) - set(config.stores.services)
    found = {name: service_containers(config, name) for name in unchosen}
    if not any(found.values()):
        return []
    users = read_files(config)["services"]  # which may have such names, too
    return [container["Id"] for name in unchosen.difference(users) for container in found[name]]


def _is_there(config: Config) -> bool:
    """Whether the engine has anything of this stack; Compose warns if there is nothing to remove."""
    listed = (["container", "ls", "--all"], ["network", "ls"], ["volume", "ls"])
    return any(run(["docker", *kind, "--quiet", _only(config)]).stdout for kind in listed)


def _only(config: Config) -> str:
    return f"--filter=label=com.docker.compose.project={config.project}"

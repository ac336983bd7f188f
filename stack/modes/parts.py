"""The parts of a stack without Docker: how they are started, watched and stopped."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stack.config import CHECKOUT, TRACKING_ENV_FILE, Config
from stack.errors import StackError
from stack.modes import model_servers, native_gateway
from stack.modes.model_servers import ModelServers, has_port, wait_until_healthy
from stack.modes.native_gateway import Behind, behind
from stack.modes.processes import Process, failure, part_environment
from stack.modes.report import ended_text, told_by_tracking
from stack.stores import ARTIFACTS, DATABASE, OF_BUCKET

# A process is stopped before the parts that it starts. "switch" is a deployment, whoever started it.
SERVERS = (*model_servers.NAMES, "tracking")
STOP_ORDER = ("deploy", "switch", "trial", "trainer", native_gateway.NAME, *SERVERS)


@dataclass(frozen=True)
class Parts:
    """All the processes of a stack.

    ``on_wait`` is called repeatedly during a wait; an exception of it ends the wait.
    """

    config: Config
    on_wait: Callable[[], None] = lambda: None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def process(self, name: str) -> Process:
        """Return the process of that name, running or not."""
        return Process(self.config.home, name)

    @property
    def _servers(self) -> ModelServers:
        return ModelServers(self.config)

    @property
    def has_tracking(self) -> bool:
        """Whether the stack has a tracking server of its own."""
        return not self.config.elsewhere

    @property
    def needed(self) -> set[str]:
        """Name the servers without which the stack can't go on: its own tracking server, and the gateway."""
        own = {"tracking": self.has_tracking, native_gateway.NAME: self.config.gateway is not None}
        return {name for name, is_needed in own.items() if is_needed}

    @property
    def _behind(self) -> Behind:
        return behind(self.config)

    @property
    def is_up(self) -> bool:
        """Whether any process of the stack runs."""
        processes = [self.process(name) for name in ("up", *STOP_ORDER)]
        return any(process.is_running() or process.members() for process in processes)

    def start_tracking(self) -> None:
        """Start the tracking server, without waiting for it."""
        home, own = self.config.home, self._behind
        tracking = self.process("tracking")
        tracking.start(
            [
                sys.executable,
                str(CHECKOUT / "tracking" / "server.py"),
                "--workers=1",
                "--host=127.0.0.1",
                f"--port={own.tracking_port}",
            ],
            part_environment(
                self.environ,
                CHECKOUT / "tracking" / "server.env",
                TRACKING_ENV_FILE,
                **stores_of(self.config),
                GATEWAY_SECRET=own.secret,
                GATEWAY_HOST=own.host,
                GATEWAY_ORIGIN=_origin(own.host, self.config.tracking_port) if own.host else "",
            ),
            home,
        )

    def wait_for_tracking(self) -> None:
        """Return when the tracking server is healthy, whoever started it."""
        wait_until_healthy(self.process("tracking"), self._behind.tracking_url, self.on_wait)

    def start_gateway(self, caddy: str) -> None:
        """Start the gateway by this program; return when clients get through it."""
        native_gateway.start(self.config, caddy, self.environ, self.on_wait)

    def told_by_tracking(self) -> str:
        """Return what the tracking server has told since it was started, indented."""
        return told_by_tracking(self.process("tracking").log.read_text(errors="replace"))

    @contextmanager
    def jobs(self) -> Iterator[Callable[[str], str]]:
        """Start the trainer and the deployment; each imports its packages, then waits for what it needs.

        Yields a function that waits until the job of that name has ended, and returns what it printed. It
        raises StackError if the job fails or the tracking server ends. At the end, jobs that still run are
        stopped.
        """
        children = {}
        try:
            children["trainer"] = self._start(
                "trainer",
                self.config.trainer_arguments("--wait"),
                CHECKOUT,
                self.config.trainer_environment(),
            )
            children["deploy"] = self._start(
                "deploy",
                ["-m", "stack", "deploy", "--native", "--wait"],
                CHECKOUT,
                {**self.config.client_environment(), **self.config.server},
            )
            yield lambda name: self._finish(name, children[name])
        finally:
            for name, child in reversed(children.items()):
                if child.poll() is None:
                    self.process(name).stop()

    def watch(self, watched: set[str]) -> set[str]:
        """Return which of the servers run, to be watched next; not the model server while it may be replaced.

        Raises:
            StackError: if one of those ``watched`` has ended by itself.

        """
        running = self._running() - self._may_be_replaced()
        for name in watched - running - self._may_be_replaced():
            # Asked again: a switch may have begun or ended between the two questions.
            if name not in self._running() | self._may_be_replaced():
                raise failure(self.process(name), "has ended by itself, so the stack is stopped")
        return running

    def _running(self) -> set[str]:
        """Return which of the servers run."""
        found = {name for name in ("tracking", native_gateway.NAME) if self.process(name).is_running()}
        serving = any(process.is_running() for process in self._servers.processes())
        return found | ({"serving"} if serving else set())

    def _may_be_replaced(self) -> set[str]:
        return {"serving"} if self.process("switch").is_running() else set()

    def stop(self) -> None:
        """Stop all the parts; then raise StackError if one did not stop."""
        self._stop(STOP_ORDER)

    def stop_left_over(self) -> bool:
        """Stop what a killed `up` left, but no healthy model server; return whether that one has its port."""
        self._stop(name for name in STOP_ORDER if name not in SERVERS)  # a deployment may finish its switch
        current = self._servers.current()
        kept = {current.name} if current and model_servers.is_healthy(current) else set()
        has_its_port = current is not None and has_port(current, self._behind.serving_port)
        if self.config.gateway and not has_its_port:  # it may have the gateway's
            kept = set()
        self._stop(name for name in SERVERS if name not in kept)
        return bool(kept) and has_its_port

    def _stop(self, names: Iterable[str]) -> None:
        stuck = []
        for name in names:
            try:
                self.process(name).stop()
            except StackError as error:
                stuck.append(str(error))
        if stuck:
            raise StackError("; ".join(stuck))

    def _start(
        self, name: str, arguments: list[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return self.process(name).start(
            [sys.executable, *arguments],
            part_environment(
                self.environ,
                **environment,
                TRACKING_PORT=str(self.config.tracking_port),
                SERVING_PORT=str(self.config.serving_port),
                STACK_HOME=str(self.config.home),
            ),
            cwd,
        )

    def _finish(self, name: str, child: subprocess.Popen[bytes]) -> str:
        while (status := _status(child)) is None:
            self.on_wait()
            self.watch(self.needed)
        if status != 0:
            raise failure(self.process(name), ended_text(status))
        return self.process(name).log_tail()


def stores_of(config: Config) -> dict[str, str]:
    """Return what tells the tracking server of its stores; by default, they lie in the state directory."""
    own = {
        DATABASE: f"sqlite:///{config.home / 'mlflow.db'}",
        ARTIFACTS: str(config.home / "artifacts"),
        "STORE_DIRECTORY": str(config.home),
    }
    # Whatever the shell has of these names is not for the server.
    return {**own, **dict.fromkeys(OF_BUCKET, ""), **config.stores.settings}


def _origin(host: str, port: int) -> str:
    """Return what a browser sends as the origin of the gateway's pages."""
    return f"https://{host}" if port == 443 else f"https://{host}:{port}"


def _status(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return None

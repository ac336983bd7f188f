"""The model servers of a stack without Docker: one, or two while one takes over from the other.

Both then listen on the same port (SO_REUSEPORT), and the kernel distributes the connections. Each also
listens on a port of its own, for health checks.
"""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.errors import StackError
from stack.modes.memory import held_by, is_free
from stack.modes.mode import Check
from stack.modes.native_gateway import behind
from stack.modes.preflight import check_port
from stack.modes.processes import Process, failure, part_environment
from stack.wait import not_healthy, wait_until

MODEL_SERVER = CHECKOUT / "serving"
# The two use these names in turn. They write to one log.
NAMES = ("serving", "serving-2")
HEALTHY_WITHIN = 120  # seconds


@dataclass(frozen=True)
class Note:
    """What is noted when a model server starts: what it serves, with which settings, and its own URL."""

    model_name: str = ""
    version: str = ""
    image_id: str = ""
    settings: str = ""
    port: str = ""
    url: str = ""

    @classmethod
    def of(cls, process: Process) -> "Note":
        """Read the note of a process that runs or has run; an empty one if there is none."""
        return cls.read(process.note())

    @classmethod
    def read(cls, text: str) -> "Note":
        """Read one that was written; an empty one if it is of another release of the stack."""
        words = text.split()
        return cls(*words) if len(words) == len(fields(cls)) else cls()

    def __str__(self) -> str:
        """Write it as words; none of them is empty when a model server starts."""
        return " ".join(astuple(self))


@dataclass(frozen=True)
class ModelServers:
    """Starts and stops them."""

    config: Config
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def processes(self) -> list[Process]:
        """Return both, running or not."""
        return [Process(self.config.home, name, log_name=NAMES[0]) for name in NAMES]

    def current(self) -> Process | None:
        """Return the one that serves: of two, the newer if it is already healthy; None if none runs."""
        running = sorted(filter(Process.is_running, self.processes()), key=Process.started_at)
        if len(running) == 2 and is_healthy(running[1]):
            return running[1]
        return running[0] if running else None

    def remember(self, version: str) -> None:
        """Keep the note of the one that serves the version, for `last_served`."""
        current = self.current()
        if current is not None and Note.of(current).version == version:
            self._served.write_text(current.note())

    def last_served(self) -> Note:
        """Return the note that was kept last, of a model server that runs or not; else an empty one."""
        return Note.read(self._served.read_text()) if self._served.exists() else Note()

    @property
    def _served(self) -> Path:
        return self.config.home / "run" / "served"

    def settings(self) -> str:
        """Return a digest of the settings that a new one would start with."""
        config, own = self.config, self._own_settings()
        port = behind(config).serving_port
        settings = [config.server, config.model_environment, port, *([own] if own else [])]
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _own_settings(self) -> dict[str, str]:
        """Return what the stack itself sets for a model server behind a gateway."""
        own = behind(self.config)
        return {"GATEWAY_SECRET": own.secret, "SERVER_SERVICE_NAMES": own.host} if own.secret else {}

    def fits_beside(self) -> bool:
        """Whether there is memory for one more beside the one that serves."""
        current = self.current()
        return is_free(held_by(current.members()) if current else 0)

    def clean_up(self) -> None:
        """Stop all but the one that serves: a killed deployment may have left another."""
        current = self.current()
        for process in self.processes():
            if current is None or process.name != current.name:
                process.stop()

    def replace(self, note: Note, model: str, python: str, check: Check) -> None:
        """Start a new one, then stop the old one.

        An old one that is not healthy stops first: it would get half of the connections.

        Raises:
            StackError: if it does not start, something else uses the port, or ``check`` raises it. The new
                one is stopped then.

        """
        old = self.current()
        if old is not None and not is_healthy(old):
            old.stop()
            old = None
        port = behind(self.config).serving_port
        if old is None or not has_port(old, port):
            check_port("" if self.config.gateway else "SERVING_PORT", port, "the model server")
        new = next(process for process in self.processes() if old is None or process.name != old.name)
        try:
            check(self.start(new, note, model, python, port))
        except StackError:
            new.stop()
            raise
        if old is not None:
            old.stop()

    def start(self, process: Process, note: Note, model: str, python: str, port: int | None = None) -> str:
        """Start one for the model in that directory, by this Python; return its own URL.

        It listens only there, unless ``port`` is given.
        """
        own_port = _free_port()
        url = f"http://127.0.0.1:{own_port}"
        ports = {"SERVER_PORT": str(own_port)}
        if port is not None:
            ports = {"SERVER_PORT": str(port), "SERVER_OWN_PORT": str(own_port)}
        process.start(
            [python, "-m", "model_server"],
            part_environment(
                self.environ,
                **self.config.model_environment,
                **self.config.server,
                **self._own_settings(),
                **ports,
                PYTHONPATH=str(MODEL_SERVER),
                MLFLOW_DISABLE_TELEMETRY="true",
                SERVER_HOST="127.0.0.1",
                __pyfunc_model_path__=model,
                MODEL_NAME=note.model_name,
                MODEL_VERSION=note.version,
                IMAGE_ID=note.image_id,
            ),
            self.config.home,  # not in the checkout: no image has its modules
            note=str(replace(note, settings=self.settings(), port=ports["SERVER_PORT"], url=url)),
            keeps_log=process.name in NAMES and self.current() is not None,
        )
        wait_until_healthy(process, url)
        return url


def is_healthy(process: Process) -> bool:
    """Whether a model server answers on its own port that it is healthy."""
    url = Note.of(process).url
    return bool(url) and not_healthy(url) is None


def has_port(process: Process, port: int) -> bool:
    """Whether a model server was started on this port."""
    return Note.of(process).port == str(port)


def wait_until_healthy(process: Process, url: str, on_wait: Callable[[], None] = lambda: None) -> None:
    """Return when the server at ``url`` is healthy; ``on_wait`` is called meanwhile.

    Raises:
        StackError: if the process ends or takes too long, with the end of its log.

    """
    try:
        wait_until(
            lambda: not_healthy(url), timeout=HEALTHY_WITHIN, alive=process.is_running, on_wait=on_wait
        )
    except StackError as error:
        raise failure(process, f"fails to start: {error}") from error


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

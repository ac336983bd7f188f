"""A Spark cluster as the user names it, and whether anything answers there."""

import queue
import re
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack.config import Config
from stack.errors import StackError

_ANSWERS_WITHIN = 4  # seconds
_LOCAL = re.compile(r"local(\[(\*|[1-9][0-9]*)\])?")
_PYTHON = re.compile(r"^\s*spark\.pyspark\.python\s*[=:\s]", re.MULTILINE)
_PLACE = r"([^:/,@\[\]]+|\[[0-9a-fA-F:]+\]):[0-9]+"
_STANDALONE = re.compile(rf"spark://{_PLACE}(,{_PLACE})*")


@dataclass(frozen=True)
class Cluster:
    """Where Spark is. ``python`` is a Python of its executors, if one of them has all packages.

    ``properties`` are Spark's settings, and may hold secrets. ``driver_host`` is the address of this machine
    that the cluster can reach, if it is known.
    """

    master: str
    python: str | None = None
    properties: str = field(default="", repr=False)
    driver_host: str = ""

    @property
    def is_local(self) -> bool:
        """Whether Spark runs on this machine, in one process."""
        return self.master.startswith("local")

    def request(self, config: Config) -> dict[str, Any]:
        """Return what the scorer is told of it."""
        return {
            "master": self.master,
            "python": self.python or "",
            "properties": self.properties,
            "driver_host": self.driver_host,
            "environment": dict(config.model_environment),
        }


def find_cluster(master: str, python: str | None, properties: Path | None) -> Cluster:
    """Return the cluster at a master's address, which answers there.

    Raises:
        StackError: if it is no such address, nothing answers within seconds, or the properties can't be read
            or name a Python.

    """
    is_known = _LOCAL.fullmatch(master) or _STANDALONE.fullmatch(master) or master == "yarn"
    if not is_known and not master.startswith("k8s://"):
        raise StackError(
            "--master is no address of Spark: expected spark://HOST:PORT, local[N], yarn or k8s://HOST:PORT,"
            f" found {master!r}; correct it"
        )
    try:
        settings = properties.read_text(encoding="utf-8") if properties else ""
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"can't read {properties} ({error}); correct --properties") from error
    if _PYTHON.search(settings):
        raise StackError(
            f"spark.pyspark.python in {properties} would say which Python scores; remove it there, and use"
            " --python"
        )
    return Cluster(master, python, settings, _reached_from(master, addresses(master)))


def addresses(master: str) -> list[tuple[str, int]]:
    """Return the hosts and ports at which a master may answer; none where no address says."""
    if master.startswith("k8s://"):
        url = master.removeprefix("k8s://")
        places = [url if "://" in url else f"https://{url}"]
    elif master.startswith("spark://"):
        places = [f"spark://{place}" for place in master.removeprefix("spark://").split(",")]
    else:
        return []
    found = []
    for place in places:
        parts = urlsplit(place)
        try:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError):
            raise StackError(f"--master has no port from 1 to 65535 in {place}; correct it") from None
        found.append((parts.hostname or "", port))
    return found


def _reached_from(master: str, places: list[tuple[str, int]]) -> str:
    """Return the address of this machine from which the first place that answers was reached."""
    if not places:
        return ""
    answers: queue.Queue[str | OSError] = queue.Queue()

    def ask(place: tuple[str, int]) -> None:
        try:
            with socket.create_connection(place, _ANSWERS_WITHIN) as connection:
                answers.put(str(connection.getsockname()[0]))
        except OSError as error:
            answers.put(error)

    for place in places:  # in threads, as nothing bounds how long a name server takes
        threading.Thread(target=ask, args=(place,), daemon=True).start()
    why = f"no answer within {_ANSWERS_WITHIN} s"
    for _ in places:
        try:
            answer = answers.get(timeout=_ANSWERS_WITHIN)
        except queue.Empty:
            break
        if isinstance(answer, str):
            return answer
        why = answer.strerror or str(answer)
    raise StackError(f"no Spark master answers at {master} ({why}); start it, or correct --master")

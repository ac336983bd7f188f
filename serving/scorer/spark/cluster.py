"""Where Spark is, and the settings that its driver starts with."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Each task has one core.
_RETRIED = 4  # times a task is tried, as on a cluster
_LOCAL = re.compile(r"local(?:\[([^,\]]+)\])?")
_USERS_PATH = re.compile(r"^[ \t]*spark\.executorEnv\.PYTHONPATH[ \t]*[=: \t][ \t]*(.+)$", re.MULTILINE)
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


@dataclass(frozen=True)
class Cluster:
    """A Spark cluster, as the user names it.

    ``driver_host`` is the address by which executors reach this process; empty if Spark is to find it.
    ``python`` is a Python of the executors that has all packages; empty if these are to be shipped.
    ``properties`` are the user's settings of Spark, as the text of a properties file, with secrets.
    ``environment`` holds the model's own variables.
    """

    master: str
    driver_host: str = ""
    python: str = ""
    properties: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the driver's JVM is the only executor, on this machine."""
        return self.master.startswith("local")

    @property
    def own_address(self) -> str:
        """The address of this machine for the driver; empty if Spark is to find it."""
        return "127.0.0.1" if self.is_local else self.driver_host

    @property
    def executors_python(self) -> str:
        """What the executors start as Python."""
        if self.is_local:
            return sys.executable
        return self.python or "python{}.{}".format(*sys.version_info)

    @property
    def lacks_packages(self) -> bool:
        """Whether the executors need the packages of this process's environment."""
        return not (self.is_local or self.python)

    def settings(self, search_path: str) -> str:
        """Return the text of a properties file: ours, the user's, then what must be; the last one counts.

        In ``search_path``, executors look for modules before they do where the user says; empty if that is
        theirs already.
        """
        last = _lines({"spark.master": self._master})
        if search_path:
            users = _USERS_PATH.findall(re.sub(r"\\\n[ \t]*", "", self.properties))
            joined = "\\:".join([_escaped(search_path), *(each.rstrip() for each in users[-1:])])
            last = f"spark.executorEnv.PYTHONPATH={joined}\n{last}"
        return f"{_lines(dict(self._defaults()))}\n{self.properties}\n\n{last}"

    @property
    def _master(self) -> str:
        """Where Spark is; in one process, a task that is killed is tried again, as on a cluster."""
        found = _LOCAL.fullmatch(self.master)
        return f"local[{found[1] or 1},{_RETRIED}]" if found else self.master

    def _defaults(self) -> Iterator[tuple[str, str]]:
        yield "spark.app.name", "pyfunc-stack score"
        yield "spark.ui.enabled", "false"
        if host := self.own_address:
            yield "spark.driver.host", f"[{host}]" if ":" in host else host
        # Another user's byte code in what is shipped could not be removed.
        own = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONDONTWRITEBYTECODE": "1"}
        for name, value in (_ONE_THREAD | dict(self.environment) | own).items():
            yield f"spark.executorEnv.{name}", value


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{_escaped(name)}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(text: str) -> str:
    r"""Return it as java.util.Properties reads it: a blank, `=` and `:` end a name, and `\` escapes."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return "".join(f"\\{letter}" if letter in " =:#!" else letter for letter in text)

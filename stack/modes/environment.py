"""The packages that a model needs: those of the lock or, where these do not do, an environment of its own."""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from stack.config import CHECKOUT
from stack.errors import StackError

# What serves a model has the lock's version, whatever the model asks for.
SERVING = (
    "mlflow",
    "uvicorn[standard]",
    "uvicorn-worker",
    "orjson",
    "prometheus-client",
    "fastapi-offline",
    "gunicorn[gevent]",
)
_EXTRAS = {Requirement(text).name: Requirement(text).extras for text in SERVING}
_SERVING = {*_EXTRAS, "mlflow-skinny", "mlflow-tracing"}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)([^\\]*)", re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """What is installed for a model: a Python, by its minor version, and packages, as pip takes them.

    uv resolves them together with what serves a model. It prefers the lock's versions.
    """

    python: str
    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What names it: the same for the same requirements and the same lock."""
        return f"{_digest([self.python, self.requirements, self.constraints])}-{_lock_key()}"

    def __str__(self) -> str:
        """Name the Python and what the lock lacks."""
        lacking = [*unmet(self.requirements, self.python), *broken(self.constraints, self.python)]
        return f"Python {self.python}" + (f" with {', '.join(lacking)}" if lacking else "")

    def write(self, directory: Path) -> None:
        """Write the files that `install_environment` of lock/sources.sh reads."""
        pins = _pins()
        # What serves keeps the extras that the model asks for.
        extras = dict(_EXTRAS)
        for text in self.requirements:
            if (name := _name(text)) in extras:
                extras[name] = extras[name] | Requirement(text).extras
        overrides = [Requirement(f"{name}[{','.join(of)}]=={pins[name]}") for name, of in extras.items()]
        files = {
            "requirements.txt": (*self.requirements, *SERVING),
            "constraints.txt": self.constraints,
            "overrides.txt": map(str, overrides),
            "lock.txt": [f"{name}=={version}{marker}" for name, version, marker in _PIN.findall(_lock())],
        }
        for name, lines in files.items():
            (directory / name).write_text("".join(f"{line}\n" for line in lines))


def environment_of(
    model: Path, python: str, what: str, *, holds_data_only: bool = False
) -> Environment | None:
    """Return the environment of the model in a directory; None if the lock does, under ``python``.

    ``python`` is the minor version that the stack has. It also does for a model of another one that
    ``holds_data_only``, and no pickled code.

    Raises:
        StackError: if the model was logged with a Python that the lock does not support.

    """
    function = _python_function(model)
    logged_with = ".".join(str(function.get("python_version", python)).split(".")[:2])
    if holds_data_only and "python_model" not in function:
        logged_with = python
    requirements = tuple(sorted(text for text in _lines(model / "requirements.txt") if not _serves(text)))
    constraints = tuple(sorted(text for text in _lines(model / "constraints.txt") if not _serves(text)))
    if logged_with == python and not unmet(requirements, python) and not broken(constraints, python):
        return None
    if logged_with not in SpecifierSet(_supported()):
        raise StackError(
            f"{what} was logged with Python {logged_with}, and the stack's packages support {_supported()};"
            " log it again with such a Python"
        )
    return Environment(logged_with, requirements, constraints)


def other_mlflow(model: Path) -> str:
    """Return the requirement of MLflow that the lock's MLflow does not meet; empty if there is none."""
    wanted = (text for text in _lines(model / "requirements.txt") if re.match(r"mlflow\b", text))
    return next((text for text in wanted if _installed(text) is not None), "")


def _python_function(model: Path) -> dict[str, Any]:
    """Return what MLmodel says of the flavor by which any model is served."""
    described = yaml.safe_load((model / "MLmodel").read_text())
    function: dict[str, Any] = described["flavors"].get("python_function", {})
    return function


def unmet(requirements: tuple[str, ...], python: str) -> list[str]:
    """Return the requirements that the lock does not meet under this Python."""
    return [text for text in requirements if _applies(text, python) and _installed(text) is not None]


def broken(constraints: tuple[str, ...], python: str) -> list[str]:
    """Return the constraints that a package of the lock does not keep under this Python."""
    return [text for text in constraints if _applies(text, python) and _installed(text)]


def is_of_todays_lock(key: str) -> bool:
    """Whether an environment of this key was made with today's lock."""
    return key.endswith(f"-{_lock_key()}")


def _lines(file: Path) -> Iterator[str]:
    """Yield the requirements in a file; options are left out, as settings say where packages are."""
    for line in file.read_text().splitlines() if file.exists() else []:
        text = re.sub(r"(^|\s)#.*", "", line).rstrip("\\ ").strip()
        if text and not text.startswith("-"):
            yield text


def _serves(text: str) -> bool:
    """Whether a requirement asks for nothing but what serves every model."""
    name = _name(text)
    return name in _SERVING and Requirement(text).extras <= _EXTRAS.get(name, set())


def _name(text: str) -> str:
    """Return the name in a requirement; empty if it is not in the form of one."""
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        return ""


def _applies(text: str, python: str) -> bool:
    try:
        marker = Requirement(text).marker
    except InvalidRequirement:
        return True
    return marker is None or marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})


def _installed(text: str) -> str | None:
    """Return the lock's version of what is required if that will not do, empty if it has none; else None."""
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return ""
    found = _pins().get(canonicalize_name(wanted.name), "")
    # Of what an extra stands for, the lock says nothing.
    is_met = not wanted.url and not wanted.extras - _EXTRAS.get(canonicalize_name(wanted.name), set())
    return None if found and is_met and wanted.specifier.contains(found, prereleases=True) else found


def _lock_key() -> str:
    return _digest([SERVING, _lock()])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


@cache
def _pins() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version, _ in _PIN.findall(_lock())}


@cache
def _lock() -> str:
    return (CHECKOUT / "lock" / "runtime.txt").read_text()


@cache
def _supported() -> str:
    supported: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["requires-python"]
    return supported

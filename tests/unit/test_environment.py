import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.modes import docker_environment, native_environment
from stack.modes.docker_environment import (
    Fetching,
    base_python,
    build_command,
    environment_image,
    python_image,
)
from stack.modes.engine import Image, find_image
from stack.modes.environment import SERVING, Environment, environment_of, other_mlflow, unmet
from stack.modes.interruptible import Ended
from tests.unit.test_docker import an_image

CONFIG = load_config({"COMPOSE_PROJECT_NAME": "mine"}, Path("/nonexistent/.env"))
LOCKED = {
    line.partition("==")[0]: line.partition("==")[2].split()[0]
    for line in (CHECKOUT / "lock" / "runtime.txt").read_text().splitlines()
    if line[0].isalpha()
}
NUMPY = f"numpy=={LOCKED['numpy']}"
OTHER = Environment("3.12", ("cowsay==6.1", NUMPY))


def a_model(directory: Path, *requirements: str, python: str = "3.13.5", **function: str) -> Path:
    """Write what says what a model needs."""
    said = {"loader_module": "it", "python_version": python, **function}
    (directory / "MLmodel").write_text(f"flavors:\n  python_function: {said}\n")
    (directory / "requirements.txt").write_text("\n".join(requirements))
    return directory


@pytest.mark.parametrize(
    "requirements",
    [
        (),
        ("mlflow==2.9.2", NUMPY, "Scikit_Learn", "uvicorn[standard]", "pandas>=1"),
        ("# all of it", "--extra-index-url https://example.org", f"{NUMPY}  # why"),
        ("no-such-package==1; sys_platform == 'win32'", "no-such-package==1 ; python_version < '3.12'"),
    ],
    ids=["nothing", "met", "comments and options", "for others"],
)
def test_the_lock_does_for_a_model_that_it_has_all_for(tmp_path: Path, requirements: tuple[str, ...]) -> None:
    assert environment_of(a_model(tmp_path, *requirements), "3.13", "it") is None


@pytest.mark.parametrize(
    ("requirement", "shown"),
    [
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("no-such-package", "no-such-package"),
        ("cowsay @ file:///cowsay.whl", "cowsay @ file:///cowsay.whl"),
        ("numpy @ file:///numpy.whl", "numpy @ file:///numpy.whl"),
        ("./cowsay.whl", "./cowsay.whl"),
    ],
)
def test_a_model_that_needs_other_packages_gets_an_environment(
    tmp_path: Path, requirement: str, shown: str
) -> None:
    found = environment_of(a_model(tmp_path, "mlflow==2.9.2", "pandas", requirement), "3.13", "it")
    assert found == Environment("3.13", tuple(sorted(["pandas", requirement])))
    assert str(found) == f"Python 3.13 with {shown}"


def test_constraints_are_kept(tmp_path: Path) -> None:
    model = a_model(tmp_path, "pandas", "-c constraints.txt")
    (model / "constraints.txt").write_text("torch<2.5\nmlflow<3\n")
    assert environment_of(model, "3.13", "it") is None
    (model / "constraints.txt").write_text("torch<2.5\nnumpy<2\nmlflow<3\n")
    found = environment_of(model, "3.13", "it")
    assert found == Environment("3.13", ("pandas",), ("numpy<2", "torch<2.5"))
    assert str(found) == "Python 3.13 with numpy<2"


def test_extras_are_installed_also_those_of_what_serves(tmp_path: Path) -> None:
    model = a_model(tmp_path, "mlflow[genai]==2.9.2", "pandas[excel]")
    found = environment_of(model, "3.13", "it")
    assert found == Environment("3.13", ("mlflow[genai]==2.9.2", "pandas[excel]"))
    found.write(tmp_path)
    overrides = (tmp_path / "overrides.txt").read_text().splitlines()
    assert f"mlflow[genai]=={LOCKED['mlflow']}" in overrides
    assert f"uvicorn[standard]=={LOCKED['uvicorn']}" in overrides


def test_a_model_of_another_python_gets_that_unless_it_was_trained_here_and_holds_data_only(
    tmp_path: Path,
) -> None:
    model = a_model(tmp_path, NUMPY, python="3.11.7")
    assert environment_of(model, "3.13", "it") == Environment("3.11", (NUMPY,))
    assert environment_of(model, "3.13", "it", holds_data_only=True) is None
    a_model(tmp_path, NUMPY, python="3.11.7", python_model="python_model.pkl")
    assert environment_of(model, "3.13", "it", holds_data_only=True) == Environment("3.11", (NUMPY,))


@pytest.mark.parametrize("python", ["3.10.13", "3.14.0", "2.7.18"])
def test_a_python_that_the_lock_does_not_support_is_refused(tmp_path: Path, python: str) -> None:
    minor = python.rpartition(".")[0]
    says = rf"^version 3 of iris was logged with Python {minor}, .* support >=3\.11,<3\.14; log it again"
    with pytest.raises(StackError, match=says):
        environment_of(a_model(tmp_path, python=python), "3.13", "version 3 of iris")


def test_another_mlflow_is_told(tmp_path: Path) -> None:
    assert other_mlflow(a_model(tmp_path, "mlflow-skinny", f"mlflow=={LOCKED['mlflow']}")) == ""
    assert other_mlflow(a_model(tmp_path, "mlflow==2.9.2")) == "mlflow==2.9.2"


def test_the_key_is_that_of_the_requirements() -> None:
    assert OTHER.key == Environment("3.12", ("cowsay==6.1", NUMPY)).key
    others = [
        Environment("3.11", OTHER.requirements),
        Environment("3.12", ("cowsay==6.0", NUMPY)),
        Environment("3.12", OTHER.requirements, ("numpy<3",)),
    ]
    assert len({OTHER.key, *(other.key for other in others)}) == 4


def test_what_uv_reads_names_the_requirements_and_the_locks_versions(tmp_path: Path) -> None:
    OTHER.write(tmp_path)
    read = {file.stem: file.read_text().splitlines() for file in tmp_path.iterdir()}
    assert read["requirements"] == ["cowsay==6.1", NUMPY, *SERVING]
    assert f"mlflow=={LOCKED['mlflow']}" in read["overrides"]
    assert f"uvicorn[standard]=={LOCKED['uvicorn']}" in read["overrides"]
    assert len(read["overrides"]) == len(SERVING)
    assert [line.partition("==")[0] for line in read["lock"]] == list(LOCKED)
    assert read["constraints"] == []
    assert unmet(SERVING, "3.13") == []


def test_with_docker_an_environment_is_made_of_the_base_image_or_of_that_pythons() -> None:
    base = an_image("sha256:base", "1", platform="linux/arm64")
    same = Environment(base_python(), ("cowsay==6.1",))
    for environment, below in (
        (same, "--build-context=base=docker-image://mine-base"),
        (OTHER, f"--build-arg=PYTHON_IMAGE={python_image('3.12')}"),
    ):
        fetching = Fetching({"HTTP_PROXY": "http://proxy"}, "host", 'a,"b.pem')
        command = build_command(CONFIG, environment, base, "needs", fetching=fetching)
        assert command[:2] == ["docker", "build"]
        assert below in command
        name = environment_image(CONFIG, environment.key)
        assert {"--platform=linux/arm64", "--build-arg=HTTP_PROXY", f"--tag={name}"} <= set(command)
        assert {'--secret=id=ca,"src=a,""b.pem"', "--network=host", "--build-context=needs=needs"} <= set(
            command
        )
        assert command[-1] == str(CHECKOUT)
    assert python_image("3.12").startswith("python:3.12-slim-")


class Engine:
    """Knows images, and notes what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: dict[str, Image], failure: str = "") -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        base = {"args": {"PACKAGE_INDEX": "https://me:p$$w@index", "A": None}}
        files = {"services": {"tracking": {"build": base}}, "secrets": {"ca": {"file": "/ca.pem"}}}

        def run(command: list[str], _: object = None) -> subprocess.CompletedProcess[str]:
            self.commands.append(command)
            said = json.dumps(files) if "config" in command else "cowsay==6.1\n"
            return subprocess.CompletedProcess(command, 0, said, "")

        def build(command: list[str], _on_wait: object, *, environment: dict[str, str], **_: object) -> Ended:
            self.environments.append(environment)
            run(command)
            return Ended(failure and "it failed", failure, "")

        monkeypatch.setattr(docker_environment, "run", run)
        monkeypatch.setattr("stack.modes.compose.run", run)
        monkeypatch.setattr(docker_environment, "run_interruptibly", build)
        monkeypatch.setattr(docker_environment, "find_image", known.get)

    def builds(self) -> list[list[str]]:
        return [command for command in self.commands if command[:2] == ["docker", "build"]]


def test_with_docker_it_is_made_once_and_again_for_another_base(monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = an_image("sha256:base", "1"), an_image("sha256:base", "2")
    name = environment_image(CONFIG, OTHER.key)
    there = an_image("sha256:it", labels={"pyfunc-stack.base": docker_environment.digest(base)})
    for known, asked, builds in (({}, base, 1), ({name: there}, base, 0), ({name: there}, other, 1)):
        engine = Engine(monkeypatch, known)
        assert docker_environment.prepare(CONFIG, OTHER, asked, lambda: None) == "cowsay==6.1\n"
        assert len(engine.builds()) == builds


def test_an_address_with_a_password_is_in_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, {})
    docker_environment.prepare(CONFIG, OTHER, an_image("sha256:base", "1"), lambda: None)
    assert "p$" not in str(engine.commands)
    assert engine.environments[0]["PACKAGE_INDEX"] == "https://me:p$w@index"
    assert "--build-arg=A" not in engine.builds()[0]


def test_with_docker_one_that_can_not_be_made_is_told_in_uvs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = (
        "#14 [environment 1/1] RUN it\n#14 1.2 error: No solution found\n"
        "#14 1.2   cause: Because there is no version of cowsay==6.1, your requirements are unsatisfiable.\n"
        '#14 ERROR: process "it" did not complete successfully: exit code: 1\n'
    )
    Engine(monkeypatch, {}, printed)
    with pytest.raises(StackError) as raised:
        docker_environment.prepare(CONFIG, OTHER, an_image("sha256:base", "1"), lambda: None)
    assert str(raised.value) == (
        "its environment (Python 3.12 with cowsay==6.1) can't be made:\n    error: No solution found\n"
        "      cause: Because there is no version of cowsay==6.1, your requirements are unsatisfiable.\n"
        "log the model with other requirements, or set PACKAGE_INDEX to an index that has these packages"
        " (docs/company-wall.md)"
    )


def test_an_engine_without_the_base_image_has_no_such_image(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[..., Any] = lambda _command: subprocess.CompletedProcess([], 1, "[]\n", "no such image")  # noqa: E731
    monkeypatch.setattr("stack.modes.engine.run", nothing)
    assert find_image("mine-base") is None


def test_without_docker_a_missing_python_is_named_and_so_is_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setattr(native_environment, "_UV", tmp_path / "uv")
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "uv").chmod(0o755)
    with pytest.raises(
        StackError, match=r"logged with Python 3\.99, which this machine lacks; .* set PYTHON to"
    ):
        native_environment.prepare(tmp_path, Environment("3.99", ()), lambda: None)
    assert native_environment._find_python(native_environment.own_python()) == sys.executable


def test_without_docker_only_a_whole_environment_counts_and_unused_ones_are_removed(tmp_path: Path) -> None:
    for key in ("whole", "partial", "unused"):
        directory = native_environment.directory_of(tmp_path, key)
        (directory / "bin").mkdir(parents=True)
        (directory / "bin" / "python").symlink_to(sys.executable)
        if key != "partial":
            (directory / "packages.txt").touch()
    assert native_environment.python_of(tmp_path, "whole") is not None
    assert native_environment.python_of(tmp_path, "partial") is None
    native_environment.remove_unused(tmp_path, {"whole", "partial"})
    assert sorted(path.name for path in (tmp_path / "environments").iterdir()) == ["partial", "whole"]

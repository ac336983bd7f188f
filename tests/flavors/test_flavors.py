"""What MLflow logs, in its flavors and with packages of its own, is checked and served, in both modes."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests

from stack.modes.docker_environment import base_python
from stack.modes.native_environment import own_python
from tests.e2e.stacks import Stack, can_not_run, new_stack, running
from tests.e2e.stacks import docker as ask_docker
from tests.flavors.index import index
from tests.flavors.notebooks import WHEELS, Logged, log, make, python_of

pytestmark = pytest.mark.thorough

# Not the stack's own. With Docker, .ci/docker-engine makes an image of it.
OTHER_PYTHON = {"native": "3.12", "docker": "3.11"}
LOCKED = ("skops", "pickled", "function", "from_code", "hints")
BOOSTING = ("xgboost", "lightgbm", "statsmodels")
# What is served with packages of its own; of some of these, there must be exactly that release.
OWN = {
    "xgboost": ["xgboost==3.2.0"],
    "torch": ["torch==2.13.0+cpu"],
    "old": ["scikit-learn==1.5.2", "pandas==2.2.3", "numpy==1.26.4"],
}


class Lab:
    """A stack, and the notebooks that log to it."""

    def __init__(self, stack: Stack, home: Path, sources: dict[str, str]) -> None:
        self.stack, self.home, self.sources = stack, home, sources
        self.python = base_python() if stack.mode == "docker" else own_python()
        self._logged: dict[str, Logged] = {}

    def log(self, flavors: tuple[str, ...], notebook: str, python: str = "") -> dict[str, Logged]:
        made = make(notebook, python or self.python, self.home)
        return log(made, flavors, self.stack.tracking_url)

    def logged(self, flavor: str) -> Logged:
        """Return a model of that flavor; the first one that is asked for logs all of its notebook."""
        if flavor not in self._logged:
            if flavor in (*LOCKED, "nowhere"):
                self._logged |= self.log((*LOCKED, "nowhere"), "lock")
            elif flavor in BOOSTING:
                self._logged |= self.log(BOOSTING, "boosting")
            else:
                self._logged |= self.log((flavor,), flavor, "3.11")
        return self._logged[flavor]

    @cached_property
    def elsewhere(self) -> Logged:
        """A pickled function, of a Python that is not the stack's."""
        return self.log(("function",), "lock", OTHER_PYTHON[self.stack.mode])["function"]

    def promote(self, uri: str, *, python: str | None = None, check: bool = True) -> str:
        """Return what was printed, errors too. The packages come from this machine's index."""
        own = {"PYTHON": python} if python else {}
        stack = replace(self.stack, settings={**self.stack.settings, **self.sources, **own})
        done = stack.script("promote", uri, check=check)
        assert (done.returncode == 0) == check
        return done.stdout + done.stderr

    def tags(self) -> dict[str, str]:
        """Return the tags of the newest version."""
        return dict(self.stack.version(self.stack.versions()[-1]).tags)

    def served(self) -> str:
        """Return the version that the model server names."""
        return str(requests.get(f"{self.stack.serving_url}/model", timeout=30).json()["version"])

    def check_served(self, model: Logged) -> None:
        """Check that the newest version is served, and answers as the model did in the notebook."""
        newest = self.stack.versions()[-1]
        assert self.served() == self.stack.aliases()["champion"] == newest
        assert self.tags()["replay"].startswith("passed: 6 answers to the input example equal, ")
        answer = self.stack.post(model.request)
        assert answer.status_code == 200, answer.text
        assert same(answer.json()["predictions"], model.answers)


def same(found: list[Any], expected: list[Any]) -> bool:
    """Compare answers; numbers of single precision are not written alike everywhere."""
    if isinstance(expected[0], list):
        return all(map(same, found, expected)) and len(found) == len(expected)
    return bool(found == (pytest.approx(expected) if isinstance(expected[0], float) else expected))


@pytest.fixture(scope="module", params=["native", "docker"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    address = "127.0.0.1"
    if request.param == "docker":
        request.getfixturevalue("docker")
        gateway = "--format={{(index .IPAM.Config 0).Gateway}}"
        address = ask_docker("network", "inspect", "bridge", gateway).strip()
    home = tmp_path_factory.mktemp("flavors")
    with (
        index(WHEELS, address, home / "index") as sources,
        running(new_stack(request.param, home / "state")) as stack,
    ):
        yield Lab(stack, home, sources)


@pytest.mark.parametrize("flavor", LOCKED)
def test_a_model_that_the_lock_does_for_is_served_as_it_is(lab: Lab, flavor: str) -> None:
    model = lab.logged(flavor)
    assert "environment" not in lab.promote(model.uri)
    assert "packages" not in lab.tags()
    lab.check_served(model)


@pytest.mark.parametrize("flavor", OWN)
def test_a_model_with_other_packages_is_served_in_an_environment_of_its_own(lab: Lab, flavor: str) -> None:
    model = lab.logged(flavor)
    assert "making an environment" in lab.promote(model.uri)
    # MLflow is the stack's own, whatever the model asks for.
    wanted = {*OWN[flavor], f"mlflow=={version('mlflow')}"}
    assert wanted <= set(lab.tags()["packages"].splitlines())
    lab.check_served(model)


def test_a_retrain_and_another_model_of_the_same_packages_need_no_new_environment(lab: Lab) -> None:
    first = lab.logged("lightgbm")
    assert "making an environment" in lab.promote(first.uri)
    packages = lab.tags()["packages"]
    assert {"lightgbm==4.7.0", "statsmodels==0.15.0"} <= set(packages.splitlines())
    lab.check_served(first)
    for model in (lab.log(("lightgbm",), "boosting")["lightgbm"], lab.logged("statsmodels")):
        assert "environment" not in lab.promote(model.uri)
        assert lab.tags()["packages"] == packages
        lab.check_served(model)


@pytest.mark.parametrize("lab", ["native"], indirect=True)
def test_a_python_that_a_pickled_model_needs_and_the_machine_lacks_is_named(lab: Lab) -> None:
    needed = OTHER_PYTHON["native"]
    found = shutil.which(f"python{needed}")  # which may be pyenv's, that only says that it has one
    if found and subprocess.run([found, "-V"], capture_output=True).returncode == 0:
        can_not_run(f"this machine does not lack Python {needed}")
    refused = lab.promote(lab.elsewhere.uri, check=False)
    assert f"was logged with Python {needed}, which this machine lacks" in refused
    assert "set PYTHON to its path" in refused


def test_a_pickled_model_is_served_by_the_python_that_has_pickled_it(lab: Lab) -> None:
    needed = OTHER_PYTHON[lab.stack.mode]
    python = python_of(needed) if lab.stack.mode == "native" else None
    assert f"making an environment: Python {needed}" in lab.promote(lab.elsewhere.uri, python=python)
    lab.check_served(lab.elsewhere)


def test_what_can_not_be_resolved_is_told_in_the_words_of_uv_and_the_champion_goes_on(lab: Lab) -> None:
    before = lab.stack.aliases()["champion"]
    failed = lab.promote(lab.logged("nowhere").uri, check=False)
    for told in (failed, lab.tags()["failure"]):
        assert "pyfunc-stack-no-such-package was not found in the package registry" in " ".join(told.split())
    assert lab.served() == lab.stack.aliases()["champion"] == before

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from tests.e2e.engine_lock import EngineLock, engine_lock
from tests.e2e.stacks import DIABETES, Stack, can_not_run, missing_docker, new_stack, on_servers, running
from tests.real_stores import running_postgres, running_s3


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineLock]:
    """Skip what needs an engine where there is none; let no other process restart it."""
    if reason := missing_docker():
        can_not_run(f"Docker tests can't run: {reason}")
    directory = tmp_path_factory.getbasetemp()
    # The processes of one run have their directories side by side.
    with engine_lock(directory.parent if "PYTEST_XDIST_WORKER" in os.environ else directory) as lock:
        yield lock


@pytest.fixture(scope="session")
def native_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring a native stack up that many tests use; none of them may break it."""
    with running(new_stack("native", tmp_path_factory.mktemp("native"))) as stack:
        yield stack


@pytest.fixture(scope="session")
def docker_stack(docker: EngineLock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
    """Bring a stack in Docker up that many tests use; none of them may break it."""
    with running(new_stack("docker", tmp_path_factory.mktemp("docker"))) as stack:
        yield stack


@pytest.fixture(scope="session")
def native_diabetes_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same with the second model: only the configuration differs."""
    with running(new_stack("native", tmp_path_factory.mktemp("native"), model=DIABETES)) as stack:
        yield stack


@pytest.fixture(scope="session")
def docker_diabetes_stack(docker: EngineLock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
    """The same with the second model: only the configuration differs."""
    with running(new_stack("docker", tmp_path_factory.mktemp("docker"), model=DIABETES)) as stack:
        yield stack


@pytest.fixture(scope="session")
def native_servers_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same on a PostgreSQL and an S3 server that run elsewhere."""
    with (
        running_postgres() as database,
        running_s3(tmp_path_factory.mktemp("s3")) as s3,
        running(on_servers(new_stack("native", tmp_path_factory.mktemp("native")), database, s3)) as stack,
    ):
        yield stack


@pytest.fixture(scope="session")
def docker_servers_stack(docker: EngineLock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
    """The same on the PostgreSQL and the S3 server of compose/."""
    with running(on_servers(new_stack("docker", tmp_path_factory.mktemp("docker")))) as stack:
        yield stack


def _thorough(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.thorough)


@pytest.fixture(
    scope="session",
    params=[
        *("native", "docker"),
        *map(_thorough, ("native_diabetes", "docker_diabetes", "native_servers", "docker_servers")),
    ],
)
def stack(request: pytest.FixtureRequest) -> Stack:
    """One stack for each mode and model, and for each mode on PostgreSQL and S3."""
    found: Stack = request.getfixturevalue(f"{request.param}_stack")
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


def copy_checkout(target: Path, directory: str = "") -> Path:
    """Copy the files that a commit of the working tree would hold, or of one directory of it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=CHECKOUT / directory,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / directory / name, target / name)
    return target


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a checkout to change or to set up."""
    return copy_checkout(tmp_path / "clone")


@pytest.fixture
def installed_clone(clone: Path) -> Path:
    """Give the clone the packages of this checkout."""
    (clone / ".venv").symlink_to(CHECKOUT / ".venv")
    return clone

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from tests.e2e.stacks import DIABETES, Stack, can_not_run, missing_docker, new_stack, on_servers, running
from tests.real_stores import running_postgres, running_s3


@pytest.fixture(scope="session")
def docker() -> None:
    """Skip what needs an engine where there is none."""
    if reason := missing_docker():
        can_not_run(f"Docker tests can't run: {reason}")


@pytest.fixture(scope="session")
def native_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring a native stack up that many tests use; none of them may break it."""
    with running(new_stack("native", tmp_path_factory.mktemp("native"))) as stack:
        yield stack


@pytest.fixture(scope="session")
def docker_stack(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
    """Bring a stack in Docker up that many tests use; none of them may break it."""
    with running(new_stack("docker", tmp_path_factory.mktemp("docker"))) as stack:
        yield stack


@pytest.fixture(scope="session")
def native_diabetes_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The same with the second model: only the configuration differs."""
    with running(new_stack("native", tmp_path_factory.mktemp("native"), model=DIABETES)) as stack:
        yield stack


@pytest.fixture(scope="session")
def docker_diabetes_stack(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
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
def docker_servers_stack(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:  # noqa: ARG001
    """The same on the PostgreSQL and the S3 server of compose/."""
    with running(on_servers(new_stack("docker", tmp_path_factory.mktemp("docker")))) as stack:
        yield stack


def pytest_itemcollected(item: pytest.Item) -> None:
    """Run the tests that need the engine in one process, since some restart it, and the others in another."""
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    words = [*getattr(item, "fixturenames", ()), *map(str, params)]
    needs_engine = item.path.name == "test_offline.py" or any("docker" in word for word in words)
    item.add_marker(pytest.mark.xdist_group("docker" if needs_engine else "native"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of test_failures.py with Docker run in their order: each goes on from the last."""

    def place(item: pytest.Item) -> int:
        goes_on = item.path.name == "test_failures.py" and "docker" in item.name
        return (item.location[1] or 0) if goes_on else -1

    items.sort(key=place)


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

"""Behind a company's wall: with what ./scripts/vendor has collected, or with the company's own index."""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from tests.conftest import two_free_ports
from tests.e2e.behind_the_wall import INDEX_NAME, Company, Wall, company, engine, missing_for_a_wall, wall
from tests.e2e.conftest import copy_checkout
from tests.e2e.engine_lock import EngineLock
from tests.e2e.stacks import CLASSES, can_not_run, new_stack

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def behind(docker: EngineLock) -> Iterator[Wall]:  # noqa: ARG001
    """Make a network that has no way out, and see that it has none."""
    if reason := missing_for_a_wall():
        can_not_run(f"no wall to test behind: {reason}")
    with wall() as made:
        assert made.did("ip", "route") == ""
        asked = made.run("python3", "-c", "import socket; socket.create_connection(('192.0.2.1', 443), 5)")
        assert "Network is unreachable" in asked.stderr
        yield made


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory, behind: Wall) -> Path:  # noqa: ARG001 - skipped without
    """Collect, with the network, into a clone's vendor/."""
    clone = copy_checkout(tmp_path_factory.mktemp("collected"))
    (clone / ".venv").symlink_to(CHECKOUT / ".venv")
    stack = new_stack("docker", clone / "state", clone)
    stack.settings["DEBIAN_PACKAGES"] = "libpq5"
    said = stack.script("vendor").stdout
    assert "docker load --input vendor/image.tar" in said
    (clone / ".venv").unlink()
    return clone / "vendor"


def vendored(clone: Path, collected: Path, *names: str) -> Path:
    for name in names:
        source = collected / name
        if source.is_dir():
            shutil.copytree(source, clone / "vendor" / name, copy_function=os.link)
        else:
            os.link(source, clone / "vendor" / name)
    return clone


def settings(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the settings of a stack of its own; no package is in a cache, and its proxy leads nowhere."""
    ports = two_free_ports()
    return {
        "COMPOSE_PROJECT_NAME": f"test-{uuid.uuid4().hex[:8]}",
        "STACK_HOME": str(tmp_path / "state"),
        "TRACKING_PORT": str(ports[0]),
        "SERVING_PORT": str(ports[1]),
        "PIP_CACHE_DIR": str(tmp_path / "pip"),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "DOCKER_HOST": f"unix://{tmp_path}/nobody",
        **more,
    }


def predicts_and_bakes_again(behind: Wall, clone: Path, **own: str) -> None:
    def script(*command: str) -> str:
        return behind.did(f"./scripts/{command[0]}", *command[1:], cwd=clone, **own)

    assert all(name in script("predict") for name in CLASSES)
    script("train", "--force")
    assert "version 2 of iris is served" in script("deploy")
    assert all(name in script("predict") for name in CLASSES)
    assert "all agree" in script("status")


def test_without_docker_all_works_without_a_network(
    behind: Wall, collected: Path, clone: Path, tmp_path: Path
) -> None:
    vendored(clone, collected, "wheels")
    own = settings(tmp_path)
    try:
        assert "the stack is up" in behind.did("./scripts/up", "--native", "--detach", cwd=clone, **own)
        predicts_and_bakes_again(behind, clone, **own)
    finally:
        behind.did("./scripts/down", "--volumes", cwd=clone, **own)


def test_with_docker_all_works_without_a_network(
    behind: Wall, collected: Path, installed_clone: Path, tmp_path: Path
) -> None:
    # The scripts have their packages, as the test above sees to that; the images have none.
    clone = vendored(installed_clone, collected, "wheels", "debs", "image.tar")
    # Docker's own proxy setting, which Compose hands to every container.
    proxies = {"default": {"httpProxy": "http://127.0.0.1:9", "httpsProxy": "http://127.0.0.1:9"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    with engine(behind) as socket:
        own = settings(
            tmp_path,
            DOCKER_HOST=f"unix://{socket}",
            DOCKER_SOCKET=str(socket),
            DOCKER_CONFIG=str(tmp_path),
            DEBIAN_PACKAGES="libpq5",
        )
        behind.did("docker", "load", "--input", "vendor/image.tar", cwd=clone, **own)
        behind.did("docker", "compose", "build", cwd=clone, **own)
        try:
            behind.did("docker", "compose", "up", "--detach", "--wait", cwd=clone, **own)
            predicts_and_bakes_again(behind, clone, **own)
            libraries = "import ctypes; [ctypes.CDLL(name) for name in ('libgomp.so.1', 'libpq.so.5')]"
            run = ("docker", "compose", "exec", "-T", "serving", "python", "-c", libraries)
            behind.did(*run, cwd=clone, **own)
        finally:
            behind.did("docker", "compose", "down", "--volumes", cwd=clone, **own)


@pytest.fixture
def company_index(behind: Wall, collected: Path, tmp_path: Path) -> Iterator[Company]:
    with company(behind, collected / "wheels", tmp_path / "company", two_free_ports()) as made:
        yield made


def assert_all_came_from(company: Company) -> None:
    asked = company.requests()
    assert f"CONNECT {INDEX_NAME}:443" in asked
    for name in ("uv", "mlflow", "scikit_learn"):
        assert any(re.match(rf"GET /{name}-.*\.whl$", line) for line in asked), name


# What ./scripts/predict imports.
TO_PREDICT = ("certifi", "charset-normalizer", "idna", "python-dotenv", "requests", "urllib3")


def cut_lock(clone: Path, *more: str) -> None:
    """Leave only these packages in the lock, and what ./scripts/predict needs: the whole takes 20 s."""
    lock = clone / "lock" / "runtime.txt"
    entries = re.split(r"^(?=[a-z])", lock.read_text(), flags=re.MULTILINE)
    lock.write_text("".join(entry for entry in entries if entry.partition("==")[0] in (*TO_PREDICT, *more)))


def test_without_docker_packages_come_from_the_companys_index(
    behind: Wall, company_index: Company, clone: Path, tmp_path: Path
) -> None:
    own = settings(tmp_path)
    del own["HTTPS_PROXY"], own["HTTP_PROXY"]
    lines = [f"{name}={value}\n" for name, value in company_index.settings.items()]
    (clone / ".env").write_text("".join(lines))
    cut_lock(clone, "mlflow", "scikit-learn")
    installed = behind.run("./scripts/predict", cwd=clone, **own).stderr
    assert "predict: nothing answers at" in installed, installed  # so there was a .venv to ask with
    assert_all_came_from(company_index)


def test_images_are_built_from_the_companys_index_and_do_not_know_its_password(
    behind: Wall, collected: Path, company_index: Company, clone: Path, tmp_path: Path
) -> None:
    vendored(clone, collected, "debs", "image.tar")
    lines = [f"{name}={value}\n" for name, value in company_index.settings.items()]
    (clone / ".env").write_text("".join(lines))
    # So that the steps of the build reach the company on this machine's loopback.
    override = "services: { tracking: { build: { network: host } } }\n"
    (clone / "docker-compose.override.yml").write_text(override)
    with engine(behind) as socket:
        own = settings(tmp_path, DOCKER_HOST=f"unix://{socket}")
        del own["HTTPS_PROXY"], own["HTTP_PROXY"]
        behind.did("docker", "load", "--input", "vendor/image.tar", cwd=clone, **own)
        said = behind.did("docker", "compose", "--progress=plain", "build", "tracking", cwd=clone, **own)
        image = f"{own['COMPOSE_PROJECT_NAME']}-base"
        history = behind.did("docker", "history", "--no-trunc", image, cwd=clone, **own)
        known = behind.did("docker", "image", "inspect", image, cwd=clone, **own)
        saved = tmp_path / "saved.tar"
        behind.did("docker", "save", f"--output={saved}", image, cwd=clone, **own)
    assert_all_came_from(company_index)
    assert "use_image_sources" in history
    assert "hunter2" not in said
    assert not any(word in text for word in ("hunter2", INDEX_NAME) for text in (history, known))
    assert b"hunter2" not in saved.read_bytes()

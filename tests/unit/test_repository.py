"""Things that are written down in two places must say the same."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from workflow import requirements

from stack.config import CHECKOUT, MODEL_ENV_FILE, SERVING_NETWORKS, SETTINGS, load_config
from stack.model_env import OWN
from stack.modes.compose import trial_name

COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LOCKS = sorted((CHECKOUT / "lock").glob("*.txt"))
SCRIPTS = sorted(path for path in (CHECKOUT / "scripts").iterdir() if path.suffix == "")


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


def test_services_start_in_one_direction() -> None:
    assert list(SERVICES) == ["tracking", "trainer", "deploy", "watch", "serving"]
    needs = {name: list(service.get("depends_on", {})) for name, service in SERVICES.items()}
    assert needs == {
        "tracking": [],
        "trainer": ["tracking"],
        "deploy": ["tracking"],
        "watch": ["tracking"],
        "serving": ["tracking", "trainer", "deploy"],
    }


def test_the_model_server_answers_to_the_names_of_the_service_and_of_the_trial() -> None:
    config = load_config({"COMPOSE_PROJECT_NAME": "${COMPOSE_PROJECT_NAME}"}, Path("/nonexistent/.env"))
    names = {"serving", trial_name(config)}
    assert set(SERVICES["serving"]["environment"]["SERVER_SERVICE_NAMES"].split(",")) == names
    assert names <= set(SERVICES["deploy"]["environment"]["NO_PROXY"].split(","))


@pytest.mark.parametrize("name", ["trainer", "serving"])
def test_the_models_own_variables_reach_it_but_no_name_that_the_stack_sets(name: str) -> None:
    assert SERVICES[name]["env_file"] == [{"path": MODEL_ENV_FILE.name, "required": False}]
    assert set(SERVICES[name]["environment"]) <= {*SETTINGS, *OWN}


@pytest.mark.parametrize("name", ["model.env", "tracking.env"])
def test_what_may_hold_a_secret_is_in_no_image_and_not_in_git(name: str) -> None:
    assert name in (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert f"/{name}" in (CHECKOUT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("service", SERVICES)
def test_no_mount_is_written_in_the_form_that_a_colon_in_the_path_breaks(service: str) -> None:
    for mount in SERVICES[service].get("volumes", []):
        if mount == "mlflow:/mlflow":
            continue
        assert mount["type"] == "bind"
        assert mount["bind"] == {"create_host_path": False}  # else Compose itself writes that form


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_only_deploy_sees_the_docker_socket_and_what_does_the_same_for_as_long_as_somebody_wants() -> None:
    holders = [name for name, service in SERVICES.items() if "docker.sock" in str(service.get("volumes"))]
    assert holders == ["deploy", "watch"]
    assert SERVICES["deploy"]["userns_mode"] == "host"  # remapped, it could not use it
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["watch"]
    # Were the one image built for both, Compose would build it for both at once.
    own = {"pull_policy": "never", "command": ["--watch"], "restart": "unless-stopped", "profiles": ["watch"]}
    deploy = {key: value for key, value in SERVICES["deploy"].items() if key != "build"}
    assert SERVICES["watch"] == deploy | own


@pytest.mark.parametrize("name", ["tracking", "trainer", "serving"])
def test_services_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_fill_the_machine_with_processes_or_logs(name: str) -> None:
    assert SERVICES[name]["pids_limit"] == 4096
    assert SERVICES[name]["logging"] == {"driver": "local"}


def test_the_model_server_is_not_in_the_tracking_servers_network() -> None:
    assert SERVICES["serving"]["networks"] == ["serving-${SERVING_NETWORK:-closed}"]
    assert SERVICES["deploy"]["networks"] == ["default", *SERVICES["serving"]["networks"]]
    assert set(COMPOSE["networks"]) == {f"serving-{name}" for name in SERVING_NETWORKS}
    assert [name for name in SERVICES if "networks" not in SERVICES[name]] == ["tracking", "trainer"]


@pytest.mark.parametrize("name", ["tracking", "serving"])
def test_long_running_services_have_a_health_check_and_come_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_container_names_are_left_to_compose() -> None:
    assert not any("container_name" in service for service in SERVICES.values())


def test_every_variable_is_explained_in_the_example() -> None:
    compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (CHECKOUT / "docker-compose.yml").read_text()))
    readers = [
        (CHECKOUT / "stack" / name).read_text()
        for name in ("config.py", "tracking_settings.py", "gateway.py", "stores.py")
    ]
    config = set(re.findall(r'"([A-Z0-9]+_[A-Z_]+)"', "".join(readers)))
    explained = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    internal = {
        "MODEL_VERSION",
        "IMAGE_ID",
        "MLFLOW_DISABLE_TELEMETRY",
        "CONTAINER_URL",
        "TRACKING_ELSEWHERE",
        "COMPOSE_PATH_SEPARATOR",  # Compose's own
        *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "DEFAULT_REGION"),  # behind AWS_
    }  # set by the stack itself
    assert (compose | config) - internal <= explained


def test_a_clone_of_git_for_windows_has_the_lines_ends_that_scripts_need(tmp_path: Path) -> None:
    def git(*command: str, cwd: Path = tmp_path / "origin") -> str:
        own = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "core.autocrlf=true"]
        return subprocess.run(
            ["git", *own, *command], cwd=cwd, capture_output=True, text=True, check=True
        ).stdout

    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=CHECKOUT).split("\0")
    for name in filter(None, listed):
        (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, tmp_path / "origin" / name)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message=all")
    git("clone", "--quiet", "origin", "clone", cwd=tmp_path)
    for name in filter(None, listed):
        assert (tmp_path / "clone" / name).read_bytes() == (CHECKOUT / name).read_bytes(), name


def test_the_example_changes_nothing() -> None:
    assert dotenv_values(CHECKOUT / ".env.example") == {}


def test_every_package_is_pinned_once_and_with_hashes() -> None:
    names = [name for lock in LOCKS for name in pins(lock)]
    assert len(names) > 90
    assert len(names) == len(set(names))
    for lock in LOCKS:
        requirements = re.split(r"\n(?=[a-z0-9])", lock.read_text())
        assert all("--hash=sha256:" in text for text in requirements if "==" in text)


def test_the_lock_holds_no_address() -> None:
    assert not any("://" in lock.read_text() for lock in LOCKS)


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = {re.split(r"[\[<>=,]", text)[0] for text in project["project"]["dependencies"]}
    assert wanted <= set(pins(CHECKOUT / "lock" / "runtime.txt"))


def test_a_models_requirements_are_those_of_the_lock() -> None:
    locked = pins(CHECKOUT / "lock" / "runtime.txt")
    names = ("mlflow", "scikit-learn", "pandas", "numpy", "joblib")
    assert requirements(*names) == [f"{name}=={locked[name]}" for name in names]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_has_help(script: Path) -> None:
    for flag in ("-h", "--help"):
        shown = subprocess.run([script, flag], capture_output=True, text=True, check=True)
        assert f"usage: ./scripts/{script.name}" in shown.stdout.replace("Usage", "usage")
        assert shown.stderr == ""


@pytest.mark.parametrize(
    "script",
    [
        "bench",
        "deploy",
        "doctor",
        "down",
        "infer",
        "lint",
        "predict",
        "promote",
        "rollback",
        "status",
        "train",
        "up",
        "upgrade",
        "vendor",
    ],
)
def test_wrong_usage_is_told_apart(script: str) -> None:
    command = [str(CHECKOUT / "scripts" / script), "--no-such-flag"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert re.search("usage:|see ./scripts", refused.stderr)


def test_a_path_in_which_python_makes_no_environment_is_told_before_anything_is_made(tmp_path: Path) -> None:
    checkout = tmp_path / "a:b"
    for name in ("scripts", "lock"):
        shutil.copytree(CHECKOUT / name, checkout / name)
    refused = subprocess.run([checkout / "scripts" / "doctor"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"doctor: the path {checkout} has a colon, and Python can make no")
    assert not (checkout / ".venv").exists()


def test_docker_mode_without_an_engine_says_so() -> None:
    command = [str(CHECKOUT / "scripts" / "up"), "--docker", "--detach"]
    shell = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"}
    refused = subprocess.run(command, env=shell, capture_output=True, text=True)
    assert refused.returncode == 1
    assert re.match("up: (no Docker engine answers|there is no docker command)", refused.stderr)
    assert refused.stderr.endswith(", or use ./scripts/up --native\n")


def test_base_image_and_debian_parts_are_pinned_by_version() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-[a-z]+$", dockerfile, re.MULTILINE)
    parts = re.findall(r'^ARG (BASE_TOOLS|DOCKER_TOOLS)="(.*)"$', dockerfile, re.MULTILINE)
    pinned = dict(part.split("=") for _, names in parts for part in names.split())
    assert set(pinned) == {"nginx", "libgomp1", "docker-cli", "docker-compose", "docker-buildx"}
    assert all(version[0].isdigit() for version in pinned.values())
    # Fetched and installed; and by nothing else.
    for step in ("download_debian", "install_debian"):
        assert f"{step} base $BASE_TOOLS $DEBIAN_PACKAGES" in dockerfile
        assert f"{step} deploy $DOCKER_TOOLS" in dockerfile
    assert "apt-get install" not in dockerfile

"""The container of an export, run by the local engine exactly as the manifest says; no cluster is at hand."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from mlflow.models import get_model_info

from stack.release.registry import Registry
from stack.release.replay import Exchange, Record, replay
from stack.wait import wait_until
from tests.e2e.stacks import Stack, docker
from tests.manifests import (
    VERSIONS,
    Manifest,
    kustomized,
    of_kind,
    problems,
    quantity,
    validate,
    with_deployment,
)
from tests.unit.tracking_servers import as_client

NAMESPACE = "models"


@dataclass(frozen=True)
class Pod:
    """A container that runs as a pod of the Deployment would."""

    name: str
    spec: Manifest
    url: str

    @property
    def container(self) -> Manifest:
        (container,) = self.spec["containers"]
        return dict(container)

    def probe(self, name: str) -> int:
        """Ask as kubelet does: by the pod's address."""
        asked = self.container[name]["httpGet"]
        (port,) = (port["containerPort"] for port in self.container["ports"] if port["name"] == asked["port"])
        return self.ask(asked["path"], f"10.1.2.3:{port}").status_code

    def ask(self, path: str, host: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers={"Host": host}, timeout=10)

    def sees(self, *command: str) -> str:
        return docker("exec", self.name, *command).strip()


def run_command(name: str, objects: list[Manifest]) -> list[str]:
    """Build the command line that runs the only container of the Deployment as a node would."""
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (settings,) = (source["configMapRef"]["name"] for source in container["envFrom"])
    configured = of_kind(objects, "ConfigMap")
    assert configured["metadata"]["name"] == settings
    environment: dict[str, str] = dict(configured.get("data") or {})
    for variable in container["env"]:
        value = variable.get("value", NAMESPACE)
        known = lambda found: environment[found[1]]  # noqa: E731
        environment[variable["name"]] = re.sub(r"\$\((\w+)\)", known, value)
    security, limits = pod["securityContext"], container["resources"]["limits"]
    command, *rest = container["command"]
    assert all(volume["emptyDir"] == {"medium": "Memory"} for volume in pod["volumes"])
    return [
        *("run", "--detach", f"--name={name}", "--publish=127.0.0.1::8080", "--pull=never"),
        *(f"--env={key}={value}" for key, value in environment.items()),
        f"--user={security['runAsUser']}:{security['runAsGroup']}",
        *(["--read-only"] if container["securityContext"]["readOnlyRootFilesystem"] else []),
        *(f"--cap-drop={name}" for name in container["securityContext"]["capabilities"]["drop"]),
        f"--security-opt=no-new-privileges={not container['securityContext']['allowPrivilegeEscalation']}",
        *(f"--tmpfs={mount['mountPath']}" for mount in container["volumeMounts"]),
        f"--memory={int(quantity(limits['memory']) or 0)}",
        f"--cpus={quantity(limits['cpu'])}",
        f"--entrypoint={command}",
        *(container["image"], *rest, *container.get("args", [])),
    ]


@pytest.fixture(scope="module")
def objects(docker_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    output = tmp_path_factory.mktemp("export") / "kubernetes"
    told = docker_stack.script("export", "kubernetes", "--service-monitor", "--output", str(output)).stdout
    assert f"is written to {output}: passed: " in told
    return kustomized(output)


@contextmanager
def running(name: str, objects: list[Manifest]) -> Iterator[Pod]:
    """Run the container, and wait as long as the startup probe would."""
    docker(*run_command(name, objects))
    try:
        address = docker("port", name, "8080").split()[0]
        spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
        pod = Pod(name, spec, f"http://{address}")

        def not_started() -> str | None:
            try:
                return None if pod.probe("startupProbe") == 200 else "not healthy"
            except requests.RequestException as error:
                return str(error)

        started = pod.container["startupProbe"]
        wait_until(not_started, timeout=started["periodSeconds"] * started["failureThreshold"])
        yield pod
    finally:
        docker("rm", "--force", name)


@pytest.fixture(scope="module")
def pod(docker_stack: Stack, objects: list[Manifest]) -> Iterator[Pod]:
    with running(f"{docker_stack.settings['COMPOSE_PROJECT_NAME']}-pod", objects) as pod:
        yield pod


def test_what_is_exported_of_a_stack_is_right(docker_stack: Stack, objects: list[Manifest]) -> None:
    for each in (VERSIONS[0], VERSIONS[-1]):
        validate(objects, each)
    assert problems(objects) == []
    version = docker_stack.version(docker_stack.aliases()["champion"])
    annotations = of_kind(objects, "Deployment")["metadata"]["annotations"]
    assert annotations["pyfunc-stack/version"] == version.version
    assert annotations["pyfunc-stack/run-id"] == version.run_id
    assert annotations["pyfunc-stack/replay"] == version.tags["replay"]
    assert annotations["pyfunc-stack/image-id"] == version.tags["image_id"]


def test_the_pod_runs_as_serving_does(docker_stack: Stack, pod: Pod) -> None:
    serving = f"{docker_stack.settings['COMPOSE_PROJECT_NAME']}-serving-1"
    found, expected = (json.loads(docker("container", "inspect", name))[0] for name in (pod.name, serving))
    assert found["Image"] == expected["Image"]
    for key in ("Entrypoint", "User"):
        assert _command(found, key) == _command(expected, key)
    environments = [
        dict(pair.partition("=")[::2] for pair in each["Config"]["Env"] if not pair.endswith("="))
        for each in (found, expected)
    ]
    for environment in environments:
        del environment["SERVER_SERVICE_NAMES"]
        environment.pop("SERVER_NAMESPACE", None)
    assert environments[0] == environments[1]
    for key in ("ReadonlyRootfs", "CapDrop"):
        assert found["HostConfig"][key] == expected["HostConfig"][key]
    assert found["HostConfig"]["Tmpfs"].keys() == expected["HostConfig"]["Tmpfs"].keys()


def _command(container: Manifest, key: str) -> object:
    config = container["Config"]
    return [*config["Entrypoint"], *(config["Cmd"] or [])] if key == "Entrypoint" else config[key]


def test_the_pod_answers_the_probes_and_its_services_names_only(pod: Pod) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert pod.probe(probe) == 200
    for host in ("iris", "iris.models", "iris.models.svc:80", "iris.models.svc.cluster.local"):
        assert pod.ask("/model", host).status_code == 200
    assert pod.ask("/metrics", "10.1.2.3:8080").status_code == 200
    assert pod.ask("/model", "iris.other.svc").status_code == 403


def test_the_pod_is_confined(pod: Pod) -> None:
    assert pod.sees("id", "--user") == "10001"
    status = dict(line.partition(":\t")[::2] for line in pod.sees("cat", "/proc/1/status").splitlines())
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (0, 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert pod.sees("sh", "-c", "touch /opt/x 2>/dev/null || touch /tmp/x && echo only /tmp") == "only /tmp"
    assert "with 2 workers" in docker("logs", pod.name)  # one for each CPU of the limit


def test_the_pod_answers_the_replay(docker_stack: Stack, pod: Pod) -> None:
    version = docker_stack.aliases()["champion"]
    with as_client(docker_stack.tracking_url):
        held_out = Registry(docker_stack.client, docker_stack.model.name).replay(version)
        signature = get_model_info(f"models:/{docker_stack.model.name}/{version}").signature
    assert held_out
    record = Record([Exchange(**found) for found in held_out["exchanges"]], signature)
    found = replay(pod.url, record, timeout=60, queue=64)
    assert f"passed: {found}" == docker_stack.version(version).tags["replay"]


def test_the_pod_answers_what_it_has_begun_when_it_is_stopped(docker_stack: Stack, pod: Pod) -> None:
    """Stop it as kubelet does: the preStop command, SIGTERM, and SIGKILL after the rest of the grace."""
    before_stop = pod.container["lifecycle"]["preStop"]["exec"]["command"]
    rest = pod.spec["terminationGracePeriodSeconds"] - int(before_stop[-1])
    host, _, port = pod.url.removeprefix("http://").partition(":")
    body = docker_stack.model.request.encode()
    head = (
        f"POST /invocations HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    def is_in_flight() -> str | None:
        found = requests.get(f"{pod.url}/metrics", timeout=10).text
        return None if re.search(r"^model_server_requests_in_flight\S* [1-9]", found, re.MULTILINE) else found

    def is_listening() -> str | None:
        """Whether it takes new connections; asked fast, since what is in flight waits for 10 s at most."""
        try:
            return str(requests.get(f"{pod.url}/ping", timeout=10))
        except requests.ConnectionError:
            return None

    with socket.create_connection((host, int(port)), timeout=60) as connection, ThreadPoolExecutor() as pool:
        pod.sees(*before_stop)
        assert pod.probe("readinessProbe") == 200  # it still answers while other nodes learn that it goes
        connection.sendall(head.encode() + body[:10])
        wait_until(is_in_flight, timeout=30)
        stopped = pool.submit(docker, "stop", "-t", str(rest), pod.name)
        wait_until(is_listening, timeout=30)
        connection.sendall(body[10:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        stopped.result()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert docker_stack.model.is_right(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"])
    state = json.loads(docker("container", "inspect", pod.name))[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


def test_kserves_pod_answers_too(docker_stack: Stack, tmp_path: Path) -> None:
    docker_stack.script("export", "kubernetes", "--kserve", "--output", str(tmp_path / "kserve"))
    objects = with_deployment(kustomized(tmp_path / "kserve"))
    with running(f"{docker_stack.settings['COMPOSE_PROJECT_NAME']}-kserve", objects) as pod:
        assert pod.ask("/model", "iris-predictor.models").json()["name"] == docker_stack.model.name


def test_a_directory_that_holds_anything_is_refused(docker_stack: Stack) -> None:
    told = docker_stack.script("export", "kubernetes", "--output", "docs", check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"export: {docker_stack.checkout}/docs holds backup.md, ")


def test_without_docker_there_is_nothing_to_export(native_stack: Stack, tmp_path: Path) -> None:
    told = native_stack.script("export", "kubernetes", "--output", str(tmp_path / "kubernetes"), check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(
        "export: the stack runs without Docker here, so its versions have no images"
    )
    assert list(tmp_path.iterdir()) == []

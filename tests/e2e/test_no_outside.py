"""No part of the stack calls the outside: not when it starts, answers a request, or shows its UI.

The kernel counts the packets that leave, and they go nowhere: without Docker, in a network namespace
whose only way out is a cable to nobody; with Docker, by a rule for the stack's own network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stack.wait import wait_until
from tests.e2e.stacks import CLASSES, EXAMPLE, Stack, can_not_run, docker, new_stack, running
from tests.e2e.test_ui import BROWSERS

pytestmark = pytest.mark.thorough
SUBNET = "10.213.77.0/24"
# An address for documentation (RFC 5737): nobody's.
KNOCK = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'knock', ('192.0.2.1', 9))"
Command = Callable[..., str]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(autouse=True)
def _tools() -> None:
    missing = [tool for tool in ("ip", "iptables") if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        can_not_run(f"counting packets takes root and {', '.join(missing) or 'its tools'}")


@contextmanager
def namespace() -> Iterator[tuple[str, ...]]:
    """Make a network namespace; yield what runs a command in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ("ip", "netns", "exec", name)
    try:
        for command in (
            "sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
            "ip link set lo up",
            "ip link add outside type veth peer name nobody",
            "ip address add 10.213.78.1/24 dev outside",
            "ip link set nobody up",
            "ip link set outside up",
            "ip route add default dev outside",
        ):
            output_of(*inside, *command.split())
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def see_the_ui(stack: Stack, *inside: str) -> None:
    """Let a browser show the UI; it asks no other address than the stack's."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        can_not_run(f"UI tests can't run: none of {', '.join(BROWSERS)} is installed")
    page = output_of(
        *inside,
        found,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--virtual-time-budget=10000",
        "--dump-dom",
        f"{stack.tracking_url}/#/models/iris",
    )
    assert "champion" in page


def test_the_processes_of_the_native_stack_send_nothing_outside(home: Path) -> None:
    stack = new_stack("native", home)

    with namespace() as inside:

        def sent() -> int:
            return int(output_of(*inside, "cat", "/sys/class/net/outside/statistics/tx_packets"))

        try:
            stack.run(*inside, "./scripts/up", "--native", "--detach")
            answer = stack.run(*inside, "./scripts/predict").stdout
            assert all(name in answer for name in CLASSES)
            see_the_ui(stack, *inside)
            assert sent() == 0
            output_of(*inside, "python3", "-c", KNOCK)
            assert sent() > 0  # so it does count
        except BaseException:
            print(stack.logs())
            raise
        finally:
            stack.down("--volumes")


@contextmanager
def counted(rule: str) -> Iterator[Callable[[], int]]:
    """Count and drop what the rule says; yield what reads the counter."""
    chain = "DOCKER-USER"
    output_of("iptables", "-I", chain, *rule.split())
    try:

        def count() -> int:
            listed = output_of("iptables", "-nvxL", chain)
            line = next(line for line in listed.splitlines() if SUBNET in line)
            found = re.match(r"\s*(\d+)", line)
            assert found
            return int(found[1])

        yield count
    finally:
        output_of("iptables", "-D", chain, *rule.split())


@pytest.mark.usefixtures("docker")
def test_the_containers_of_the_stack_send_nothing_outside(home: Path, installed_clone: Path) -> None:
    halves = {"default": "10.213.77.0/25", "serving-closed": "10.213.77.128/25"}
    networks = {name: {"ipam": {"config": [{"subnet": half}]}} for name, half in halves.items()}
    (installed_clone / "docker-compose.override.yml").write_text(json.dumps({"networks": networks}))
    stack = new_stack("docker", home, installed_clone)
    rule = f"-s {SUBNET} ! -d {SUBNET} -m conntrack --ctstate NEW -j DROP"
    with counted(rule) as dropped, running(stack):
        assert stack.post(EXAMPLE).json()["predictions"] == CLASSES
        see_the_ui(stack)
        assert dropped() == 0
        stack.compose("exec", "-T", "tracking", "python", "-c", KNOCK)
        assert dropped() == 1  # so it does count


@contextmanager
def host_outside() -> Iterator[str]:
    """Run a server on another host, which knows no way back to the networks of Docker; yield its address."""
    name, cable = f"test-{uuid.uuid4().hex[:8]}", f"test-{uuid.uuid4().hex[:8]}"
    network = f"10.213.{uuid.uuid4().int % 64}"  # never SUBNET's
    address = f"{network}.2"
    inside = ("ip", "netns", "exec", name)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in (
            f"ip link add {cable} type veth peer name eth0 netns {name}",
            f"ip address add {network}.1/24 dev {cable}",
            f"ip link set {cable} up",
        ):
            output_of(*command.split())
        output_of(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        output_of(*inside, "ip", "link", "set", "eth0", "up")
        server = subprocess.Popen(
            [*inside, sys.executable, "-m", "http.server", "80"], stderr=subprocess.DEVNULL
        )
        try:
            knock = [sys.executable, "-c", REACH, address, "80"]
            wait_until(
                lambda: subprocess.run(knock, capture_output=True, text=True).stderr or None, timeout=30
            )
            yield address
        finally:
            server.kill()
            server.wait()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def test_a_model_reaches_nothing_or_only_the_outside(docker_stack: Stack) -> None:
    stack = docker_stack
    container = f"{stack.settings['COMPOSE_PROJECT_NAME']}-tracking-1"
    where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    tracking = docker("container", "inspect", f"--format={where}", container).strip()
    knock = ("docker", "compose", "exec", "-T", "serving", "python", "-c", REACH)

    def reached(*servers: tuple[str, str]) -> list[tuple[str, str]]:
        return [server for server in servers if stack.run(*knock, *server, check=False).returncode == 0]

    with host_outside() as address:
        servers = (("localhost", "8080"), (tracking, "5000"), ("tracking", "5000"), (address, "80"))
        assert reached(*servers) == [servers[0]]
        assert stack.predictions() == CLASSES
        replace(stack, settings={**stack.settings, "SERVING_NETWORK": "open"}).script("deploy")
        try:
            assert reached(*servers) == [servers[0], servers[-1]]
            assert stack.predictions() == CLASSES
        finally:
            stack.script("deploy")
        assert reached(*servers) == [servers[0]]

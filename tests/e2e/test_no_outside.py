"""No part of the stack calls the outside: not when it starts, answers a request, or shows its UI.

The kernel counts the packets that leave, and they go nowhere: without Docker, in a network namespace
whose only way out is a cable to nobody; with Docker, by a rule for the stack's own network.
"""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.stacks import CLASSES, EXAMPLE, Stack, can_not_run, new_stack, running
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
    override = f"networks: {{default: {{ipam: {{config: [{{subnet: {SUBNET}}}]}}}}}}\n"
    (installed_clone / "docker-compose.override.yml").write_text(override)
    stack = new_stack("docker", home, installed_clone)
    rule = f"-s {SUBNET} ! -d {SUBNET} -m conntrack --ctstate NEW -j DROP"
    with counted(rule) as dropped, running(stack):
        assert stack.post(EXAMPLE).json()["predictions"] == CLASSES
        see_the_ui(stack)
        assert dropped() == 0
        stack.compose("exec", "-T", "tracking", "python", "-c", KNOCK)
        assert dropped() == 1  # so it does count

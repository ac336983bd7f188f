"""Measure what the gateway costs, without Docker: python -m tests.bench.gateway [--runs N] [--seconds S].

The same small request is sent to the model server itself, through a Caddy that only passes it on, and through
the gateway, by TLS and with a login; each on kept-alive connections.
"""

import argparse
import http.client
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from stack.errors import StackError
from stack.gateway import token
from stack.modes import model_servers
from stack.modes.native_gateway import prepare
from stack.modes.processes import Process
from stack.wait import wait_until
from tests.bench.load import ask, http_request, measure
from tests.bench.measure import machine, memory, spread, table
from tests.bench.prepare import say
from tests.bench.program import parse_runs, status_of
from tests.bench.startup import clone
from tests.bench.switch import behind_gateway
from tests.conftest import two_free_ports
from tests.e2e.stacks import Stack, new_stack, running
from tests.unit.gateways import running_gateway

CLIENTS = 16
_LOGINS = {"right": 2000, "wrong secret": 500, "unknown name": 500}
_AT_ONCE = 100
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """A way to the model server: its port, the request, and by what a certificate is checked."""

    title: str
    port: int
    request: bytes
    authority: str = ""


@contextmanager
def passed_on(home: Path, to: int) -> Iterator[int]:
    """Run a Caddy that passes on all that it is asked; yield its port."""
    port, _ = two_free_ports()
    command = [prepare(home), "reverse-proxy", f"--from=http://127.0.0.1:{port}", f"--to=127.0.0.1:{to}"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    with (home / "caddy.log").open("wb") as log:
        caddy = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield port
    finally:
        caddy.terminate()
        caddy.wait()


def ways(stack: Stack, plain: int) -> Iterator[Way]:
    """Yield the three ways; the stack is behind the gateway."""
    assert stack.gateway is not None
    body, secret = stack.model.request.encode(), stack.gateway.secret()
    itself = http_request("/invocations", body, secret=secret)
    yield Way("the model server itself", _inner(stack), itself)
    yield Way("through Caddy", plain, itself)
    login = http_request("/invocations", body, token=token(*stack.gateway.login()))
    yield Way("through the gateway, TLS and login", stack.ports[1], login, str(stack.gateway.authority))


def cpu(pids: list[int]) -> float:
    """Return the CPU seconds that processes have taken."""
    taken = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        taken += int(fields[11]) + int(fields[12])
    return taken / _TICKS


def log_in(stack: Stack, name: str, secret: str, times: int) -> tuple[float, float]:
    """Log in so often, on some connections at once; return the CPU milliseconds that each login took.

    First those of the gateway, then those of the gateway and the model server. The handshakes do not count.
    """
    assert stack.gateway is not None
    home = Path(stack.settings["STACK_HOME"])
    gateway = Process(home, "gateway").members()
    servers = [pid for part in model_servers.NAMES for pid in Process(home, part).members()]
    context = ssl.create_default_context(cafile=str(stack.gateway.authority))
    login = {"Authorization": f"Bearer {token(name, secret)}"}

    def ask_often(connection: http.client.HTTPSConnection, often: int) -> None:
        for _ in range(often):
            connection.request("GET", "/model", headers=login)
            connection.getresponse().read()

    with ThreadPoolExecutor(_AT_ONCE) as clients, ExitStack() as opened:
        connections = [
            opened.enter_context(
                closing(http.client.HTTPSConnection("localhost", stack.ports[1], context=context, timeout=60))
            )
            for _ in range(_AT_ONCE)
        ]
        list(clients.map(ask_often, connections, repeat(1)))
        before = cpu(gateway), cpu(servers)
        list(clients.map(ask_often, connections, repeat(times // _AT_ONCE)))
        of_gateway, of_servers = cpu(gateway) - before[0], cpu(servers) - before[1]
    return of_gateway * 1e3 / times, (of_gateway + of_servers) * 1e3 / times


def start_seconds(home: Path) -> float:
    """Return how long a gateway takes until it answers."""
    since = time.monotonic()
    with running_gateway(home):
        return time.monotonic() - since


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    p50: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    logins: dict[str, list[tuple[float, float]]] = {}
    starts = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        stack = behind_gateway(new_stack("native", home / "state", clone(home, with_packages=True)))
        with running(stack), passed_on(home, _inner(stack)) as plain:
            wait_until(lambda: _not_right(stack, plain), timeout=30)
            for number in range(arguments.runs):
                say(f"run {number + 1} of {arguments.runs}")
                for way in ways(stack, plain):
                    _, answer = ask(way.port, way.request, authority=way.authority)
                    for clients, found in ((1, p50), (CLIENTS, rates)):
                        result = measure(
                            way.port, way.request, answer, clients, arguments.seconds, way.authority
                        )
                        found.setdefault(way.title, []).append(result.p50 if clients == 1 else result.rate)
                assert stack.gateway is not None
                name, secret = stack.gateway.login()
                for what, times in _LOGINS.items():
                    given = {"right": (name, secret), "wrong secret": (name, "wrong")}
                    who = given.get(what, ("stranger", "wrong"))
                    logins.setdefault(what, []).append(log_in(stack, *who, times))
                (home / str(number)).mkdir()
                starts.append(start_seconds(home / str(number)))
            weight = memory(Process(Path(stack.settings["STACK_HOME"]), "gateway").members())
    print(f"{machine(load)}\n\nmedians (min to max) of {arguments.runs} runs; 3 rows a request\n")
    heads = ["", "p50 of 1 client [ms]", f"requests/s of {CLIENTS} clients"]
    lines = [[title, spread(p50[title]), spread(rates[title])] for title in p50]
    print("\n".join(table(heads, lines)))
    print(f"the gateway: {spread(starts)} s until it answers, {weight:.0f} MB\n")
    heads = ["login", "times", "CPU of the gateway [ms]", "and of the model server [ms]"]
    lines = [
        [what, f"{_LOGINS[what]:,}", *(spread(list(each)) for each in zip(*found, strict=True))]
        for what, found in logins.items()
    ]
    print("\n".join(table(heads, lines)))


def _inner(stack: Stack) -> int:
    assert stack.gateway is not None
    return int((stack.gateway.home / "ports").read_text().split()[1])


def _not_right(stack: Stack, plain: int) -> str | None:
    try:
        for way in ways(stack, plain):
            status, _ = ask(way.port, way.request, authority=way.authority)
            if status != 200:
                return f"{way.title}: status {status}"
    except (OSError, StackError) as error:
        return str(error)
    return None


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench gateway", description="Measure what the gateway costs.")
    parser.add_argument("--seconds", type=float, default=5, help="how long each load lasts (default 5)")
    arguments = parse_runs(parser)
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())

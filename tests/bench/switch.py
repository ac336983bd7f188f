"""Ask a model server without a break while its versions change, and count what clients see of that.

python -m tests.bench.switch [--native | --docker] [--switches N] [--requests N] [--clients N] [--minutes M]

Each step is checked: the right version is served and champion, and what must not be touched was not. One that
does not do what it should ends the benchmark.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.gateway import OVERLAY, Gateway, token
from tests.bench.prepare import say
from tests.bench.program import status_of
from tests.bench.startup import clone
from tests.bench.startup_report import DOCKER, NATIVE
from tests.bench.switch_client import Job
from tests.bench.switch_load import Clients, under_load
from tests.bench.switch_report import BEHIND, report
from tests.bench.switch_results import SWITCHES, Soak, Step
from tests.bench.switch_steps import Steps, one_round, served
from tests.bench.switch_versions import Versions
from tests.e2e.stacks import ModelExample, Stack, missing_docker, new_stack, removed

_REST = 1.0  # seconds between two steps, to see what is usual, and what comes late


def questions(model: ModelExample) -> list[tuple[str, list[str]]]:
    """Return requests with several rows that differ in the order of the rows, each with its right answer."""
    rows, columns, answers = model.split["data"], model.split["columns"], model.answers
    found = []
    for first in range(len(rows)):
        split = {"columns": columns, "data": rows[first:] + rows[:first]}
        found.append((json.dumps({"dataframe_split": split}), answers[first:] + answers[:first]))
    return found


def soak(mode: str, home: Path, arguments: argparse.Namespace) -> Soak:
    """Bring a stack up, change its versions under load, and take it down."""
    stack = new_stack(mode, home / "state", clone(home, with_packages=True))
    if arguments.gateway:
        stack = behind_gateway(stack)
    with removed(stack):
        say(f"{mode}: bringing a stack up, and training versions that fail")
        stack.up()
        versions = Versions(stack)
        versions.train_failing()
        way_in: dict[str, Any] = {}
        if stack.gateway:
            way_in = {"auth": stack.gateway.login(), "verify": str(stack.gateway.authority)}
        steps = Steps(stack, versions, partial(served, **way_in))
        asking = Job(stack.ports[1], questions(stack.model), kept=arguments.clients, fresh=arguments.clients)
        if stack.gateway:
            login = token(*stack.gateway.login())
            asking = replace(asking, authority=str(stack.gateway.authority), token=login, patience=40)
        if not stack.model.is_right(stack.predictions()):
            raise StackError("the answers are wrong, so their times mean nothing")
        with under_load(asking) as load:
            time.sleep(_REST)
            kinds = one_round(mode, is_behind_gateway=arguments.gateway)
            done = change(kinds, steps.do, load.clients, arguments)
    return Soak(load.requests, done, load.late)


def behind_gateway(stack: Stack) -> Stack:
    """Choose the gateway in the checkout of a stack, and let this process log in there."""
    (stack.checkout / ".env").write_text(f"COMPOSE_FILE=docker-compose.yml:{OVERLAY}\n")
    gateway = Gateway(stack.checkout / "gateway", Path(stack.settings["STACK_HOME"]) / "gateway")
    os.environ.update({**gateway.trust(), **gateway.credentials()})
    return replace(stack, gateway=gateway)


def change(
    kinds: list[str], do: Callable[[str], Step], clients: Clients, arguments: argparse.Namespace
) -> list[Step]:
    """Do one round of steps, and go on until there were enough switches and requests, or the time is over."""
    done: list[Step] = []
    end = time.monotonic() + arguments.minutes * 60
    for number, kind in enumerate(itertools.cycle(kinds)):
        switches, asked = sum(step.kind in SWITCHES for step in done), clients.asked
        is_enough = switches >= arguments.switches and asked >= arguments.requests
        if (number >= len(kinds) and is_enough) or time.monotonic() >= end:
            break
        say(f"{kind} (after {switches} switches and {asked:,} requests)")
        done.append(do(kind))
        time.sleep(_REST)
    return done


def chosen_modes(wanted: str | None, *, is_behind_gateway: bool = False) -> tuple[dict[str, str], list[str]]:
    """Return the modes to measure, by the names of their columns, and why one is not measured.

    Raises:
        StackError: if the mode that is wanted can't run here.

    """
    without_docker = missing_docker() if wanted != "native" else ""
    if wanted == "docker" and without_docker:
        raise StackError(f"Docker can't be measured: {without_docker}")
    found = {NATIVE: "native"} if wanted != "docker" else {}
    if wanted != "native" and not without_docker:
        found[BEHIND if is_behind_gateway else DOCKER] = "docker"
    return found, [f"- Docker is not measured: {without_docker}"] if without_docker else []


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    modes, missing = chosen_modes(arguments.mode, is_behind_gateway=arguments.gateway)
    soaks = {}
    for column, mode in modes.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as home:
            soaks[column] = soak(mode, Path(home), arguments)
    print(
        f"{os.cpu_count()} cores, load average before: {load:.1f}; {arguments.clients} clients keep their"
        f" connection, and as many open one for each request. Each waits {Job.think * 500:.0f} to"
        f" {Job.think * 1500:.0f} ms before its next request; none asks again what has failed."
    )
    print("\n".join([*missing, "", *report(soaks, arguments.requests, arguments.switches)]))


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench switch", description="Change versions under load.")
    modes = parser.add_mutually_exclusive_group()
    for mode in ("native", "docker"):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, help="only this mode")
    parser.add_argument("--gateway", action="store_true", help="behind the gateway, by TLS and with a login")
    for name, default, what in (
        ("switches", 20, "how often the version changes at least"),
        ("requests", 100_000, "how many requests there are at least"),
        ("clients", 4, "how many clients keep their connection, and how many do not"),
        ("minutes", 15, "when a mode ends at the latest"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default {default})")
    arguments = parser.parse_args()
    if min(arguments.switches, arguments.requests, arguments.clients, arguments.minutes) < 1:
        parser.error("expected at least one switch, one request, one client and one minute")
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())

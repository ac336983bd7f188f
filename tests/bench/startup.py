"""Measure the start of the stack: from the command to the first right answer, and what it then takes.

python -m tests.bench.startup [--runs N] [--empty-build-cache]
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import requests

from stack.config import CHECKOUT
from stack.errors import StackError, exit_status
from tests.bench.measure import container_processes, memory
from tests.e2e.stacks import CLASSES, Stack, missing_docker, native_processes, new_stack, removed

Measurements = dict[str, list[float]]
IMAGES = ("-base", "-trainer", "-deploy", "/iris:1")


def add(measured: Measurements, what: str, value: float) -> None:
    """Keep a value and show it, so that a long benchmark can be followed."""
    measured.setdefault(what, []).append(value)
    print(f"    {what}: {value:.1f}", file=sys.stderr, flush=True)


def time_of(action: Callable[[], object]) -> float:
    """Return how long ``action`` takes, in seconds."""
    since = time.monotonic()
    action()
    return time.monotonic() - since


def up_to_the_first_right_answer(stack: Stack) -> None:
    """Bring the stack up, and ask for predictions."""
    stack.up()
    if stack.predictions() != CLASSES:
        raise StackError("the stack gave a wrong answer, so its time means nothing")


def longest_pause(stack: Stack, action: Callable[[], object]) -> float:
    """Return the longest time without an answer while ``action`` runs, in seconds."""
    last, longest = time.monotonic(), 0.0
    with ThreadPoolExecutor() as pool:
        running = pool.submit(action)
        while not running.done():
            try:
                is_right = stack.predictions() == CLASSES
            except requests.RequestException:
                time.sleep(0.02)
                continue
            if not is_right:
                raise StackError("the stack gave a wrong answer, so its time means nothing")
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        running.result()
    return longest


def measure_again(measured: Measurements, stack: Stack) -> None:
    """Measure on a stack that is up: an `up` where nothing changed, a new version, a rollback."""
    mode = "Docker" if stack.mode == "docker" else "native"
    add(
        measured,
        f"{mode}, up again, nothing changed [s]",
        time_of(lambda: up_to_the_first_right_answer(stack)),
    )
    stack.script("train", "--force")
    add(measured, f"{mode}, deploy a new version [s]", time_of(lambda: stack.script("deploy")))
    add(measured, f"{mode}, rollback [s]", time_of(lambda: stack.script("rollback")))
    pause = longest_pause(stack, lambda: stack.script("rollback"))
    add(measured, f"{mode}, rollback, without an answer [s]", pause)


def stack_memory(stack: Stack) -> float:
    """Return what the processes in the stack's containers take, in MB."""
    containers = stack.compose("ps", "--quiet").split()
    return memory([pid for identity in containers for pid in container_processes(identity)])


def image_sizes(names: list[str]) -> float:
    """Return the size of images together, each layer counted once, in MB."""
    layers: dict[tuple[str, ...], int] = {}
    for name in names:
        shown = "{{json .}}"
        command = ["docker", "history", "--no-trunc", "--human=false", "--format", shown, name]
        history = subprocess.run(command, capture_output=True, text=True, check=True)
        rows = [json.loads(line) for line in reversed(history.stdout.splitlines())]
        # What makes a layer the same one is how it was made, and on what.
        steps = [f"{row['CreatedAt']} {row['CreatedBy']}" for row in rows]
        layers |= {tuple(steps[: n + 1]): int(row["Size"]) for n, row in enumerate(rows)}
    return sum(layers.values()) / 1e6


def measure_native(measured: Measurements, home: Path) -> None:
    """Bring a stack up from a copy of the checkout: first without a virtual environment, then with."""
    clone = home / "clone"
    ignored = shutil.ignore_patterns(".venv", ".bench", ".stack", ".git", "__pycache__", ".*_cache")
    shutil.copytree(CHECKOUT, clone, ignore=ignored)
    cold = new_stack("native", home / "cold", clone)
    with removed(cold):
        add(measured, "native, from a clone [s]", time_of(lambda: up_to_the_first_right_answer(cold)))
    warm = new_stack("native", home / "warm", clone)
    with removed(warm):
        add(measured, "native, packages installed [s]", time_of(lambda: up_to_the_first_right_answer(warm)))
        time.sleep(5)
        add(measured, "native, idle memory [MB]", memory(native_processes(warm)))
        measure_again(measured, warm)


def measure_docker(measured: Measurements, home: Path, *, empty_build_cache: bool) -> None:
    """Bring a stack up in Docker: first with an empty build cache, if wanted, then with the images there."""
    stack = new_stack("docker", home)
    with removed(stack):
        if empty_build_cache:
            # `build --no-cache` would not do: it builds the shared layers once for each service.
            subprocess.run(["docker", "builder", "prune", "-af"], stdout=subprocess.DEVNULL, check=True)
            add(measured, "Docker, from a clone [s]", time_of(lambda: up_to_the_first_right_answer(stack)))
            stack.down("--volumes")
        else:
            stack.compose("build")
        add(measured, "Docker, images built [s]", time_of(lambda: up_to_the_first_right_answer(stack)))
        baked = re.search(r"baked in ([0-9.]+) s", stack.compose("logs", "deploy"))
        add(measured, "Docker, one bake [s]", float(baked[1]) if baked else float("nan"))
        time.sleep(5)
        add(measured, "Docker, idle memory [MB]", stack_memory(stack))
        project = stack.settings["COMPOSE_PROJECT_NAME"]
        add(measured, "Docker, all images [MB]", image_sizes([f"{project}{suffix}" for suffix in IMAGES]))
        measure_again(measured, stack)


def report(measured: Measurements, runs: int) -> None:
    """Print a Markdown table of medians and ranges."""
    print(f"| measured, {runs} runs | median | min to max |\n|---|---|---|")
    for what, values in measured.items():
        middle = statistics.median(values)
        print(f"| {what} | {middle:.1f} | {min(values):.1f} to {max(values):.1f} |")


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench startup", description="Measure the start of the stack.")
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--empty-build-cache", action="store_true", help="also start with no layer built")
    arguments = parser.parse_args()
    modes: list[Callable[[Measurements, Path], None]] = [measure_native]
    if reason := missing_docker():
        print(f"Docker is not measured: {reason}", file=sys.stderr)
    else:
        modes.append(partial(measure_docker, empty_build_cache=arguments.empty_build_cache))

    def command() -> None:
        measured: Measurements = {}
        for number in range(arguments.runs):
            print(f"==> run {number + 1} of {arguments.runs}", file=sys.stderr, flush=True)
            for measure in modes:
                with tempfile.TemporaryDirectory() as home:
                    measure(measured, Path(home))
        report(measured, arguments.runs)

    return exit_status("bench", command)


if __name__ == "__main__":
    sys.exit(main())

"""Measure the start of the stack, phase by phase, beside the tutorial's own way; what it then takes, too.

python -m tests.bench.startup [--runs N] [--empty-build-cache] [--only NAME,NAME]

Each run measures native, Docker and the tutorial's way one after the other, so that what slows the machine
for a while slows all of them, and a ratio says more than a time.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from tests.bench.prepare import base_image, say
from tests.bench.program import parse_runs, status_of
from tests.bench.situations import Measured, Note, empty_build_cache
from tests.bench.startup_report import DOCKER, NATIVE, TUTORIAL, Run, report
from tests.bench.tutorial_way import programs, tutorial
from tests.e2e.stacks import missing_docker, new_stack, removed

WAYS = ("native", "docker", "tutorial")
ENVIRONMENTS = CHECKOUT / ".bench"
_IGNORED = (".venv", ".bench", ".stack", ".git", ".env", "__pycache__", ".*_cache")


def clone(home: Path, *, with_packages: bool) -> Path:
    """Copy the checkout, so that its model can be changed; without or with its virtual environment."""
    made = home / "clone"
    shutil.copytree(CHECKOUT, made, ignore=shutil.ignore_patterns(*_IGNORED))
    if with_packages:
        (made / ".venv").symlink_to(CHECKOUT / ".venv")
    return made


def measure_native(home: Path, note: Note) -> None:
    """Start first without a virtual environment, then with."""
    stack = new_stack("native", home / "state", clone(home, with_packages=False))
    measured = Measured(stack, note)
    with removed(stack):
        measured.up("cold")
        stack.down("--volumes")
        measured.up("warm")
        measured.follow_ups()


def measure_docker(home: Path, note: Note, *, cold: bool) -> None:
    """Start first with an empty build cache, if wanted, then with the images there."""
    stack = new_stack("docker", home / "state", clone(home, with_packages=True))
    measured = Measured(stack, note)
    with removed(stack):
        if cold:
            empty_build_cache()
            measured.up("cold")
            stack.down("--volumes")
        else:
            stack.compose("build")
        measured.up("warm")
        measured.follow_ups()


@dataclass
class TutorialWay:
    """Measures the tutorial's way; warm is a second build, whose first layers are there."""

    programs: Path
    has_layers: bool = False

    def measure(self, home: Path, note: Note, *, cold: bool) -> None:
        """Do it from nothing, if wanted, and then with the layers there that are the same for each model."""
        if cold or not self.has_layers:
            if cold:
                empty_build_cache()
            else:
                say("building the layers of MLflow's image, which do not count (about 90 s)")
            with tutorial(home / "cold", self.programs, note if cold else _forget) as way:
                way.first("cold")
            self.has_layers = True
        with tutorial(home / "warm", self.programs, note) as way:
            way.first("warm")
            way.follow_ups()


def _forget(_situation: str, _row: str, _value: float) -> None:
    pass


def notebook(run: Run, column: str) -> Note:
    """Return what notes a value, and shows it, so that a long benchmark can be followed."""

    def note(situation: str, row: str, value: float) -> None:
        run.found[situation, row, column] = value
        print(f"    {column}, {situation}, {row}: {value:.1f}", file=sys.stderr, flush=True)

    return note


Way = Callable[[Path, Note], None]


def ways(chosen: list[str], *, cold: bool) -> tuple[dict[str, Way], list[str]]:
    """Return what measures each column, and why others are not measured."""
    found: dict[str, Way] = {NATIVE: measure_native} if "native" in chosen else {}
    missing = []
    without = missing_docker() or ("" if os.geteuid() == 0 else "reading a container's memory takes root")
    if "docker" in chosen and not without:
        found[DOCKER] = lambda home, note: measure_docker(home, note, cold=cold)
    if "tutorial" in chosen and not without:
        try:
            way = TutorialWay(programs(ENVIRONMENTS))
            found[TUTORIAL] = lambda home, note: way.measure(home, note, cold=cold)
        except StackError as error:
            missing.append(f"- the tutorial's way is not measured: {error}")
    if without and {"docker", "tutorial"} & set(chosen):
        missing.append(f"- Docker and the tutorial's way are not measured: {without}")
    return found, missing


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    measured, missing = ways(arguments.only, cold=arguments.empty_build_cache)
    runs = []
    for number in range(arguments.runs):
        say(f"run {number + 1} of {arguments.runs}")
        run = Run()
        for column, measure in measured.items():
            say(column)
            with tempfile.TemporaryDirectory(prefix="bench-") as home:
                measure(Path(home), notebook(run, column))
        runs.append(run)
    print(
        f"{os.cpu_count()} cores, load average before: {load:.1f}; medians (min to max) of {len(runs)} runs"
    )
    if TUTORIAL in measured:
        print(f"- the tutorial's image lies on {base_image()}; warm, the layers before the model's are there")
    print("\n".join([*missing, "", *report(runs)]))


def some_ways(names: str) -> list[str]:
    """Return the ways of these names, which have commas between them; as argparse's types are written."""
    chosen = names.split(",")
    if unknown := set(chosen) - set(WAYS):
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(WAYS)}, found {', '.join(sorted(unknown))}"
        )
    return chosen


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench startup", description="Measure the start of the stack.")
    parser.add_argument("--empty-build-cache", action="store_true", help="also start with no layer built")
    every = ",".join(WAYS)
    parser.add_argument("--only", type=some_ways, default=every, help=f"what to measure (default {every})")
    arguments = parse_runs(parser)
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""Measure the bake of a model with packages of its own, and of its retrain, beside MLflow's build-docker.

python -m tests.bench.bake [--runs N]

Each run measures native, Docker and build-docker one after the other. The model is one of XGBoost. It has a
requirement that is new in each run, so that its environment is new, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path

import pytest
import requests

from stack.modes.docker_environment import base_python
from stack.modes.native_environment import own_python
from stack.wait import wait_until
from tests.bench.bake_report import ADDED, BAKED, FIRST, RETRAIN, SERVED, STOCK, report
from tests.bench.disk import added, image_layers
from tests.bench.prepare import BUILD, base_image, run, say
from tests.bench.program import parse_runs, status_of
from tests.bench.startup import ENVIRONMENTS, notebook
from tests.bench.startup_report import DOCKER, NATIVE, Run
from tests.bench.timeline import phases
from tests.bench.tutorial_way import programs
from tests.bench.watching import Watcher
from tests.conftest import two_free_ports
from tests.e2e.stacks import Stack, missing_docker, new_stack, running
from tests.flavors.notebooks import Logged, log, make


def log_model(stack: Stack, home: Path, needs: str) -> Logged:
    """Log the model to the stack's tracking server, in an environment of its own below ``home``."""
    python = make("boosting", base_python() if stack.mode == "docker" else own_python(), home)
    return log(python, ["xgboost"], stack.tracking_url, ALSO_NEEDED=needs)["xgboost"]


def no_right_answer(port: int, model: Logged) -> str | None:
    """Ask for predictions; say that they are not those of this model, or None if they are."""
    try:
        answer = requests.post(
            f"http://127.0.0.1:{port}/invocations",
            data=model.request,
            headers={"Content-Type": "application/json"},
            timeout=5,
        )
    except requests.RequestException:
        return "no answer yet"
    is_right = answer.status_code == 200 and answer.json()["predictions"] == pytest.approx(model.answers)
    return None if is_right else "no right answer yet"


def promote(stack: Stack, model: Logged) -> dict[str, float]:
    """Serve the model; return what that has taken."""

    def version() -> str | None:
        if no_right_answer(stack.ports[1], model):
            return None
        return str(requests.get(f"{stack.serving_url}/model", timeout=5).json()["version"])

    watcher = Watcher(lambda: True, version)
    environment = {**stack.environment, "PYTHONUNBUFFERED": "1"}
    watched = watcher.run(["./scripts/promote", model.uri], stack.checkout, environment)
    served = watched.answered[stack.aliases()["champion"]]
    baked = phases(watched.since, watched.lines)["baked"]
    return {BAKED: baked, SERVED: served - watched.since}


def measure(stack: Stack, home: Path, noted: Run, needs: str) -> list[Logged]:
    """Serve a model and its retrain; return both."""
    note = notebook(noted, DOCKER if stack.mode == "docker" else NATIVE)
    models = []
    for situation in (FIRST, RETRAIN):
        models.append(log_model(stack, home, needs))
        for row, value in promote(stack, models[-1]).items():
            note(situation, row, value)
    first, second = stack.versions()[-2:]
    if stack.mode == "docker":
        project = stack.settings["COMPOSE_PROJECT_NAME"]
        base, *images = (
            image_layers(name)
            for name in (f"{project}-base", *(f"{project}/{stack.model.name}:{n}" for n in (first, second)))
        )
        note(FIRST, ADDED, added(images[0], base))
        note(RETRAIN, ADDED, added(images[1], images[0]))
    else:
        home = Path(stack.settings["STACK_HOME"])
        models_of = home / "models" / stack.model.name
        note(FIRST, ADDED, size(home / "environments", models_of / first))
        note(RETRAIN, ADDED, size(models_of / second))
    return models


def size(*directories: Path) -> float:
    """Return what directories take on the disk, in MB."""
    taken = run(["du", "--summarize", "--total", "--block-size=1", *map(str, directories)])
    return int(taken.splitlines()[-1].split()[0]) / 1e6


def measure_stock(stack: Stack, noted: Run, models: list[Logged]) -> None:
    """Bake and run the same two models by MLflow's build-docker."""
    note, name = notebook(noted, STOCK), f"pyfunc-stack-bench-{uuid.uuid4().hex[:8]}"
    port = two_free_ports()[0]
    python = str(programs(ENVIRONMENTS) / "python")
    below = image_layers(base_image())
    try:
        for situation, model in zip((FIRST, RETRAIN), models, strict=True):
            image, since = f"{name}:{situation}", time.time()
            run([python, "-c", BUILD, model.uri, image, base_image()], MLFLOW_TRACKING_URI=stack.tracking_url)
            note(situation, BAKED, time.time() - since)
            subprocess.run(["docker", "rm", "--force", name], capture_output=True)
            run(["docker", "run", "--detach", f"--name={name}", f"--publish=127.0.0.1:{port}:8080", image])
            wait_until(partial(no_right_answer, port, model), timeout=180)
            note(situation, SERVED, time.time() - since)
            layers = image_layers(image)
            note(situation, ADDED, added(layers, below))
            below = layers
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
        images = [f"{name}:{situation}" for situation in (FIRST, RETRAIN)]
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True)


def one_run(without_docker: str) -> Run:
    """Measure everything once."""
    noted, needs = Run(), f"six!=0.{time.time_ns()}"
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        for mode in ("native",) if without_docker else ("native", "docker"):
            say(mode)
            with running(new_stack(mode, home / mode)) as stack:
                models = measure(stack, home, noted, needs)
                if mode == "docker":
                    say(STOCK)
                    measure_stock(stack, noted, models)
    return noted


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load, without_docker = os.getloadavg()[0], missing_docker()
    runs = []
    for number in range(arguments.runs):
        say(f"run {number + 1} of {arguments.runs}")
        runs.append(one_run(without_docker))
    print(
        f"{os.cpu_count()} cores, load average before: {load:.1f}; medians (min to max) of {len(runs)} runs"
    )
    if without_docker:
        print(f"- Docker and build-docker are not measured: {without_docker}")
    else:
        print(
            f"- build-docker: --env-manager local, on {base_image()}; the layers before the model's come from"
            " the build cache, if they are there"
        )
    print("\n".join(["", *report(runs)]))


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench bake", description="Measure bakes of a model of XGBoost.")
    arguments = parse_runs(parser)
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())

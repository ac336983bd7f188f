"""From a run to the champion and back, in both modes, with both models; each test goes on from the last."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from workflow import requirements

from stack.modes.docker_environment import base_python
from stack.wait import wait_until
from tests.e2e.stacks import SERVERS, Stack, one_model
from tests.unit.tracking_servers import as_client

ANIMALS = pd.DataFrame({"size": [1.0, 30.0]})
IMPOSSIBLE = {"accuracy": "1.01", "mean_absolute_error": "0.001"}


def strict(stack: Stack) -> Stack:
    """Return the stack with a gate that nothing passes."""
    return replace(stack, settings={**stack.settings, "GATE_THRESHOLD": IMPOSSIBLE[stack.model.metric]})


def test_what_up_has_brought_went_through_gate_and_replay(stack: Stack) -> None:
    champion = stack.aliases()["champion"]
    tags = stack.version(champion).tags
    assert tags["gate"].startswith(f"accepted: {stack.model.metric} ")
    rows = 30 if stack.model.name == "iris" else 111
    assert tags["replay"].startswith(f"passed: {rows} answers equal, ")
    assert len(tags["fingerprint"]) == 64
    stack.assert_settled(champion)
    status = stack.status()
    assert {service["name"]: service["is_up"] for service in status["services"]} == {
        "tracking": True,
        "trainer": False,
        "deploy": False,
        "serving": True,
        **({"postgres": True, "s3": True} if "COMPOSE_FILE" in stack.settings else {}),
    }
    assert status["served"]["version"] == champion
    assert status["served"]["image_id"] == tags["image_id"]
    assert status["run_id"] == stack.version(champion).run_id
    assert status["metric"] == tags["metric"]
    text = stack.script("status").stdout
    assert f"version {champion} of {stack.model.name}" in text
    assert "all agree" in text


def test_a_trained_version_goes_live_and_the_one_before_is_previous(stack: Stack) -> None:
    before = stack.aliases()["champion"]
    trained = stack.script("train", "--force")
    candidate = stack.aliases()["candidate"]
    assert candidate not in (before, "")
    assert f"registered as version {candidate} of {stack.model.name}: candidate" in trained.stdout
    gate = stack.version(candidate).tags["gate"]
    assert f"the champion, version {before}, has " in gate
    assert stack.aliases()["champion"] == before  # until it is deployed
    deployed = stack.script_under_requests("deploy", may_pause=stack.mode == "docker")
    assert f"version {candidate} of {stack.model.name} is served at {stack.serving_url}" in deployed
    assert "warn" not in (trained.stdout + trained.stderr + deployed).lower()
    assert stack.aliases() == {"champion": candidate, "previous": before}
    stack.assert_settled(candidate)


def test_a_rollback_brings_the_version_before_back_without_a_bake(stack: Stack) -> None:
    aliases = stack.aliases()
    assert "baking" not in stack.script_under_requests("rollback", may_pause=stack.mode == "docker")
    assert stack.aliases() == {"champion": aliases["previous"], "previous": aliases["champion"]}
    stack.assert_settled(aliases["previous"])


def test_a_second_up_trains_registers_and_bakes_nothing(stack: Stack) -> None:
    # Not even after a rollback: nothing has changed since the last training.
    before = (stack.versions(), stack.aliases(), stack.version(stack.aliases()["champion"]).tags)
    stack.script("train")
    stack.script_under_requests("up", f"--{stack.mode}", "--detach")
    assert (stack.versions(), stack.aliases(), stack.version(stack.aliases()["champion"]).tags) == before
    assert "is served" in stack.deployment_log()
    assert "baking" not in stack.deployment_log()
    stack.assert_settled(before[1]["champion"])


@pytest.fixture
def logged(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Log a model as a notebook would, with and without an input example; yield its run's URI."""
    classifier = LogisticRegression().fit(ANIMALS, ["frog", "whale"])
    if stack.mode == "docker":  # as if its Python had logged it; of another's are those of tests/flavors
        monkeypatch.setattr("mlflow.pyfunc.PYTHON_VERSION", f"{base_python()}.0")
    with as_client(stack.tracking_url):
        mlflow.set_experiment("notebook")
        with mlflow.start_run() as run:
            # Otherwise MLflow finds pytest, too, which no image has.
            packages = requirements("mlflow", "scikit-learn", "pandas", "skops")
            for name, example in (("animals", ANIMALS), ("bare", None)):
                mlflow.sklearn.log_model(
                    classifier, name=name, input_example=example, pip_requirements=packages
                )
        yield f"runs:/{run.info.run_id}"


def wait(condition: Callable[[], bool]) -> None:
    wait_until(lambda: None if condition() else "not yet", timeout=120, interval=0.5)


def is_served(stack: Stack, version: str) -> bool:
    served = stack.status()["served"]
    answer = stack.post(json.dumps({"dataframe_split": ANIMALS.to_dict("split", index=False)}))
    assert answer.json() == {"predictions": ["frog", "whale"]}
    return bool(served["version"] == version)


@one_model
def test_a_model_that_was_logged_elsewhere_is_checked_by_its_input_example_and_served(
    stack: Stack, logged: str
) -> None:
    before = stack.aliases()["champion"]
    stack.script("promote", f"{logged}/animals")
    version = stack.versions()[-1]
    replay = stack.version(version).tags["replay"]
    assert replay.startswith("passed: 2 answers to the input example equal, ")
    assert stack.status()["replay"] == replay
    assert is_served(stack, version)
    # It is nothing that the trainer has trained, so that trains nothing anew.
    stack.script("up", f"--{stack.mode}", "--detach")
    assert stack.versions()[-1] == version
    assert is_served(stack, version)
    stack.script("promote", before)


@one_model
def test_a_model_without_an_input_example_is_served_if_somebody_says_so(stack: Stack, logged: str) -> None:
    before = stack.aliases()["champion"]
    refused = stack.script("promote", f"{logged}/bare", check=False)
    version = stack.versions()[-1]
    assert refused.returncode == 1
    assert f"promote: version {version} of {stack.model.name} can't be checked" in refused.stderr
    assert "can't be checked" in stack.version(version).tags["failure"]
    stack.assert_settled(before)
    # The same model again is the same version.
    stack.script("promote", f"{logged}/bare", "--unchecked")
    assert stack.versions()[-1] == version
    assert stack.version(version).tags["replay"] == "unchecked: 2 wrong requests refused"
    assert is_served(stack, version)
    stack.script("rollback")
    stack.assert_settled(before)


@contextmanager
def watching(stack: Stack) -> Iterator[None]:
    """Follow the registry: by the script or, with Docker, by the service."""
    if stack.mode == "docker":
        watched = replace(stack, settings={**stack.settings, "COMPOSE_PROFILES": "watch"})
        watched.up()
        try:
            services = {service["name"]: service["is_up"] for service in watched.status()["services"]}
            assert services["watch"]
            yield
        finally:
            watched.compose("rm", "--stop", "--force", "watch")
        return
    process = stack.start("./scripts/deploy", "--watch")
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed


@one_model
def test_a_watching_deploy_serves_what_somebody_chooses_in_the_registry(stack: Stack, logged: str) -> None:
    before = stack.aliases()["champion"]
    with watching(stack):
        chosen = mlflow.register_model(f"{logged}/animals", stack.model.name).version
        stack.client.set_registered_model_alias(stack.model.name, "candidate", chosen)
        wait(lambda: stack.aliases().get("champion") == chosen)
        assert is_served(stack, chosen)
        wrong = mlflow.register_model(f"{logged}/bare", stack.model.name).version
        stack.client.set_registered_model_alias(stack.model.name, "champion", wrong)
        wait(lambda: "can't be checked" in stack.version(wrong).tags.get("failure", ""))
        wait(lambda: stack.aliases()["champion"] == chosen)
        assert is_served(stack, chosen)
    stack.script("promote", before)
    stack.assert_settled(before)


def test_a_version_that_the_gate_refuses_is_tagged_and_the_champion_goes_on(stack: Stack) -> None:
    champion, versions = stack.aliases()["champion"], stack.versions()
    up = strict(stack).script("up", f"--{stack.mode}", "--detach", check=False)
    assert up.returncode == 1
    assert f"the gate refused the version: {stack.model.metric} " in up.stderr
    (refused,) = set(stack.versions()) - set(versions)
    assert stack.version(refused).tags["gate"].startswith(f"refused: {stack.model.metric} ")
    assert "candidate" not in stack.aliases()
    stack.assert_settled(champion)
    # The same again is refused again, and not trained again.
    again = strict(stack).script("train", check=False)
    assert again.returncode == 3
    assert "the gate refused the version" in again.stderr
    assert stack.versions() == [*versions, refused]


@one_model
def test_any_version_can_be_promoted_even_one_that_the_gate_refused(stack: Stack) -> None:
    before, refused = stack.aliases()["champion"], stack.versions()[-1]
    promoted = stack.script("promote", refused)
    assert f"baking version {refused}" in promoted.stdout
    assert stack.aliases() == {"champion": refused, "previous": before}
    stack.assert_settled(refused)
    strict(stack).script("train")  # what is champion by hand is not refused again
    unknown = stack.script("promote", "999", check=False)
    assert unknown.returncode == 1
    assert f"no version 999 of {stack.model.name} is registered" in unknown.stderr
    stack.assert_settled(refused)


@one_model
def test_an_alias_that_is_moved_in_the_ui_is_told_by_status_and_picked_up_by_deploy(stack: Stack) -> None:
    before, target = stack.aliases()["champion"], stack.aliases()["previous"]
    stack.client.set_registered_model_alias(stack.model.name, "champion", target)
    status = stack.status()
    assert status["disagreements"] == [f"version {before} is served, but the champion is {target}"]
    stack.script("deploy")
    assert stack.aliases() == {"champion": target, "previous": before}
    stack.assert_settled(target)


def test_a_change_in_the_code_makes_one_new_version(stack: Stack, installed_clone: Path) -> None:
    # Another checkout may use the tracking server of this one, and nothing else of it.
    project = stack.settings["COMPOSE_PROJECT_NAME"]
    own = {name: value for name, value in stack.settings.items() if name not in SERVERS}
    settings = {**own, "TRACKING_STACK": project, "COMPOSE_PROJECT_NAME": f"{project}-other"}
    changed = replace(stack, checkout=installed_clone, settings=settings)
    versions = stack.versions()
    with (installed_clone / stack.model.directory / "train.py").open("a") as code:
        code.write("# a change\n")
    changed.script("train")
    changed.script("train")
    assert stack.versions() == [*versions, stack.aliases()["candidate"]]
    stack.client.delete_registered_model_alias(stack.model.name, "candidate")

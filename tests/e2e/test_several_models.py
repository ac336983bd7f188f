"""Two models, each with a stack of its own, on one tracking server."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stack.config import CHECKOUT
from stack.modes.processes import Process
from stack.wait import not_healthy, wait_until
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import DIABETES, Stack, docker, new_stack, running
from tests.e2e.test_versions import watching


@dataclass(frozen=True)
class Two:
    """The stack that has the tracking server, and the one that uses it."""

    first: Stack
    second: Stack


def elsewhere(first: Stack) -> dict[str, str]:
    """Return the settings that name the server of the first stack: natively its address, else its project."""
    if first.mode == "native":
        return {"MLFLOW_TRACKING_URI": first.tracking_url, "TRACKING_PORT": "5000"}
    return {
        "COMPOSE_FILE": "docker-compose.yml:compose/tracking-of-stack.yml",
        "TRACKING_STACK": first.settings["COMPOSE_PROJECT_NAME"],
        "TRACKING_PORT": first.settings["TRACKING_PORT"],
    }


def second_stack(first: Stack, directories: pytest.TempPathFactory) -> Stack:
    """Describe a stack without a tracking server, in a checkout whose .env says so."""
    checkout = copy_checkout(directories.mktemp("checkout"))
    (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    lines = (f"{name}={value}\n" for name, value in elsewhere(first).items())
    (checkout / ".env").write_text("".join(lines))
    stack = new_stack(first.mode, directories.mktemp("second"), checkout, DIABETES)
    settings = {name: value for name, value in stack.settings.items() if name != "TRACKING_PORT"}
    return replace(stack, ports=(first.ports[0], stack.ports[1]), settings=settings)


@pytest.fixture(scope="module", params=["native", "docker"])
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    first: Stack = request.getfixturevalue(f"{request.param}_stack")
    with running(second_stack(first, tmp_path_factory)) as second:
        yield Two(first, second)


@contextmanager
def without_tracking(stack: Stack) -> Iterator[None]:
    """Let the tracking server give no answer. It is killed or, natively, halted: a kill ends its stack."""
    if stack.mode == "docker":
        name = f"{stack.settings['COMPOSE_PROJECT_NAME']}-tracking-1"
        docker("kill", name)
        try:
            yield
        finally:
            docker("start", name)
            wait_until(lambda: not_healthy(stack.tracking_url), timeout=120)
        return
    pids = Process(Path(stack.settings["STACK_HOME"]), "tracking").members()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_the_second_stack_starts_no_tracking_server_and_both_serve(two: Two) -> None:
    status = two.second.status()
    assert status["agree"]
    tracking = status["services"][0]
    assert (tracking["name"], tracking["is_up"]) == ("tracking", True)
    assert tracking["state"] == f"at {two.first.tracking_url}"
    two.second.assert_settled(two.second.aliases()["champion"])
    two.first.assert_settled(two.first.aliases()["champion"])
    if two.second.mode == "docker":
        listed = docker("ps", "--all", "--format={{.Names}}").split()
        assert f"{two.second.settings['COMPOSE_PROJECT_NAME']}-tracking-1" not in listed
    else:
        assert not Process(Path(two.second.settings["STACK_HOME"]), "tracking").members()
    told = two.second.script("doctor", f"--{two.second.mode}", check=False).stdout.splitlines()
    of_tracking = [line for line in told if "tracking server" in line]
    assert of_tracking
    assert not [line for line in of_tracking if line.startswith("fix")]


@pytest.mark.parametrize("verb", [("up", "--detach"), ("deploy",), ("down", "--volumes")], ids=" ".join)
def test_a_second_stack_with_the_state_of_the_first_is_refused(two: Two, verb: tuple[str, ...]) -> None:
    other = {"MODEL_NAME": DIABETES.name, "MODEL_DIR": DIABETES.directory, **elsewhere(two.first)}
    name, *options = verb
    if name != "down":
        options.append(f"--{two.first.mode}")
    refused = replace(two.first, settings={**two.first.settings, **other}).script(name, *options, check=False)
    assert refused.returncode == 1
    assert "tracking server" in refused.stderr
    assert "stays" not in refused.stdout
    assert two.first.status()["agree"]


def test_what_one_stack_deploys_leaves_the_other_alone(two: Two) -> None:
    before, aliases = two.second.aliases()["champion"], two.first.aliases()
    two.second.script("train", "--force")
    candidate = two.second.aliases()["candidate"]
    two.second.script("deploy")
    two.second.assert_settled(candidate)
    two.second.script("rollback")
    two.second.assert_settled(before)
    assert two.second.aliases() == {"champion": before, "previous": candidate}
    assert two.first.aliases() == aliases
    two.first.assert_settled(aliases["champion"])


def test_each_watching_deployment_follows_its_own_model(two: Two) -> None:
    with watching(two.first), watching(two.second):
        # With Docker, that was an `up`, which may have trained: other tests leave versions of other code.
        champion, aliases = two.first.aliases()["champion"], two.second.aliases()
        name = two.second.settings["MODEL_NAME"]
        two.second.client.set_registered_model_alias(name, "champion", aliases["previous"])
        wanted = {"champion": aliases["previous"], "previous": aliases["champion"]}
        wait_until(lambda: None if two.second.aliases() == wanted else "not deployed", timeout=120)
    two.second.assert_settled(wanted["champion"])
    two.first.assert_settled(champion)


def test_a_tracking_server_that_is_gone_is_named_and_the_champion_is_served_until_it_is_back(
    two: Two,
) -> None:
    champion = two.second.aliases()["champion"]
    with without_tracking(two.first):
        two.second.down()
        again = two.second.script("up", f"--{two.second.mode}", "--detach", check=False)
        assert again.returncode == 1
        assert f"the tracking server does not answer: not ready after 30 s ({two.first.tracking_url}: " in (
            again.stdout + again.stderr
        )
        assert two.second.model.is_right(two.second.predictions())
        status = two.second.status()
        assert status["served"]["version"] == champion
        assert not status["agree"]
    two.second.up()
    two.second.assert_settled(champion)
    assert two.second.status()["agree"]


def test_down_with_volumes_leaves_what_is_on_the_server(two: Two) -> None:
    versions = two.second.versions()
    told = two.second.script("down", "--volumes").stdout
    assert f"what is on the tracking server {two.first.tracking_url} stays" in told
    assert two.second.versions() == versions
    assert two.first.status()["agree"]

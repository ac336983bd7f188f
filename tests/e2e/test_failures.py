"""What becomes of the stack when something fails or is killed, in both modes, on a stack of its own."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from stack.config import CHECKOUT
from stack.wait import not_healthy, wait_until
from tests.e2e.conftest import copy_checkout
from tests.e2e.stacks import Stack, can_not_run, docker, native_processes, new_stack, removed


@pytest.fixture(scope="module", params=["native", pytest.param("docker", marks=pytest.mark.thorough)])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Describe a stack with a checkout of its own; the first test brings it up."""
    is_docker = request.param == "docker"
    # Some of these tests restart the engine.
    alone = request.getfixturevalue("docker").alone() if is_docker else nullcontext()
    directory = tmp_path_factory.mktemp(request.param)
    stack = new_stack(request.param, directory / "state", copy_checkout(directory / "clone"))
    # More than one, so that a model which keeps state can mix up its clients.
    stack.settings["SERVER_THREADS"] = "4"
    (stack.checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    with alone, removed(stack):
        yield stack


only_native = pytest.mark.parametrize("own", ["native"], indirect=True)
only_docker = pytest.mark.parametrize(
    "own", [pytest.param("docker", marks=pytest.mark.thorough)], indirect=True
)


def next_candidate(stack: Stack) -> str:
    """Register the champion's model once more, as the candidate."""
    name = stack.model.name
    champion = stack.client.get_model_version_by_alias(name, "champion")
    again = stack.client.create_model_version(
        name,
        champion.source or "",
        champion.run_id,
        model_id=(champion.source or "").removeprefix("models:/"),
    )
    stack.client.set_registered_model_alias(name, "candidate", again.version)
    return str(again.version)


def with_model(stack: Stack, changes: dict[str, tuple[str, str]], name: str = "wrong") -> Stack:
    """Return the stack with another model: examples/diabetes with a change in some files."""
    directory = stack.checkout / "models" / name
    copy_checkout(directory, "examples/diabetes")
    for file, (before, after) in changes.items():
        text = (directory / file).read_text()
        assert before in text
        (directory / file).write_text(text.replace(before, after))
    return replace(stack, settings={**stack.settings, "MODEL_NAME": name, "MODEL_DIR": f"models/{name}"})


# As of a model whose answers are those of the process that gives them.
OTHER_ANSWERS = {
    "regressor.py": (
        "return predictions",
        "return [p + __import__('os').getpid() % 1000 / 200 for p in predictions]",
    )
}

FAILS_INSIDE = {
    "regressor.py": (
        "        predictions:",
        "        import os\n        assert 'SERVER_PORT' not in os.environ, 'not in a server'\n"
        "        predictions:",
    )
}
# Right for one client, and for several it gives one of them what belongs to another.
MIXES_UP_CLIENTS = {
    "regressor.py": (
        "        predictions: list[float] = self.pipeline.predict(model_input).tolist()\n",
        "        self.rows = model_input\n        __import__('time').sleep(0.02)\n"
        "        predictions: list[float] = self.pipeline.predict(self.rows).tolist()\n",
    )
}


def test_a_refused_first_version_leaves_the_tracking_server_up(own: Stack) -> None:
    strict = replace(own, settings={**own.settings, "GATE_THRESHOLD": "1.01"})
    up = strict.script("up", f"--{own.mode}", "--detach", check=False)
    assert up.returncode == 1
    assert "the gate refused the version: accuracy 0.966667, expected at least 1.01" in up.stderr
    assert "there is nothing to serve: no version of iris is a candidate or champion" in up.stderr
    assert own.aliases() == {}
    assert own.version("1").tags["gate"] == "refused: accuracy 0.966667, expected at least 1.01"
    assert "serving is not up" in own.status()["disagreements"]


def test_a_first_version_that_answers_otherwise_does_not_stay(own: Stack) -> None:
    wrong = with_model(own, OTHER_ANSWERS, "first")
    wrong.script("train")
    failed = wrong.script("deploy", check=False)
    assert failed.returncode == 1
    assert "version 1 of first failed the replay: its answer differs" in failed.stderr
    assert list(wrong.aliases()) == ["candidate"]
    assert wrong.status()["served"] is None
    with pytest.raises(requests.ConnectionError):
        wrong.predictions()


def test_a_version_that_the_gate_refused_can_be_promoted(own: Stack) -> None:
    own.script("promote", "1")
    assert own.aliases() == {"champion": "1"}
    own.assert_settled("1")


@only_native  # ./scripts/train is the same in both modes
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train.py": ("            signature=signature,\n            input_example=example,\n", "")},
            "the model's signature lacks .* pass signature=ModelSignature",
        ),
        (
            {
                "regressor.py": (
                    "        predictions:",
                    "        raise ValueError('bad luck')\n        predictions:",
                )
            },
            "predict raised ValueError: bad luck; see the trace above, and correct it in .*/models/wrong",
        ),
        ({"train.py": ('"ldl_per_hdl"]', '"no_such"]')}, "initialize_and_train raised ValueError: .*no_such"),
        (
            {"train.py": ('"mean_absolute_error": float', '"mae": float')},
            "evaluate does not return 'mean_absolute_error', which the gate needs; found mae, r2",
        ),
    ],
    ids=["no signature", "predict raises", "training raises", "another metric"],
)
def test_a_wrong_model_fails_in_the_training(
    own: Stack, changes: dict[str, tuple[str, str]], message: str
) -> None:
    failed = with_model(own, changes).script("train", check=False)
    assert failed.returncode == 1
    assert re.search(f"^train.py: {message}", failed.stderr, re.MULTILINE), failed.stderr
    assert own.client.search_model_versions("name='wrong'") == []
    own.assert_settled(own.aliases()["champion"])


@pytest.mark.parametrize(
    ("changes", "message", "replay"),
    [
        (
            {"train.py": ('"joblib"),', '"joblib") + ["cowsay==99"],')},
            r"(?s)can't be made:.*no version of cowsay==99 .*log the model with other requirements",
            None,
        ),
        (
            {"train.py": ('            code_paths=[str(HERE / "features.py")],\n', "")},
            "No module named 'features'",
            "failed: ",
        ),
        (
            OTHER_ANSWERS,
            r"its answer differs from the trained model's: held-out row 0, asked alone, expected .*, found ",
            "failed: its answer differs",
        ),
        (
            FAILS_INSIDE,
            r"(?s)the model failed on held-out row 0, which it answered in training\. The end of its log:\n"
            ".*AssertionError: not in a server",
            "failed: the model failed",
        ),
        (
            MIXES_UP_CLIENTS,
            r"8 clients asked at once, and then its answer differs .*\(self\), or set SERVER_THREADS to 1",
            "failed: 8 clients asked at once",
        ),
    ],
    ids=["package that there is not", "helper module left out", "other answers", "fails", "keeps state"],
)
def test_a_wrong_model_fails_in_the_deployment(
    own: Stack, changes: dict[str, tuple[str, str]], message: str, replay: str | None
) -> None:
    wrong = with_model(own, changes)
    wrong.script("train", "--force")
    candidate = wrong.aliases()["candidate"]
    failed = wrong.script("deploy", check=False)
    assert failed.returncode == 1
    assert re.search(message, failed.stderr), failed.stderr
    tags = wrong.version(candidate).tags
    assert re.search(message, tags["failure"])
    assert tags.get("replay", "").startswith(replay or "")
    assert ("replay" in tags) == (replay is not None)
    assert "deployed_at" not in tags
    assert wrong.aliases() == {"candidate": candidate}
    own.assert_settled(own.aliases()["champion"])


def test_a_version_that_does_not_become_healthy_gives_way_to_the_champion(own: Stack) -> None:
    champion = own.aliases()["champion"]
    model = own.checkout / "trainer" / "iris_classifier.py"
    right = model.read_text()
    # Right in the trial and in the trainer; only where it would be served it does not load.
    address = "socket.gethostbyname"
    test = {
        "native": f"os.environ.get('SERVER_PORT') == '{own.ports[1]}'",
        "docker": f"'SERVER_PORT' in os.environ and {address}('serving') == {address}(socket.gethostname())",
    }[own.mode]
    model.write_text(
        right.replace("import joblib", "import os\nimport socket\n\nimport joblib").replace(
            "        self.classifier = ",
            f"        assert not ({test}), 'not here'\n        self.classifier = ",
        )
    )
    own.script("train")
    candidate = own.aliases()["candidate"]
    failed = own.script("deploy", check=False)
    assert failed.returncode == 1
    assert "AssertionError: not here" in failed.stderr
    assert own.aliases() == {"champion": champion, "candidate": candidate}
    tags = own.version(candidate).tags
    assert tags["replay"].startswith("passed")
    assert "not here" in tags["failure"]
    assert "deployed_at" not in tags
    own.assert_settled(champion)
    model.write_text(right)
    own.client.delete_registered_model_alias("iris", "candidate")


# The line that a deployment prints at a step, and how long after it the kill comes: within that step. In the
# last, the model is loaded then: an engine that is killed while it publishes a port keeps it for used.
STEPS = [("baking", 0.3), ("replaying", 1.0), ("starting to serve", 1.4)]


def deploy_up_to(stack: Stack, line: str, seconds: float) -> subprocess.Popen[str]:
    """Start a deployment; return while it is at that step."""
    process = subprocess.Popen(
        ["./scripts/deploy"],
        cwd=stack.checkout,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert any(line in printed for printed in process.stdout), f"it did not get to {line!r}"
    time.sleep(seconds)
    return process


@pytest.mark.parametrize(("line", "seconds"), STEPS)
def test_a_deployment_that_is_killed_is_finished_by_the_next(own: Stack, line: str, seconds: float) -> None:
    before = own.aliases()["champion"]
    candidate = next_candidate(own)
    process = deploy_up_to(own, line, seconds)
    assert process.poll() is None
    process.kill()
    own.script("deploy")
    assert own.aliases() == {"champion": candidate, "previous": before}
    own.assert_settled(candidate)


@pytest.mark.thorough
@pytest.mark.parametrize(("line", "seconds"), [STEPS[0], STEPS[2]])
def test_when_the_tracking_server_is_killed_the_next_deployment_finishes(
    own: Stack, line: str, seconds: float
) -> None:
    before = own.aliases()["champion"]
    candidate = next_candidate(own)
    process = deploy_up_to(own, line, seconds)
    kill_tracking(own)
    process.wait(timeout=120)
    if own.mode == "native":
        wait_until(lambda: None if not_healthy(own.serving_url) else "serves", timeout=60)
        own.up()  # which trains again, because a copy of a version has no fingerprint
    else:
        wait_until(lambda: not_healthy(own.tracking_url), timeout=60)
        own.script("deploy")
        assert own.aliases() == {"champion": candidate, "previous": before}
    assert "candidate" not in own.aliases()
    own.assert_settled(own.versions()[-1])


def kill_tracking(stack: Stack) -> None:
    if stack.mode == "native":
        pid = (Path(stack.settings["STACK_HOME"]) / "run" / "tracking.lock").read_text()
    else:
        name = f"{stack.settings['COMPOSE_PROJECT_NAME']}-tracking-1"
        pid = docker("container", "inspect", "--format={{.State.Pid}}", name)
    os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def restart() -> list[str]:
    """Return a command that restarts the engine."""
    command = os.environ.get("RESTART_DOCKER_ENGINE")
    if not command:
        can_not_run("RESTART_DOCKER_ENGINE does not name a command that may restart the engine")
    return shlex.split(command)


@only_docker
def test_the_servers_come_back_after_a_restart_of_the_engine(own: Stack, restart: list[str]) -> None:
    champion = own.aliases()["champion"]
    subprocess.run(restart, check=True, capture_output=True)
    for url in (own.serving_url, own.tracking_url):
        wait_until(lambda url=url: not_healthy(url), timeout=60)  # type: ignore[misc]
    own.assert_settled(champion)


@only_docker
@pytest.mark.parametrize(("line", "seconds"), STEPS[1:])
def test_when_the_engine_is_killed_the_next_up_finishes(
    own: Stack, restart: list[str], line: str, seconds: float
) -> None:
    next_candidate(own)
    process = deploy_up_to(own, line, seconds)
    running = docker("ps", "--format={{.Names}}").split()
    others = [name for name in running if not name.startswith(own.settings["COMPOSE_PROJECT_NAME"])]
    subprocess.run([*restart, "KILL"], check=True, capture_output=True)
    assert process.wait(timeout=120) == 1
    # An engine that was killed does not start its containers again.
    if others:  # the stacks of other tests
        docker("start", *others)
    own.up()
    assert "candidate" not in own.aliases()
    own.assert_settled(own.versions()[-1])


@only_docker
def test_when_the_container_that_deploys_is_killed_the_next_up_finishes(own: Stack) -> None:
    next_candidate(own)
    name = f"{own.settings['COMPOSE_PROJECT_NAME']}-deploy-1"
    started = docker("container", "inspect", "--format={{.State.StartedAt}}", name)
    up = subprocess.Popen(
        ["docker", "compose", "up", "--detach", "--wait"], cwd=own.checkout, env=own.environment
    )

    def is_replaying() -> bool:
        now = subprocess.run(
            ["docker", "container", "inspect", "--format={{.State.StartedAt}}", name],
            capture_output=True,
            text=True,
        ).stdout  # nothing while Compose replaces the container
        return now not in ("", started) and "replaying" in own.deployment_log()

    wait_until(lambda: None if is_replaying() else "not yet", timeout=120, interval=0.2)
    subprocess.run(["docker", "kill", name], check=True, capture_output=True)
    assert up.wait(timeout=60) == 1
    own.up()
    assert "candidate" not in own.aliases()
    own.assert_settled(own.versions()[-1])


def test_two_deployments_at_a_time_are_kept_apart(own: Stack) -> None:
    candidate = next_candidate(own)
    first = deploy_up_to(own, "replaying", 0)
    first.send_signal(signal.SIGSTOP)
    second = own.script("deploy", check=False)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "deploy: another deployment is running" in second.stderr
    assert first.wait(timeout=120) == 0
    own.assert_settled(candidate)


@pytest.mark.thorough
@only_native
def test_an_up_whose_tracking_server_dies_ends_all_and_the_next_one_works(own: Stack) -> None:
    own.down()
    up = subprocess.Popen(
        ["./scripts/up", "--native", "--detach"],
        cwd=own.checkout,
        env=own.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    assert any("training the model" in line for line in up.stdout)
    kill_tracking(own)
    output, _ = up.communicate(timeout=120)
    assert up.returncode == 1
    assert "tracking has ended by itself, so the stack is stopped" in output
    assert native_processes(own) == []
    own.up()
    own.assert_settled(own.aliases()["champion"])


OVERRIDE = """
services:
  serving:
    environment: {MINE: here}
    volumes: ["./own:/own:ro"]
    secrets: [word]
    ulimits: {nofile: 4321}
secrets:
  word: {file: ./own/word}
"""
# What the model needs where it is served in Docker: in the trial, and then in the service.
NEEDS_OVERRIDE = """\
        if "SERVER_PORT" in os.environ:
            assert os.environ["MINE"] == "here"
            assert open("/own/word").read() == open("/run/secrets/word").read() == "open"
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 4321
"""


@pytest.fixture
def needy(own: Stack) -> Iterator[Stack]:
    """Let the model need what model.env sets, also in the trainer, and what an override sets on serving."""
    model = own.checkout / "trainer" / "iris_classifier.py"
    right = model.read_text()
    needs_file = "import os\nimport resource\n\nimport joblib\n\nassert os.environ['TOKEN'] == 'a $b'\n"
    needs_override = NEEDS_OVERRIDE if own.mode == "docker" else ""
    model.write_text(
        right.replace("import joblib\n", needs_file).replace(
            "        self.classifier = ", f"{needs_override}        self.classifier = "
        )
    )
    (own.checkout / "model.env").write_text("TOKEN='a $b'\n")
    (own.checkout / "docker-compose.override.yml").write_text(OVERRIDE)
    (own.checkout / "own").mkdir()
    (own.checkout / "own" / "word").write_text("open")
    yield own
    # A version that needs none of it; but to compare it with the champion, the trainer loads that one.
    model.write_text(right)
    (own.checkout / "docker-compose.override.yml").unlink()
    (own.checkout / "model.env").write_text("TOKEN='a $b'\n")
    own.up()
    (own.checkout / "model.env").unlink()


def served_environment(stack: Stack) -> str:
    if stack.mode == "docker":
        return stack.compose("exec", "serving", "env")
    served = [Path(f"/proc/{pid}/environ").read_text() for pid in native_processes(stack)]
    return next(text for text in served if "__pyfunc_model_path__" in text).replace("\0", "\n")


def test_a_model_gets_what_the_user_sets_where_it_is_trained_tried_and_served(needy: Stack) -> None:
    before = needy.aliases()["champion"]
    needy.up()
    trained = needy.aliases()["champion"]
    assert trained != before
    needy.assert_settled(trained)
    candidate = next_candidate(needy)
    needy.script("deploy")  # on the host
    needy.assert_settled(candidate)

    with (needy.checkout / "model.env").open("a") as file:
        file.write("OTHER=1\n")
    needy.script("deploy")
    assert "OTHER=1" in served_environment(needy).splitlines()
    assert needy.versions()[-1] == candidate  # nothing was trained

    (needy.checkout / "model.env").write_text("SERVER_WORKERS=2\n")
    refused = needy.script("deploy", check=False)
    assert refused.stderr == "deploy: model.env sets SERVER_WORKERS, which is set in .env; move it there\n"
    assert refused.returncode == 1
    needy.assert_settled(candidate)


@only_docker
def test_a_key_that_the_compose_of_deploy_does_not_heed_is_refused_and_what_is_served_stays(
    own: Stack,
) -> None:
    champion = own.aliases()["champion"]
    override = own.checkout / "docker-compose.override.yml"
    override.write_text("services: {serving: {gpus: all}}\n")
    up = own.script("up", "--docker", "--detach", check=False)
    override.unlink()
    assert up.returncode == 1
    said = r"deploy: Compose 2\.26\.1-4\S*, in this container, ignores .*: gpus; .* Compose is \d"
    assert re.search(said, up.stderr), up.stderr
    own.assert_settled(champion)

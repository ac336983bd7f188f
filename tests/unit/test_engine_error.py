"""An engine that can't be used is told by its cause, in Docker's own words, wherever it is asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stack.modes.engine_error
from stack.__main__ import parser
from stack.config import Config, load_config
from stack.errors import LockedError, StackError
from stack.modes import compose
from stack.modes.choice import choose_mode, choose_new_mode
from stack.modes.docker import Docker
from stack.modes.engine import containers
from stack.modes.engine_error import EngineError, engine_error, why_no_engine
from tests.conftest import put_docker

REFUSED = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock:"
    ' Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/version": dial unix /var/run/docker.sock: connect:'
    " permission denied"
)
STOPPED = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
ASTRAY = (
    'error during connect: Get "http://build.example.com:2375/v1.50/version": dial tcp: lookup'
    " build.example.com: no such host"
)
# Docker's words, what they mean, what to do, and whether there is no engine.
WORDS = {
    "refused": (REFUSED, "this user may not use the Docker engine (", "usermod -aG docker $USER", False),
    "refused, Docker 29": (
        "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
        "this user may not use the Docker engine (",
        "usermod -aG docker $USER",
        False,
    ),
    "another user's": (
        REFUSED.replace("/var/run/", "/run/user/1001/"),
        "this user may not use the Docker engine that DOCKER_HOST or docker context names (",
        "; correct that",
        False,
    ),
    "stopped": (STOPPED, "no Docker engine answers (", "; start it", True),
    "stopped, Docker 29": (
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and"
        " if the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory",
        "no Docker engine answers (",
        "; start it",
        True,
    ),
    "stopped elsewhere": (
        "ERROR: Cannot connect to the Docker daemon at tcp://10.0.0.1:2375. Is the docker daemon running?",
        "no Docker engine answers where DOCKER_HOST or docker context says (Cannot connect",
        "; start it, or correct that",
        True,
    ),
    "no such host": (
        ASTRAY,
        "Docker does not reach the engine that DOCKER_HOST or docker context names (error during connect:"
        " dial tcp: lookup build.example.com: no such host)",
        "; correct that",
        False,
    ),
    "no such context": (
        'Failed to initialize: unable to resolve docker endpoint: context "far": context not found',
        "Docker does not reach the engine that DOCKER_HOST or docker context names (",
        "; correct that",
        False,
    ),
    "hangs": ("no answer within 20 s", "the Docker engine does not answer (no answer", "; restart it", False),
}
CONFIG = load_config({"COMPOSE_PROJECT_NAME": "mine"}, Path("/nonexistent/.env"))
DOWN = parser().parse_args(["down"])


@pytest.mark.parametrize("case", WORDS)
def test_dockers_words_say_what_is_wrong_and_what_to_do(case: str) -> None:
    said, what, remedy, is_absent = WORDS[case]
    error = engine_error(f"WARNING: something else\n{said}\n\n")
    assert error
    assert str(error).startswith(what)
    assert remedy in str(error)
    assert "Get " not in str(error)
    assert error.is_absent is is_absent


@pytest.mark.parametrize("said", ["", "Error response from daemon: No such container: it"])
def test_an_engine_that_answers_is_not_said_to_be_away(said: str) -> None:
    assert engine_error(said) is None


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Return the settings of a stack of which nothing runs without Docker."""
    return replace(CONFIG, home=tmp_path / "none")


@pytest.fixture
def docker_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config) -> Any:  # noqa: ANN401
    """Let a `docker` on PATH fail with these words; without any, there is no such command."""
    monkeypatch.setattr("stack.config.load_config", lambda **_: config)

    def let(words: str) -> None:
        if words:
            put_docker(tmp_path, monkeypatch, f"#!/bin/sh\ncat >&2 <<'end'\n{words}\nend\nexit 1\n")
        else:
            monkeypatch.setenv("PATH", str(tmp_path))

    return let


def test_an_engine_is_asked_with_the_real_command(
    docker_says: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_docker(tmp_path, monkeypatch, "#!/bin/sh\necho 26.1.5\n")
    assert why_no_engine() is None
    docker_says("Error response from daemon: client version 1.99 is too new")
    assert "Docker does not work here (Error response from daemon: client version" in str(why_no_engine())


def test_without_the_command_there_is_no_engine(docker_says: Any) -> None:  # noqa: ANN401
    docker_says("")
    error = why_no_engine()
    assert error
    assert error.is_absent
    assert "there is no docker command" in str(error)


def test_an_engine_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    put_docker(tmp_path, monkeypatch, "#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(stack.modes.engine_error, "_PATIENCE", 0.1)
    with pytest.raises(
        StackError, match=r"the Docker engine does not answer .*restart it, or use .*--native"
    ):
        choose_new_mode(None)
    with pytest.raises(EngineError, match="restart it"):
        choose_mode(config)


@pytest.mark.parametrize("words", ["", STOPPED], ids=["no command", "stopped"])
def test_where_there_is_no_engine_up_is_without_docker_and_down_has_nothing_to_do(
    docker_says: Any,  # noqa: ANN401
    config: Config,
    words: str,
) -> None:
    docker_says(words)
    assert choose_new_mode(None) == "native"
    with pytest.raises(StackError, match=r"or use \./scripts/up --native"):
        choose_new_mode("docker")
    with pytest.raises(StackError, match="no stack is running here"):
        choose_mode(config)
    compose.down(config, volumes=False)
    DOWN.run(DOWN)


@pytest.mark.parametrize("words", [REFUSED, ASTRAY], ids=["refused", "astray"])
def test_an_engine_that_can_not_be_used_is_not_passed_over(
    docker_says: Any,  # noqa: ANN401
    config: Config,
    words: str,
) -> None:
    docker_says(words)
    said = str(engine_error(words))
    for named in (None, "docker"):
        with pytest.raises(StackError) as raised:
            choose_new_mode(named)
        assert str(raised.value) == f"{said}, or use ./scripts/up --native"
        with pytest.raises(EngineError) as raised:
            choose_mode(config, named)
        assert str(raised.value) == said
    assert choose_new_mode("native") == "native"
    with pytest.raises(EngineError):
        containers("it")
    with pytest.raises(StackError, match="^" + said[:20]):
        DOWN.run(DOWN)


def test_who_has_stopped_a_stack_without_docker_need_not_reach_an_engine(
    docker_says: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docker_says(REFUSED)
    monkeypatch.setattr("stack.modes.supervisor.down", lambda *_, **__: True)
    DOWN.run(DOWN)


def test_a_deployment_in_its_container_tells_which_setting_gives_it_the_socket(
    docker_says: Any,  # noqa: ANN401
    config: Config,
) -> None:
    docker_says(f"docker: {STOPPED}")
    says = r"the socket that this container got .*; set DOCKER_SOCKET in .env"
    with pytest.raises(StackError, match=says) as raised:
        choose_mode(replace(config, container_url="http://{}:8080"), "docker")
    assert not isinstance(raised.value, LockedError)  # which another deployment holds, and `up` waits for
    with pytest.raises(EngineError, match="start it"), Docker(config).exclusive():
        pass

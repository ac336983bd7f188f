from pathlib import Path

import pytest

from stack.config import CHECKOUT, load_config
from stack.docker import (
    Docker,
    base_image,
    compose_command,
    compose_environment,
    image,
    lock_command,
    start_command,
)

CONFIG = load_config(
    {"COMPOSE_PROJECT_NAME": "mine", "MODEL_NAME": "wine", "SERVING_PORT": "7002"},
    Path("/nonexistent/.env"),
)


def test_an_image_says_whose_model_it_is_and_which_version() -> None:
    assert image(CONFIG, "3") == "mine/wine:3"
    assert base_image(CONFIG) == "mine-base"


def test_compose_is_asked_for_this_stack_wherever_one_is() -> None:
    assert compose_command(CONFIG, "ps", "--all") == [
        "docker",
        "compose",
        "--project-name=mine",
        f"--project-directory={CHECKOUT}",
        "ps",
        "--all",
    ]


@pytest.mark.parametrize("service", ["serving", "trial"])
def test_a_model_server_is_started_anew_and_alone_and_waited_for(service: str) -> None:
    command = start_command(CONFIG, service)
    assert command[: len(compose_command(CONFIG)) + 1] == compose_command(CONFIG, "up")
    options = command[len(compose_command(CONFIG)) + 1 : -1]
    assert {"--detach", "--wait", "--no-deps", "--force-recreate", f"--scale={service}=1"} <= set(options)
    assert command[-1] == service


def test_the_lock_is_an_image_that_is_there_and_ends_with_its_input() -> None:
    command = lock_command(CONFIG)
    assert command[:2] == ["docker", "run"]
    assert {"--rm", "--interactive", "--pull=never", "--entrypoint=cat"} <= set(command)
    assert command[-2:] == ["--name=mine-deploying", "mine-base"]


def test_compose_is_told_the_version_and_the_settings() -> None:
    assert compose_environment(CONFIG, "3", "sha256:1") == {
        "IMAGE_ID": "sha256:1",
        "MODEL_NAME": "wine",
        "MODEL_VERSION": "3",
        "TRACKING_PORT": "5000",
        "SERVING_PORT": "7002",
    }


@pytest.mark.parametrize(
    ("base", "layers", "found"),
    [
        (["1", "2"], ["1", "2", "model"], "sha256:it"),
        (["1", "new"], ["1", "2", "model"], ""),
        ([], ["1", "2", "model"], "sha256:it"),
    ],
    ids=["the base of today", "an older base", "no base"],
)
def test_an_image_on_an_older_base_counts_as_not_baked(
    monkeypatch: pytest.MonkeyPatch, base: list[str], layers: list[str], found: str
) -> None:
    known = {"mine-base": ("sha256:base", base), "mine/wine:3": ("sha256:it", layers)}
    monkeypatch.setattr("stack.docker.inspect_image", known.__getitem__)
    assert Docker(CONFIG).image_id("3") == found

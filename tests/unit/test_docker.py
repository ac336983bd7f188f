from stack.config import CHECKOUT, load_config
from stack.docker import base_image, compose_environment, image, serve_command

CONFIG = load_config({"COMPOSE_PROJECT_NAME": "mine", "MODEL_NAME": "wine", "SERVING_PORT": "7002"})


def test_an_image_says_whose_model_it_is_and_which_version() -> None:
    assert image(CONFIG, "3") == "mine/wine:3"
    assert base_image(CONFIG) == "mine-base"


def test_serving_is_started_alone_and_waited_for() -> None:
    command = serve_command(CONFIG)
    assert command[:4] == [
        "docker",
        "compose",
        "--project-name=mine",
        f"--project-directory={CHECKOUT}",
    ]
    assert command[4] == "up"
    assert {"--detach", "--no-deps", "--wait", "--scale=serving=1"} <= set(command)
    assert command[-1] == "serving"


def test_compose_is_told_the_version_and_the_settings() -> None:
    assert compose_environment(CONFIG, "3") == {
        "MODEL_NAME": "wine",
        "MODEL_VERSION": "3",
        "TRACKING_PORT": "5000",
        "SERVING_PORT": "7002",
    }

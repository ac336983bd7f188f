from pathlib import Path

import pytest

from stack.config import CHECKOUT, Config, load_config
from stack.errors import StackError

NO_FILE = Path("/nonexistent/.env")


def test_defaults_need_no_setting() -> None:
    assert load_config({}, NO_FILE) == Config(
        project="pyfunc-stack",
        model_name="iris",
        model_dir=CHECKOUT / "trainer",
        gate={},
        server={},
        serving_network="closed",
        tracking_port=5000,
        serving_port=5002,
        tracking_url="http://127.0.0.1:5000",
        container_url=None,
        home=CHECKOUT / ".stack",
    )


def test_the_environment_goes_before_the_file_and_empty_means_the_default(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("TRACKING_PORT=6000\nSERVING_PORT=6002\nMODEL_NAME=wine\n")
    config = load_config({"SERVING_PORT": "7002", "MODEL_NAME": ""}, file)
    assert (config.tracking_port, config.serving_port, config.model_name) == (6000, 7002, "iris")
    assert config.serving_url == "http://127.0.0.1:7002"


def test_the_tracking_url_can_be_another_servers() -> None:
    config = load_config({"MLFLOW_TRACKING_URI": "http://tracking:5000"}, NO_FILE)
    assert config.tracking_url == config.client_environment()["MLFLOW_TRACKING_URI"] == "http://tracking:5000"
    assert config.own_tracking_url == "http://127.0.0.1:5000"


@pytest.mark.parametrize("value", ["0", "65536", "http", "-1", "5000.0", "٣"])
def test_a_port_must_be_a_port(value: str) -> None:
    with pytest.raises(StackError, match="TRACKING_PORT is not a port: expected a number from 1 to 65535"):
        load_config({"TRACKING_PORT": value}, NO_FILE)


def test_the_trainer_gets_the_models_own_variables_and_the_stacks_go_before(tmp_path: Path) -> None:
    file = tmp_path / "model.env"
    file.write_text("TOKEN=mine\n")
    config = load_config({}, NO_FILE, file)
    assert config.model_environment == {"TOKEN": "mine"}
    assert config.trainer_environment() == {**load_config({}, NO_FILE).trainer_environment(), "TOKEN": "mine"}


def test_the_two_ports_must_differ() -> None:
    with pytest.raises(StackError, match="both 5002"):
        load_config({"TRACKING_PORT": "5002"}, NO_FILE)


@pytest.mark.parametrize("name", ["default", "Open", "closed,open"])
def test_the_model_server_has_one_of_two_networks(name: str) -> None:
    with pytest.raises(
        StackError, match=f"names no network: expected closed or open, found '{name}'; change"
    ):
        load_config({"SERVING_NETWORK": name}, NO_FILE)


@pytest.mark.parametrize("name", ["Iris", "my model", "../etc", "a/b", "-iris", "iris-", "a..b"])
def test_a_model_name_must_be_able_to_name_an_image(name: str) -> None:
    with pytest.raises(StackError, match="MODEL_NAME can't name an image"):
        load_config({"MODEL_NAME": name}, NO_FILE)


@pytest.mark.parametrize("name", ["iris", "iris-2", "my_model", "a.b", "a__b", "a--b"])
def test_image_names_are_model_names(name: str) -> None:
    assert load_config({"MODEL_NAME": name}, NO_FILE).model_name == name


@pytest.mark.parametrize(
    ("profiles", "is_watched"),
    [("", False), ("watch", True), ("mine,watch", True), ("*", True), ("w", False)],
)
def test_compose_is_asked_to_watch_by_its_own_setting(profiles: str, is_watched: bool) -> None:
    assert load_config({"COMPOSE_PROFILES": profiles}, NO_FILE).is_watched == is_watched


def test_a_relative_state_directory_lies_in_the_checkout() -> None:
    assert load_config({"STACK_HOME": "state"}, NO_FILE).home == CHECKOUT / "state"
    assert load_config({"STACK_HOME": "/var/state"}, NO_FILE).home == Path("/var/state")


def test_a_model_directory_lies_in_the_checkout() -> None:
    config = load_config({"MODEL_DIR": "examples/diabetes"}, NO_FILE)
    assert config.model_dir == CHECKOUT / "examples" / "diabetes"


def test_a_directory_without_a_train_py_is_no_models() -> None:
    with pytest.raises(StackError, match=r"of a directory with a train.py, found docs; set another"):
        load_config({"MODEL_DIR": "docs"}, NO_FILE)


def test_a_model_directory_outside_the_checkout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    with pytest.raises(StackError, match=f"MODEL_DIR is not the directory of a model: .*found {tmp_path}"):
        load_config({"MODEL_DIR": str(tmp_path)}, NO_FILE)


def test_the_trainer_is_told_the_bounds_that_are_set_and_where_the_workflow_is() -> None:
    config = load_config({"GATE_THRESHOLD": "0.8", "GATE_TOLERANCE": "", "MODEL_NAME": "wine"}, NO_FILE)
    assert config.trainer_environment() == {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
        "TRACKING_ELSEWHERE": "",
        "TRACKING_STACK": "",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MODEL_NAME": "wine",
        "GATE_THRESHOLD": "0.8",
        "PYTHONPATH": str(CHECKOUT / "trainer"),
    }


def test_where_containers_answer_can_be_known_beforehand() -> None:
    assert load_config({"CONTAINER_URL": "http://{}:8080"}, NO_FILE).container_url == "http://{}:8080"

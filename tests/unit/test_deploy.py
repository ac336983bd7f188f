from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from serving.deploy import deploy
from stack.errors import StackError


class FakeRegistry:
    """The three calls of MlflowClient that a deployment makes, on a dict of aliases."""

    tracking_uri = "http://registry"

    def __init__(self, aliases: dict[str, str] | None) -> None:
        self.aliases = aliases or {}
        self.is_registered = aliases is not None

    def get_registered_model(self, name: str) -> Any:  # noqa: ANN401
        if not self.is_registered:
            raise MlflowException(f"no {name}", error_code=RESOURCE_DOES_NOT_EXIST)
        return self

    def set_registered_model_alias(self, _name: str, alias: str, version: str) -> None:
        self.aliases[alias] = version

    def delete_registered_model_alias(self, _name: str, alias: str) -> None:
        del self.aliases[alias]


class FakeMode:
    def __init__(self, *, unfit: str = "") -> None:
        self.unfit = unfit
        self.done: list[str] = []

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def bake(self, version: str) -> None:
        self.done.append(f"bake {version}")

    def serve(self, version: str) -> None:
        self.done.append(f"serve {version}")
        if version == self.unfit:
            raise StackError("did not become healthy")


def run(registry: FakeRegistry, mode: FakeMode) -> str:
    return deploy(registry, mode, "iris")  # type: ignore[arg-type]


def test_the_first_candidate_becomes_champion() -> None:
    registry, mode = FakeRegistry({"candidate": "1"}), FakeMode()
    assert run(registry, mode) == "1"
    assert mode.done == ["bake 1", "serve 1"]
    assert registry.aliases == {"champion": "1"}


def test_the_champion_before_becomes_previous() -> None:
    registry = FakeRegistry({"candidate": "3", "champion": "2", "previous": "1"})
    run(registry, FakeMode())
    assert registry.aliases == {"champion": "3", "previous": "2"}


def test_without_a_candidate_the_champion_is_served_again() -> None:
    registry, mode = FakeRegistry({"champion": "2", "previous": "1"}), FakeMode()
    run(registry, mode)
    assert mode.done == ["bake 2", "serve 2"]
    assert registry.aliases == {"champion": "2", "previous": "1"}


def test_a_candidate_that_does_not_become_healthy_leaves_the_champion_serving() -> None:
    registry, mode = FakeRegistry({"candidate": "2", "champion": "1"}), FakeMode(unfit="2")
    with pytest.raises(StackError, match="did not become healthy"):
        run(registry, mode)
    assert mode.done == ["bake 2", "serve 2", "serve 1"]
    assert registry.aliases == {"candidate": "2", "champion": "1"}


def test_when_nothing_becomes_healthy_both_reasons_are_told() -> None:
    class Broken(FakeMode):
        def serve(self, version: str) -> None:
            raise StackError(f"{version} is broken")

    registry = FakeRegistry({"candidate": "2", "champion": "1"})
    with pytest.raises(StackError, match=r"2 is broken\nand version 1, the champion, .*: 1 is broken"):
        run(registry, Broken())
    assert registry.aliases == {"candidate": "2", "champion": "1"}


def test_an_interruption_before_the_switch_changes_nothing() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    registry, mode = FakeRegistry({"candidate": "2", "champion": "1"}), FakeMode()
    with pytest.raises(KeyboardInterrupt):
        deploy(registry, mode, "iris", interrupted)  # type: ignore[arg-type]
    assert mode.done == ["bake 2"]
    assert registry.aliases == {"candidate": "2", "champion": "1"}


def test_a_candidate_that_was_registered_meanwhile_stays_one() -> None:
    class Meanwhile(FakeMode):
        def serve(self, version: str) -> None:
            super().serve(version)
            registry.aliases["candidate"] = "3"

    registry = FakeRegistry({"candidate": "2", "champion": "1"})
    run(registry, Meanwhile())
    assert registry.aliases == {"candidate": "3", "champion": "2", "previous": "1"}


@pytest.mark.parametrize("aliases", [None, {}, {"previous": "1"}])
def test_with_nothing_to_deploy_it_says_how_to_train(aliases: dict[str, str] | None) -> None:
    mode = FakeMode()
    with pytest.raises(StackError, match=r"run: \./scripts/train"):
        run(FakeRegistry(aliases), mode)
    assert mode.done == []

"""The steps on a real stack: those that change what is served, and those that must not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from stack.errors import StackError
from tests.bench.switch_results import (
    DEPLOY,
    FAILING_REPLAY,
    FAILING_START,
    FAILING_WHERE_SERVED,
    PROMOTE,
    ROLLBACK,
    SWITCHES,
    TRAIN,
    UP,
    Step,
)
from tests.bench.switch_versions import Versions, ways_to_fail
from tests.e2e.stacks import Stack

# `up` comes after the deployment of what was trained last: after another version it would train again.
_ROUND = (
    TRAIN,
    DEPLOY,
    UP,
    ROLLBACK,
    FAILING_REPLAY,
    PROMOTE,
    DEPLOY,
    FAILING_START,
    ROLLBACK,
    DEPLOY,
    FAILING_WHERE_SERVED,
    PROMOTE,
    ROLLBACK,
)
_FAILING = (FAILING_REPLAY, FAILING_START, FAILING_WHERE_SERVED)
# How the tags `replay` and `failure` tell why each is not served.
_REASONS = {
    FAILING_REPLAY: ("failed: ", "its answer differs"),
    FAILING_START: ("failed: ", "fails to start"),
    FAILING_WHERE_SERVED: ("passed: ", "fails to start"),
}
_ASKED = 8  # times, because two model servers may share the port


def one_round(mode: str) -> list[str]:
    """Return the kinds of steps that a mode goes through again and again."""
    return [kind for kind in _ROUND if kind not in _FAILING or kind in ways_to_fail(mode)]


def served(url: str, **way_in: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what the model server says that it serves: the version, and since when.

    ``way_in`` is what requests needs to pass a gateway.

    Raises:
        StackError: if it does not say that, or says something else when it is asked again.

    """
    try:
        found = [requests.get(f"{url}/model", timeout=10, **way_in).json() for _ in range(_ASKED)]
    except requests.RequestException as error:
        raise StackError(f"the model server does not say what it serves: {error}") from error
    if any(model != found[0] for model in found):
        raise StackError(f"two versions are served at a time: {found}")
    model: dict[str, Any] = found[0]
    return model


@dataclass(frozen=True)
class _Todo:
    """A step: what is run, its exit status, and the version that is served in the end."""

    command: tuple[str, ...]
    version: str
    status: int = 0
    failing: str = ""
    """The version that must not go live."""


@dataclass(frozen=True)
class Steps:
    """Does the steps; ``served`` says what is served."""

    stack: Stack
    versions: Versions
    served: Callable[[str], dict[str, Any]] = served

    def do(self, kind: str) -> Step:
        """Do one step.

        Raises:
            StackError: if it does not do what it should.

        """
        before, versions = self.served(self.stack.serving_url), self.stack.versions()
        todo = self._todo(kind)
        began = time.monotonic()
        done = self.stack.script(*todo.command, check=False)
        step = Step(kind, began, time.monotonic())
        if done.returncode != todo.status:
            told = (done.stdout + done.stderr)[-3000:]
            raise StackError(f"{kind}: expected exit status {todo.status}, found {done.returncode}:\n{told}")
        self._check_served(kind, todo, before)
        if kind == UP and self.stack.versions() != versions:
            raise StackError(f"{kind}: nothing has changed, and it trained another version")
        if todo.failing:
            self._check_failed(kind, todo.failing)
        return step

    def _todo(self, kind: str) -> _Todo:
        aliases = self.stack.aliases()
        champion = aliases["champion"]
        if kind == DEPLOY:
            return _Todo(("deploy",), aliases.get("candidate") or self.versions.register_again(champion))
        if kind == PROMOTE:
            version = next(version for version in self.versions.right if version != champion)
            return _Todo(("promote", version), version)
        if kind == ROLLBACK:
            return _Todo(("rollback",), aliases["previous"])
        if kind == TRAIN:
            return _Todo(("train", "--force"), champion)
        if kind == UP:
            return _Todo(("up", f"--{self.stack.mode}", "--detach"), champion)
        failing = self.versions.register_again(self.versions.failing[kind])
        return _Todo(("deploy",), champion, status=1, failing=failing)

    def _check_served(self, kind: str, todo: _Todo, before: dict[str, Any]) -> None:
        now, champion = self.served(self.stack.serving_url), self.stack.aliases()["champion"]
        if (now["version"], champion) != (todo.version, todo.version):
            raise StackError(
                f"{kind}: expected version {todo.version} to be served and champion,"
                f" found version {now['version']} served and version {champion} champion"
            )
        if kind not in SWITCHES and now != before:
            raise StackError(f"{kind}: the model server was started again: before {before}, now {now}")
        if todo.version not in self.versions.right:
            self.versions.right.append(todo.version)

    def _check_failed(self, kind: str, version: str) -> None:
        tags = self.stack.version(version).tags
        replay, failure = _REASONS[kind]
        if failure not in tags.get("failure", "") or not tags.get("replay", "").startswith(replay):
            raise StackError(f"{kind}: version {version} failed for another reason: {tags}")
        self.versions.remove_candidate()

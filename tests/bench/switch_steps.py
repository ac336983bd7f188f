"""The steps on a real stack: those that change what is served, and those that must not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from stack.errors import StackError
from stack.wait import wait_until
from tests.bench.switch_results import (
    AWAY,
    DEPLOY,
    FAILING_REPLAY,
    FAILING_START,
    FAILING_WHERE_SERVED,
    KILL,
    PLAIN_UP,
    PROMOTE,
    RESTART,
    ROLLBACK,
    SWITCHES,
    TRAIN,
    UP,
    Step,
)
from tests.bench.switch_versions import Versions, ways_to_fail
from tests.e2e.stacks import Stack, docker

# An `up` comes after the deployment of what was trained last: after another version it would train again.
_ROUND = (
    TRAIN,
    DEPLOY,
    UP,
    *AWAY,
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
_DEPLOY = ("./scripts/deploy",)
_ASKED = 8  # times, because two model servers may share the port
_BACK_WITHIN = 60  # seconds


def one_round(mode: str, *, is_behind_gateway: bool = False) -> list[str]:
    """Return the kinds of steps that a mode goes through again and again."""
    left_out = set(_FAILING) - set(ways_to_fail(mode))
    if mode == "native" or not is_behind_gateway:
        left_out.update(AWAY)  # nobody holds the requests there
    return [kind for kind in _ROUND if kind not in left_out]


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
    """A step: what is run, the exit status of each command, and the version that is served in the end."""

    commands: tuple[tuple[str, ...], ...]
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
        for command in todo.commands:
            done = self.stack.run(*command, check=False)
            if done.returncode != todo.status:
                told = (done.stdout + done.stderr)[-3000:]
                expected = f"expected exit status {todo.status}, found {done.returncode}"
                raise StackError(f"{kind}: {expected}:\n{told}")
        if kind in AWAY:
            wait_until(lambda: self._not_back(kind, before), timeout=_BACK_WITHIN)
        step = Step(kind, began, time.monotonic())
        self._check_served(kind, todo, before)
        if kind in (UP, *AWAY) and self.stack.versions() != versions:
            raise StackError(f"{kind}: nothing has changed, and it trained another version")
        if todo.failing:
            self._check_failed(kind, todo.failing)
        return step

    def _todo(self, kind: str) -> _Todo:
        aliases = self.stack.aliases()
        champion = aliases["champion"]
        if kind == DEPLOY:
            return _Todo((_DEPLOY,), aliases.get("candidate") or self.versions.register_again(champion))
        if kind == PROMOTE:
            version = next(version for version in self.versions.right if version != champion)
            return _Todo((("./scripts/promote", version),), version)
        if kind == ROLLBACK:
            return _Todo((("./scripts/rollback",),), aliases["previous"])
        if kind == TRAIN:
            return _Todo((("./scripts/train", "--force"),), champion)
        if kind == UP:
            return _Todo((self._up,), champion)
        if kind in AWAY:
            return _Todo(self._taking_away(kind), champion)
        failing = self.versions.register_again(self.versions.failing[kind])
        return _Todo((_DEPLOY,), champion, status=1, failing=failing)

    @property
    def _up(self) -> tuple[str, ...]:
        return "./scripts/up", f"--{self.stack.mode}", "--detach"

    def _taking_away(self, kind: str) -> tuple[tuple[str, ...], ...]:
        if kind == PLAIN_UP:  # without --wait, it ends before `deploy` does
            return (("docker", "compose", "up", "--detach", "--wait"),)
        serving = self.stack.compose("ps", "--quiet", "serving").strip()
        if kind == KILL:  # the engine does not start again what was ended by its own command
            return ("docker", "kill", serving), self._up
        if kind == RESTART:
            return (("docker", "restart", serving),)
        process = docker("inspect", "--format={{.State.Pid}}", serving).strip()
        # Only from outside of its container can this process be killed.
        outside = ("--pid=host", "--user=0", "--network=none", "--entrypoint=sh")
        base = f"{self.stack.settings['COMPOSE_PROJECT_NAME']}-base"
        return (("docker", "run", "--rm", *outside, base, "-c", f"kill -KILL {process}"),)

    def _not_back(self, kind: str, before: dict[str, Any]) -> str | None:
        """Say why the model server is not back yet; None if it was started again, and answers."""
        try:
            is_back = self.served(self.stack.serving_url)["since"] != before["since"]
        except StackError as error:
            return f"{kind}: {error}"
        return None if is_back else f"{kind}: the model server was not started again"

    def _check_served(self, kind: str, todo: _Todo, before: dict[str, Any]) -> None:
        now, champion = self.served(self.stack.serving_url), self.stack.aliases()["champion"]
        if (now["version"], champion) != (todo.version, todo.version):
            raise StackError(
                f"{kind}: expected version {todo.version} to be served and champion,"
                f" found version {now['version']} served and version {champion} champion"
            )
        if kind in AWAY:
            before = {**before, "since": now["since"]}
        if kind not in SWITCHES and now != before:
            raise StackError(f"{kind}: another model server answers: before {before}, now {now}")
        if todo.version not in self.versions.right:
            self.versions.right.append(todo.version)

    def _check_failed(self, kind: str, version: str) -> None:
        tags = self.stack.version(version).tags
        replay, failure = _REASONS[kind]
        if failure not in tags.get("failure", "") or not tags.get("replay", "").startswith(replay):
            raise StackError(f"{kind}: version {version} failed for another reason: {tags}")
        self.versions.remove_candidate()

"""The situations in which this stack is started, in either mode, one after the other on one stack."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from stack.errors import StackError
from stack.modes.engine import containers, find_image
from stack.modes.processes import Process
from stack.wait import not_healthy
from tests.bench.disk import added, image_layers, together
from tests.bench.measure import container_processes, memory
from tests.bench.timeline import Line, first_sign, phases, stamped
from tests.bench.watching import Watched, Watcher, answers_right
from tests.e2e.stacks import Stack, native_processes

Note = Callable[[str, str, float], None]
"""Takes a situation, what was measured in it, and the value."""
SETTLED_AFTER = 5  # seconds, by which a server that has started has come to rest


def change_model(file: Path) -> None:
    """Change a parameter in a train.py, so that it trains another model.

    Raises:
        StackError: if the parameter is not there.

    """
    changed, count = re.subn(
        r'"max_iter": (\d+)', lambda found: f'"max_iter": {int(found[1]) + 1}', file.read_text()
    )
    if count != 1:
        raise StackError(f"expected one max_iter in {file}, found {count}")
    file.write_text(changed)


def empty_build_cache() -> None:
    """Forget all layers that were built, by whomever.

    `build --no-cache` would not do: it builds the shared layers once for each service.
    """
    subprocess.run(["docker", "builder", "prune", "-af"], stdout=subprocess.DEVNULL, check=True)


@dataclass
class Measured:
    """A stack that is measured; ``note`` takes what is found."""

    stack: Stack
    note: Note

    @property
    def _home(self) -> Path:
        return Path(self.stack.settings["STACK_HOME"])

    def _version(self) -> str | None:
        if not answers_right(self.stack.ports[1]):
            return None
        try:
            return str(requests.get(f"{self.stack.serving_url}/model", timeout=5).json()["version"])
        except (requests.RequestException, KeyError):
            return None

    def _run(self, name: str, *arguments: str) -> tuple[Watched, dict[str, float]]:
        """Run a script; return what was seen of it, and its phases."""
        native = self.stack.mode == "native"
        logs = [self._home / "logs" / f"{part}.log" for part in ("trainer", "deploy")] if native else []
        watcher = Watcher(lambda: not_healthy(self.stack.tracking_url) is None, self._version, logs)
        # So that what a part prints is in its log at once, as it is in a container.
        environment = {**self.stack.environment, "PYTHONUNBUFFERED": "1"}
        watched = watcher.run([f"./scripts/{name}", *arguments], self.stack.checkout, environment)
        lines, found = watched.lines, {}
        if not native:
            lines = lines + self._container_lines(watched.since)
            project = f"com.docker.compose.project={self.stack.settings['COMPOSE_PROJECT_NAME']}"
            images = first_sign(containers(project), watched.since) if name == "up" else None
            found = {} if images is None else {"images there": images}
        if watched.healthy:
            found["tracking healthy"] = watched.healthy - watched.since
        return watched, found | phases(watched.since, lines)

    def _container_lines(self, since: float) -> list[Line]:
        lines = []
        for part in ("trainer", "deploy"):
            name = f"{self.stack.settings['COMPOSE_PROJECT_NAME']}-{part}-1"
            command = ["docker", "logs", "--timestamps", f"--since={since:.6f}", name]
            lines += stamped(subprocess.run(command, capture_output=True, text=True).stdout)
        return lines

    def _note_all(self, situation: str, watched: Watched, found: dict[str, float]) -> None:
        for phase, seconds in found.items():
            self.note(situation, phase, seconds)
        if {"baking begins", "baked"} <= found.keys():
            self.note(situation, "the bake alone", found["baked"] - found["baking begins"])
        new = [at for at in watched.answered.values() if at > watched.since]
        if new:
            self.note(situation, "first right answer", new[0] - watched.since)
        self.note(situation, "command ended, right answer", watched.settled - watched.since)
        if len(new) < len(watched.answered):  # there were answers before, too
            self.note(situation, "longest time without an answer", watched.pause)

    def up(self, situation: str) -> None:
        """Measure `up`."""
        self._note_all(situation, *self._run("up", f"--{self.stack.mode}", "--detach"))

    def retrain(self) -> None:
        """Measure `up` after the model was changed."""
        change_model(self.stack.checkout / "trainer" / "train.py")
        image = f"{self.stack.settings['COMPOSE_PROJECT_NAME']}-trainer"
        replaced = find_image(image) if self.stack.mode == "docker" else None
        try:
            self.up("retrain")
        finally:
            if replaced:  # it has no name any more by which it would be removed
                subprocess.run(["docker", "image", "rm", replaced.identity], capture_output=True)

    def rebake(self) -> None:
        """Measure `train --force`, and `deploy` of what that has brought."""
        watched, _ = self._run("train", "--force")
        self.note("rebake", "train --force", watched.ended - watched.since)
        self._note_all("rebake", *self._run("deploy"))

    def rollback(self) -> None:
        """Measure `rollback`."""
        self._note_all("rollback", *self._run("rollback"))

    def idle_memory(self) -> None:
        """Weigh all processes of the stack, and tracking's among them."""
        time.sleep(SETTLED_AFTER)
        if self.stack.mode == "native":
            self.note("idle", "memory of all [MB]", memory(native_processes(self.stack)))
            self.note("idle", "memory of tracking [MB]", memory(Process(self._home, "tracking").members()))
            return
        taken = {
            name: memory(
                [pid for identity in self._containers(name) for pid in container_processes(identity)]
            )
            for name in ("", "tracking")
        }
        self.note("idle", "memory of all [MB]", taken[""])
        self.note("idle", "memory of tracking [MB]", taken["tracking"])

    def _containers(self, service: str) -> list[str]:
        return self.stack.compose("ps", "--quiet", *([service] if service else [])).split()

    def disk(self) -> None:
        """Measure the images, and what version 2 has added to them."""
        project = self.stack.settings["COMPOSE_PROJECT_NAME"]
        ours = [image_layers(f"{project}-{name}") for name in ("base", "trainer", "deploy")]
        first, second = (image_layers(f"{project}/{self.stack.model.name}:{number}") for number in (1, 2))
        self.note("idle", "all images [MB]", together([*ours, first]))
        self.note("idle", "one more model version [MB]", added(second, first))

    def follow_ups(self) -> None:
        """Measure on a stack that is up and new."""
        self.idle_memory()
        self.up("again")
        self.rebake()
        if self.stack.mode == "docker":
            self.disk()
        self.retrain()
        self.rollback()

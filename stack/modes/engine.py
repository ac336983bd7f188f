"""The Docker engine, as far as this project uses it: commands, images, containers, and a lock."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from stack.errors import LockedError, StackError
from stack.modes.engine_error import engine_error
from stack.wait import wait_until


def run(command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with more environment variables; its output is kept."""
    # In a session of its own, it does not get the terminal's Ctrl-C: a switch is finished or undone.
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        close_fds=False,  # for the lock: see Lock
    )


def run_shown(command: list[str]) -> tuple[int, str]:
    """Run a command to its end; show what it prints as it comes, and return that with its exit status.

    On a terminal, it gets one as large as ours, so that it shows its progress as it would without us.
    """
    on_terminal = sys.stdout.isatty()
    ours, its = pty.openpty() if on_terminal else os.pipe()
    if on_terminal:
        termios.tcsetwinsize(its, termios.tcgetwinsize(sys.stdout))
    printed = bytearray()
    with subprocess.Popen(command, stdout=its, stderr=its) as process, os.fdopen(ours, "rb", 0) as output:
        os.close(its)
        while some := _read(output):
            printed += some
            with suppress(OSError):  # whoever reads ours may have gone; the command is to finish nevertheless
                sys.stdout.buffer.write(some)
                sys.stdout.flush()
    return process.returncode, printed.decode(errors="replace")


def _read(output: IO[bytes]) -> bytes:
    try:
        return output.read(65536) or b""
    except OSError:  # how a terminal on Linux says that nobody writes to it any more
        return b""


def container_log(identity: str, *options: str) -> str:
    """Return what a container has logged, to either stream; ``options`` are those of `docker logs`."""
    # Not by Compose, which begins each line with a control sequence.
    log = run(["docker", "logs", *options, identity])
    return log.stdout + log.stderr


@dataclass(frozen=True)
class Image:
    """An image: its id, its platform, like linux/arm64, and the digests of its layers from the base up.

    And its labels, its names, when it last got one, the digests that Docker knows, as NAME@DIGEST, and its
    bytes.
    """

    identity: str
    platform: str
    layers: list[str]
    labels: dict[str, str]
    names: list[str]
    named_at: datetime
    digests: list[str] = field(default_factory=list)
    size: int = 0


def find_image(name: str) -> Image | None:
    """Return the image of that name, if there is one."""
    command = ["docker", "image", "inspect", name]
    found = json.loads(run(command).stdout or "[]")
    if not found:
        return None
    of = found[0]
    return Image(
        of["Id"],
        f"{of['Os']}/{of['Architecture']}",
        of["RootFS"]["Layers"],
        of["Config"].get("Labels") or {},
        of["RepoTags"] or [],
        moment(of["Metadata"].get("LastTagTime") or "0001-01-01T00:00:00Z"),
        of.get("RepoDigests") or [],
        of["Size"],
    )


def image_names(reference: str) -> list[str]:
    """Return the names of all images that are named like this."""
    listed = ["docker", "image", "ls", f"--filter=reference={reference}", "--format={{.Repository}}:{{.Tag}}"]
    return run(listed).stdout.split()


def remove_replaced(name: str, before: Image | None) -> None:
    """Remove the image that had the name ``before``, if another has it now: it would stay without a name.

    Docker refuses to remove it while a container needs it.
    """
    made = find_image(name)
    if before and made and made.identity != before.identity:
        run(["docker", "image", "rm", before.identity])


def volume_made_at(name: str) -> datetime | None:
    """Return when the volume of that name was made; None if there is none."""
    found = run(["docker", "volume", "inspect", "--format={{.CreatedAt}}", name]).stdout.strip()
    return moment(found) if found else None


def containers(*filters: str) -> list[dict[str, Any]]:
    """Return what the engine knows of each container, running or not, that passes these filters."""
    options = [f"--filter={each}" for each in filters]
    listed = run(["docker", "ps", "--all", "--quiet", "--no-trunc", *options])
    if listed.returncode != 0:
        raise engine_error(listed.stderr) or StackError(
            f"Docker lists no containers: {listed.stderr.strip()}"
        )
    found = listed.stdout.split()
    if not found:
        return []
    known: list[dict[str, Any]] = json.loads(run(["docker", "container", "inspect", *found]).stdout)
    return known


@contextmanager
def watch(identities: list[str]) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether one of these containers runs; a restarted one counts as ended."""
    waiting = subprocess.Popen(["docker", "wait", *identities], stdout=subprocess.DEVNULL)
    try:
        yield lambda: waiting.poll() is None
    finally:
        waiting.kill()
        waiting.wait()


def moment(text: str) -> datetime:
    """Read a time as the engine writes it, with nanoseconds."""
    return datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", r".\1", text))


def hold(command: list[str]) -> tuple["subprocess.Popen[str] | None", str]:
    """Start a command that echoes its input; it ends when its input does, so at the latest with this process.

    Returns the process or, if it does not echo, why.
    """
    holder = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdin  # noqa: S101 - they are pipes
    assert holder.stdout  # noqa: S101
    with suppress(BrokenPipeError):
        holder.stdin.write("held\n")
        holder.stdin.flush()
    if any(line == "held\n" for line in holder.stdout):  # Compose tells what it builds before
        return holder, ""
    return None, holder.communicate()[1].strip()


class Lock:
    """A lock for all clients of one engine, on the host or in containers: a container with a fixed name.

    ``command`` starts it. It runs until its standard input is closed: when this process and the commands that
    it has started have ended.
    """

    def __init__(self, name: str, command: list[str], whose: str = "another deployment") -> None:
        """``whose`` says who else may hold it. Nothing is started yet."""
        self._name = name
        self._command = command
        self._whose = whose
        self._holder: subprocess.Popen[str] | None = None
        self._error = ""

    def acquire(self) -> None:
        """Start the container; LockedError if another process holds it, StackError if it can't be started."""
        for is_last in (False, True):
            with suppress(StackError):
                wait_until(self._held_by_another, timeout=5, interval=0.2)
            if self._holder or is_last or self._state() == "running":
                break
            # The process that made it, or the engine, was killed before it ran.
            run(["docker", "rm", "--force", self._name])
        if not self._holder and self._state() == "running":
            raise LockedError(
                f"{self._whose} is running (it holds the container {self._name}); wait until it ends"
            )
        if not self._holder:
            raise engine_error(self._error) or StackError(f"can't start a container: {self._error}")

    def release(self) -> None:
        """End the container, and wait until it has ended."""
        if self._holder:
            self._holder.communicate()

    def _held_by_another(self) -> str | None:
        if self._state() == "running":  # to look costs less than to try, which `watch` does again and again
            return "locked"
        holder, self._error = hold(self._command)
        if holder:
            assert holder.stdin  # noqa: S101 - it is a pipe
            os.set_inheritable(holder.stdin.fileno(), True)
            self._holder = holder
            return None
        return "locked" if "already in use" in self._error else None

    def _state(self) -> str:
        return run(
            ["docker", "container", "inspect", "--format={{.State.Status}}", self._name]
        ).stdout.strip()

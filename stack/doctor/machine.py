"""The machine: who uses the ports, room on the disks, the clock."""

import contextlib
import errno
import pwd
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.doctor.engine import Publisher
from stack.doctor.finding import Finding, fix, ok, skip
from stack.modes.preflight import NEEDED_BYTES, port_error

# All images of the stack take 1.2 GB, and the layers that they are built from take about as much.
_NEEDED_BY_DOCKER = 3 * 1024**3
_TOLERANCE = timedelta(seconds=10)


@dataclass(frozen=True)
class Listener:
    """Who listens on a port: the processes' ids, empty if they are another user's; and that user's id."""

    pids: tuple[int, ...]
    user: int


def who_listens(port: int, proc: Path = Path("/proc")) -> Listener | None:
    """Find who listens on a TCP port of this machine; None if nobody does, or if there is no /proc."""
    users = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                local, state, user, inode = (line.split()[column] for column in (1, 3, 7, 9))
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    users[f"socket:[{inode}]"] = int(user)
    if not users:
        return None
    pids = [int(process.name) for process in proc.glob("[0-9]*") if users.keys() & set(_files_of(process))]
    return Listener(tuple(sorted(pids)), min(users.values()))


def _files_of(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for file in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(file.readlink())


def is_taken(port: int) -> bool:
    """Whether something answers on the port, or keeps a server from listening there."""
    error = port_error(port)
    if error and error.errno != errno.EACCES:
        return True
    # On macOS, a program may listen beside a server that has the port on all addresses.
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_port(
    setting: str, port: int, *, container: Publisher | None, project: str, own: Collection[int]
) -> Finding:
    """Whether the port is free, or who has it.

    ``container`` is the one that publishes the port, ``own`` holds the ids of the stack's local processes.
    """
    choose = f"or set {setting} in .env"
    if container and container.project == project:
        return ok(f"port {port} is used by this stack (container {container.container})")
    if container:
        name = container.container
        return fix(f"port {port} is taken by container {name}: stop it (docker stop {name}), {choose}")
    if not is_taken(port):
        if error := port_error(port):
            return skip(f"port {port}: this user may not listen there ({error.strerror}); only Docker may")
        return ok(f"port {port} is free ({setting})")
    listener = who_listens(port)
    if listener is None:
        return fix(
            f"port {port} is taken: stop what uses it (lsof -i :{port} shows it; on macOS, AirPlay Receiver"
            f" uses 5000), {choose}"
        )
    if mine := set(listener.pids) & set(own):
        return ok(f"port {port} is used by this stack (process {min(mine)})")
    if listener.pids:
        pid = listener.pids[0]
        return fix(f"port {port} is taken by process {pid} ({_name(pid)}): stop it, {choose}")
    return fix(f"port {port} is taken by a process of user {_user(listener.user)}: have it stopped, {choose}")


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "it has just ended"


def _user(number: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def check_disk(what: str, directory: Path, needed: int, remedy: str) -> Finding:
    """Whether the disk has room where ``directory`` is or will be made."""
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < needed:
        return fix(
            f"the disk of {what} is nearly full: {_size(needed)} are needed, {_size(free)} are free: {remedy}"
        )
    return ok(f"the disk of {what} has {_size(free)} free")


def check_home_disk(home: Path) -> Finding:
    """Whether there is room for the state of the stack without Docker."""
    remedy = "make room, or set STACK_HOME to a directory on another disk"
    return check_disk(f"the state directory {home}", home, NEEDED_BYTES, remedy)


def check_docker_disk(root: str, *, is_local: bool) -> Finding:
    """Whether there is room for images in the engine's ``DockerRootDir``."""
    if not is_local or not Path(root).exists():
        return skip("Docker's disk is not on this machine; docker system df shows what is used")
    return check_disk(
        f"Docker's data {root}",
        Path(root),
        _NEEDED_BY_DOCKER,
        "make room; docker system df shows what to remove",
    )


def _size(number: int) -> str:
    return f"{number / 1024**3:.1f} GB" if number >= 1024**3 else f"{number // 1024**2} MB"


def newest_change(checkout: Path) -> tuple[datetime, str]:
    """Return the latest moment that this checkout knows of, and what happened then."""
    files = [path for pattern in ("*", "lock/*", "stack/*") for path in checkout.glob(pattern)]
    newest = max(files, key=lambda path: path.lstat().st_mtime)
    moments = [(datetime.fromtimestamp(newest.lstat().st_mtime, UTC), f"{newest} was changed")]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        command = ["git", "-C", str(checkout), "log", "-1", "--format=%ct"]
        committed = subprocess.run(command, capture_output=True, text=True, timeout=5).stdout
        moments.append((datetime.fromtimestamp(int(committed), UTC), "the last commit was made"))
    return max(moments)


def check_clock(now: datetime, newest: tuple[datetime, str]) -> Finding:
    """Whether this machine's clock is behind something that has already happened."""
    moment, what = newest
    if now + _TOLERANCE < moment:
        return fix(
            f"this machine's clock is behind: it says {_time(now)}, but {what} at {_time(moment)}: set it,"
            " for example by sudo timedatectl set-ntp true"
        )
    return ok(f"this machine's clock says {_time(now)}")


def check_engine_clock(asked: datetime, engine: datetime, answered: datetime) -> Finding:
    """Whether the engine's clock, which containers see, agrees with this machine's.

    In a virtual machine, it may drift.
    """
    off = max(asked - engine, engine - answered)
    if off > _TOLERANCE:
        which = "behind" if engine < asked else "ahead of"
        return fix(
            f"the Docker engine's clock is {off.total_seconds():.0f} s {which} this machine's: set both"
            " from the network's time; Docker Desktop does that when it is restarted"
        )
    return ok("the engine's clock agrees with this machine's")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

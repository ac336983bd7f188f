"""Collects into vendor/ what builds, bakes and installs need, so that they work without any network."""

import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.docker_environment import python_image
from stack.modes.engine import find_image, run
from stack.modes.engine_error import why_no_engine
from stack.modes.preflight import check_room

VENDOR = CHECKOUT / "vendor"
_LOCKS = ("bootstrap.txt", "runtime.txt", "dev.txt")
_BYTES_FOR_A_PLATFORM = 1024**3  # 0.7 GB, and some for pip's work
_BYTES_FOR_IMAGES = 1024**3


@dataclass(frozen=True)
class Platform:
    """A kind of machine: its name, its values of the markers in lock/, and the tags of the wheels it runs.

    Every package of the lock has a wheel for each of ``pythons``.
    """

    name: str
    sys_platform: str
    machine: str
    tags: tuple[str, ...]
    pythons: tuple[str, ...] = ("3.11", "3.12", "3.13")

    def markers(self, python: str) -> dict[str, str]:
        """Return the values that requirements' environment markers are compared with, on that CPython."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": self.sys_platform.capitalize(),
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": self.sys_platform,
        }


def _manylinux(machine: str) -> tuple[str, ...]:
    # The oldest C library first, so that the wheels also run on systems older than this one; up to
    # Debian 12's. pip takes each tag literally: it does not add the older ones that the tag includes.
    old = tuple(f"{name}_{machine}" for name in ("manylinux1", "manylinux2010", "manylinux2014"))
    return old + tuple(f"manylinux_2_{minor}_{machine}" for minor in range(5, 37))


PLATFORMS = {
    found.name: found
    for found in (
        Platform("linux-x86_64", "linux", "x86_64", _manylinux("x86_64")),
        Platform("linux-aarch64", "linux", "aarch64", _manylinux("aarch64")),
        # pip knows that these also run wheels for older ones. gevent has no wheel for Python 3.11 there.
        Platform(
            "macos-arm64", "darwin", "arm64", ("macosx_14_0_arm64", "macosx_15_0_arm64"), ("3.12", "3.13")
        ),
    )
}


def this_machine() -> str:
    """Name the platform of this machine, as --platform has it."""
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    return f"{system}-{platform.machine()}"


def image_platform(docker_platform: str) -> str:
    """Name the platform of an image as --platform has it: linux-x86_64 for Docker's linux/amd64."""
    machine = docker_platform.split("/")[1]
    return "linux-" + {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def requirements(lock: str, target: Platform, python: str) -> list[str]:
    """Return the lock's lines for that platform and Python, with hashes and without markers.

    pip would compare the markers with the machine that it runs on, so they are evaluated here.
    """
    lines = []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock):
        first, *rest = [line.rstrip("\\ ").strip() for line in entry.splitlines()] or [""]
        if "==" not in first or first.startswith("#"):
            continue
        wanted = Requirement(first)
        if wanted.marker is None or wanted.marker.evaluate(target.markers(python)):
            hashes = [line for line in rest if line.startswith("--hash=")]
            lines.append(" ".join([f"{wanted.name}{wanted.specifier}", *hashes]))
    return lines


def wheels_command(target: Platform, python: str, listed: Path, directory: Path) -> list[str]:
    """Build the command line that fetches the wheels of a file of requirements, and checks their hashes."""
    return [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
        *("--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--implementation=cp", f"--python-version={python}"),
        *(f"--platform={tag}" for tag in target.tags),
        *(f"--dest={directory}", f"--requirement={listed}"),
    ]


def debs_command(
    build: Mapping[str, Any], docker_platform: str, certificates: str, directory: Path
) -> list[str]:
    """Build the command line that takes the Debian packages out of the Dockerfile, built as Compose does."""
    arguments = [f"--build-arg={name}" for name, value in build.get("args", {}).items() if value]
    return [
        *("docker", "build", "--quiet", "--no-cache", "--target=debs", f"--platform={docker_platform}"),
        *arguments,
        *(f"--secret=id=ca,src={certificates}", f"--output=type=local,dest={directory}", str(CHECKOUT)),
    ]


def check_disk(platforms: int, images: bool, directory: Path = VENDOR) -> None:
    """Raise StackError if the disk has no room for what will be collected."""
    needed = platforms * _BYTES_FOR_A_PLATFORM + images * _BYTES_FOR_IMAGES
    check_room(directory, needed, "make room, then run this again")


def collect_wheels(target: Platform, directory: Path) -> None:
    """Fetch every package of the lock for one platform, for all Pythons.

    Raises:
        StackError: if one can't be fetched, or does not match the lock's hash.

    """
    for python in target.pythons:
        _say(f"Python packages for {target.name}, Python {python}")
        lines = [
            line
            for name in _LOCKS
            for line in requirements((CHECKOUT / "lock" / name).read_text(), target, python)
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.write("\n".join(lines))
            listed.flush()
            _fetch(wheels_command(target, python, Path(listed.name), directory), "the Python packages")


def collect_images(compose: Mapping[str, Any], docker_platform: str, directory: Path) -> None:
    """Fetch the Debian packages, and save the base image; StackError if that fails."""
    image = python_image()
    _say(f"the base image, {image} for {docker_platform}")
    found = find_image(image)
    if not found or found.platform != docker_platform:
        _fetch(["docker", "pull", "--quiet", f"--platform={docker_platform}", image], "the base image")
    _fetch(["docker", "save", f"--output={directory / 'image.tar'}", image], "the base image")
    _say("Debian packages")
    build = compose["services"]["deploy"]["build"]
    certificates = compose["secrets"]["ca"]["file"]
    command = debs_command(build, docker_platform, certificates, directory / "debs")
    _fetch(command, "the Debian packages", {name: value for name, value in build["args"].items() if value})


def install(collected: Path, directory: Path = VENDOR) -> None:
    """Move what was collected into vendor/, in place of what was there."""
    for new in sorted(collected.iterdir()):
        old = directory / new.name
        if old.is_dir():
            shutil.rmtree(old)
        new.replace(old)


def collect(names: Sequence[str]) -> None:
    """Collect for the platforms of these names, or else for this machine and the images; all or nothing.

    Raises:
        StackError: if something can't be fetched; vendor/ is unchanged then.

    """
    no_engine = why_no_engine()
    has_engine = no_engine is None
    compose = _compose() if has_engine else {}
    docker_platform = _docker_platform(compose) if has_engine else ""
    if not names:
        names = sorted({this_machine(), *([image_platform(docker_platform)] if has_engine else [])})
    if unknown := [name for name in names if name not in PLATFORMS]:
        raise StackError(
            f"there are no packages for {', '.join(unknown)}: expected some of {', '.join(PLATFORMS)};"
            " name them with --platform"
        )
    check_disk(len(names), has_engine)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=VENDOR) as partial:
        # First what fails soonest.
        if has_engine:
            collect_images(compose, docker_platform, Path(partial))
        for name in names:
            collect_wheels(PLATFORMS[name], Path(partial) / "wheels")
        install(Path(partial))
    _say(f"done: {sum(file.stat().st_size for file in VENDOR.rglob('*')) // 1000**2} MB in vendor/")
    if has_engine:
        print("    where the base image is missing: docker load --input vendor/image.tar")
    else:
        print(f"    without the base image and the Debian packages: {no_engine}")


def _compose() -> dict[str, Any]:
    # Compose fills in all settings, from wherever it takes them.
    shown = run(["docker", "compose", f"--project-directory={CHECKOUT}", "config", "--format=json"])
    if shown.returncode != 0:
        raise StackError(f"Compose can't read docker-compose.yml or .env: {shown.stderr.strip()}; correct it")
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def _docker_platform(compose: Mapping[str, Any]) -> str:
    named: str = compose["services"]["tracking"].get("platform", "")
    return named or run(["docker", "version", "--format={{.Server.Os}}/{{.Server.Arch}}"]).stdout.strip()


def _fetch(command: list[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    done = run(command, environment)
    if done.returncode != 0:
        lines = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise StackError(
            f"{what} can't be fetched:\n    {lines}\nvendor/ is unchanged. Check the network, or the settings"
            " in docs/company-wall.md, then run this again"
        )


def _say(what: str) -> None:
    print(f"==> {what}", flush=True)

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from stack import vendor
from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.docker_environment import python_image
from stack.modes.engine_error import EngineError
from stack.vendor import (
    PLATFORMS,
    check_disk,
    collect,
    debs_command,
    image_platform,
    install,
    requirements,
    wheels_command,
)

LINUX, MACOS = PLATFORMS["linux-x86_64"], PLATFORMS["macos-arm64"]
LOCK = """\
both==1.0 ; sys_platform == 'darwin' or sys_platform == 'linux' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via somebody
new[extra]==2.0 ; python_full_version >= '3.12' and sys_platform == 'linux' \\
    --hash=sha256:cc
"""
COMPOSE = {
    "services": {
        "tracking": {"platform": "linux/amd64"},
        "deploy": {"build": {"args": {"PACKAGE_INDEX": "https://me:hunter2@index.test", "NO_PROXY": None}}},
    },
    "secrets": {"ca": {"file": "/ca.pem"}},
}


def test_markers_are_those_of_the_platform_that_is_asked_for() -> None:
    both = "both==1.0 --hash=sha256:aa --hash=sha256:bb"
    assert requirements(LOCK, LINUX, "3.13") == [both, "new==2.0 --hash=sha256:cc"]
    assert requirements(LOCK, LINUX, "3.11") == requirements(LOCK, MACOS, "3.13") == [both]


def test_every_package_of_the_lock_is_asked_for() -> None:
    for lock in (CHECKOUT / "lock").glob("*.txt"):
        text = lock.read_text()
        lines = requirements(text, LINUX, "3.13")
        assert 0 < len(lines) <= text.count("==")
        assert all("==" in line and "--hash=sha256:" in line and ";" not in line for line in lines)
    assert len(requirements((CHECKOUT / "lock" / "runtime.txt").read_text(), LINUX, "3.13")) > 90


def test_wheels_are_fetched_for_another_machine_with_hashes_and_nothing_built() -> None:
    command = wheels_command(LINUX, "3.12", Path("/listed"), Path("/wheels"))
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.12"} <= set(command)
    platforms = [word for word in command if word.startswith("--platform=")]
    assert platforms[0] == "--platform=manylinux1_x86_64"  # the oldest first
    assert command[-2:] == ["--dest=/wheels", "--requirement=/listed"]


def test_debian_packages_come_out_of_the_dockerfile_and_no_password_is_on_the_command_line() -> None:
    build = {"args": {"PACKAGE_INDEX": "https://me:hunter2@index.test", "NO_PROXY": None}}
    command = debs_command(build, "linux/amd64", "/ca.pem", Path("/debs"))
    assert {"--target=debs", "--platform=linux/amd64", "--build-arg=PACKAGE_INDEX"} <= set(command)
    assert "--secret=id=ca,src=/ca.pem" in command
    assert command[-2:] == ["--output=type=local,dest=/debs", str(CHECKOUT)]
    assert not any("hunter2" in word or "NO_PROXY" in word for word in command)


def test_docker_names_platforms_otherwise() -> None:
    assert image_platform("linux/amd64") == "linux-x86_64"
    assert image_platform("linux/arm64/v8") == "linux-aarch64"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"is full: expected \d+ MB free, found \d+ MB; make room"):
        check_disk(10**9, True, tmp_path)


def test_what_was_collected_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    old, new = tmp_path / "vendor", tmp_path / "new"
    for directory, name in ((old, "old.whl"), (new, "new.whl")):
        (directory / "wheels").mkdir(parents=True)
        (directory / "wheels" / name).touch()
    (old / "image.tar").write_text("kept: without an engine, it is not collected")
    install(new, old)
    assert [path.name for path in (old / "wheels").iterdir()] == ["new.whl"]
    assert (old / "image.tar").exists()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Run no command; note each, and let each succeed but `failing`."""
    noted: list[list[str]] = []

    def run(command: list[str], _: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        noted.append(command)
        if "--requirement" in command[-1]:
            Path(command[-2].partition("=")[2]).mkdir(exist_ok=True)
        said = json.dumps(COMPOSE) if "config" in command else ""
        return subprocess.CompletedProcess(command, 0, said, "")

    monkeypatch.setattr(vendor, "run", run)
    monkeypatch.setattr(vendor, "find_image", lambda _name: None)
    monkeypatch.setattr(vendor, "VENDOR", tmp_path)
    monkeypatch.setattr(vendor.install, "__defaults__", (tmp_path,))
    monkeypatch.setattr(vendor, "why_no_engine", lambda: None)
    monkeypatch.setattr(vendor, "this_machine", lambda: "macos-arm64")
    return noted


def fetched(commands: list[list[str]]) -> set[str]:
    """Tell for which platforms wheels were asked for, by each one's last tag."""
    asked = [[word for word in command if word.startswith("--platform=")][-1] for command in commands]
    return {word.partition("=")[2] for word in asked}


@pytest.mark.usefixtures("commands")
def test_by_default_it_is_for_this_machine_and_for_the_images(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    collect([])
    assert fetched([command for command in commands if "download" in command]) == {
        MACOS.tags[-1],
        LINUX.tags[-1],
    }
    assert ["docker", "save"] in [command[:2] for command in commands]
    assert python_image() in [command[-1] for command in commands if command[1] == "pull"]
    assert "docker load --input vendor/image.tar" in capsys.readouterr().out


def test_without_an_engine_only_python_packages_are_collected_and_that_is_said(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vendor, "why_no_engine", lambda: EngineError("no engine"))
    collect([])
    assert not any(command[0] == "docker" for command in commands)
    assert "without the base image and the Debian packages: no engine" in capsys.readouterr().out


@pytest.mark.usefixtures("commands")
def test_a_machine_without_packages_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "this_machine", lambda: "linux-riscv64")
    with pytest.raises(StackError, match="no packages for linux-riscv64: expected some of linux-x86_64"):
        collect([])


def test_what_does_not_match_its_hash_leaves_vendor_as_it_was(
    commands: list[list[str]],  # noqa: ARG001 - runs none of them
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fail(command: list[str], _: object = None) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "THESE PACKAGES DO NOT MATCH THE HASHES\n")

    monkeypatch.setattr(vendor, "run", fail)
    monkeypatch.setattr(vendor, "why_no_engine", lambda: EngineError("no engine"))
    (tmp_path / "wheels").mkdir()
    with pytest.raises(StackError) as raised:
        collect(["linux-x86_64"])
    said = str(raised.value)
    assert said.startswith("the Python packages can't be fetched:\n    THESE PACKAGES DO NOT MATCH")
    assert "vendor/ is unchanged" in said
    assert [path.name for path in tmp_path.iterdir()] == ["wheels"]


def shell(script: str, directory: Path, **settings: str) -> str:
    """Run a piece of shell with no setting of this machine's."""
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PACKAGE_INDEX=https://me:se#cret@index.test/simple", "https://me:se#cret@index.test/simple"),
        ("export PACKAGE_INDEX='https://index.test' # ours", "https://index.test"),
        ('PACKAGE_INDEX = "https://index.test"', "https://index.test"),
        ("# PACKAGE_INDEX=https://index.test", ""),
        ("NOT_PACKAGE_INDEX=https://index.test", ""),
    ],
)
def test_settings_are_read_from_dot_env_before_there_is_a_python(
    tmp_path: Path, line: str, value: str
) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    (tmp_path / "scripts").mkdir()
    shutil.copy(CHECKOUT / "scripts" / "lib.sh", tmp_path / "scripts")
    ask = ". scripts/lib.sh; setting PACKAGE_INDEX"
    assert shell(ask, tmp_path).strip() == value
    assert shell(ask, tmp_path, PACKAGE_INDEX="mine").strip() == "mine"


def test_the_stacks_own_addresses_are_never_behind_a_proxy(tmp_path: Path) -> None:
    ask = f". {CHECKOUT}/scripts/lib.sh; echo $NO_PROXY $no_proxy"
    assert shell(ask, tmp_path, NO_PROXY="intranet").split() == ["localhost,127.0.0.1,intranet"] * 2


def test_pip_installs_into_venv_whatever_the_users_settings_say(tmp_path: Path) -> None:
    ask = f". {CHECKOUT}/scripts/lib.sh; env | grep ^PIP_"
    given = {"PIP_TARGET": "/t", "PIP_PREFIX": "/p", "PIP_ROOT": "/r", "PIP_USER": "1", "PIP_TIMEOUT": "9"}
    assert sorted(shell(ask, tmp_path, **given).split()) == ["PIP_TIMEOUT=9", "PIP_USER=0"]


SHOW = (
    f". {CHECKOUT}/lock/sources.sh; use_sources vendor;"
    " echo $packages_from; echo ${PIP_INDEX_URL-}; echo ${UV_DEFAULT_INDEX-}; echo ${https_proxy-}"
)


def test_vendor_goes_before_the_index(tmp_path: Path) -> None:
    own = {"PACKAGE_INDEX": "https://index.test", "HTTPS_PROXY": "http://proxy.test"}
    index, proxy = own.values()
    assert shell(SHOW, tmp_path).split() == []
    assert shell(SHOW, tmp_path, **own).split() == [index, index, proxy]
    (tmp_path / "vendor" / "wheels").mkdir(parents=True)
    assert shell(SHOW, tmp_path, **own).split() == ["--no-index", "--find-links", "vendor/wheels", proxy]


def test_a_file_of_certificates_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"can't read CA_CERTIFICATES, /none.pem; set it to a PEM file"):
        shell(SHOW, tmp_path, CA_CERTIFICATES="/none.pem")


def with_apt(tmp_path: Path, script: str, *, status: int = 0) -> str:
    """Run a piece of lock/sources.sh with an apt-get that writes down its arguments."""
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit {status}\n')
    apt.chmod(0o755)
    sources = (CHECKOUT / "lock" / "sources.sh").read_text().replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    sources = sources.replace("/vendor/", f"{tmp_path}/vendor/")
    shell(f"{sources}\n{script}", tmp_path, PATH=f"{apt.parent}:{os.environ['PATH']}")
    return (tmp_path / "asked").read_text()


@pytest.mark.parametrize("given", ["-o A::B=c", "$(false) ;", "a|b"])
def test_what_is_given_as_a_debian_package_is_never_an_option_or_a_command(
    tmp_path: Path, given: str
) -> None:
    asked = with_apt(tmp_path, f"names='{given}'; install_debian base nginx=1 $names")
    assert asked == f"update\ninstall -y --no-install-recommends -- nginx=1 {given}\n"


def test_a_debian_package_that_vendor_lacks_is_told_with_what_to_do(tmp_path: Path) -> None:
    debs = tmp_path / "vendor" / "debs" / "base"
    debs.mkdir(parents=True)
    (debs / "SHA256SUMS").write_text(f"{hashlib.sha256(b'').hexdigest()}  a.deb\n")
    (debs / "a.deb").touch()
    with pytest.raises(AssertionError, match="DEBIAN_PACKAGES or the Dockerfile has changed, run"):
        with_apt(tmp_path, "install_debian base nginx=1 libpq5", status=100)
    assert f"-- nginx=1 libpq5 {debs}/a.deb" in (tmp_path / "asked").read_text()


def test_debian_comes_from_the_mirror(tmp_path: Path) -> None:
    (tmp_path / "etc" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "etc" / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://debian.test/debian\nSuites: trixie\n"
    )
    script = (CHECKOUT / "lock" / "sources.sh").read_text().replace("/tmp/", f"{tmp_path}/")  # noqa: S108
    shell(
        f"{script}\nuse_mirror {tmp_path}/etc",
        tmp_path,
        DEBIAN_MIRROR="https://mirror.test/remote/",
        CA_CERTIFICATES="/ca.pem",
    )
    written = (tmp_path / "sources" / "debian.sources").read_text()
    assert "URIs: https://mirror.test/remote/debian\n" in written
    configured = (tmp_path / "apt.conf").read_text()
    assert 'Acquire::https::CaInfo "/ca.pem";' in configured
    assert f'Dir::Etc::sourceparts "{tmp_path}/sources";' in configured

"""What is exported, of what Compose, the registry and the engine say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.export import command, version
from stack.export.command import check_served, export_kubernetes
from stack.export.service import Service, read_service
from stack.export.values import Wanted
from stack.export.version import Reference, check_passed, reference_in_cluster
from stack.modes.engine import Image
from stack.modes.mode import Served
from stack.modes.native import Native
from tests.unit.exported import VERSION, files_of
from tests.unit.test_docker import an_image

CONFIG = load_config({}, Path("/nonexistent/.env"))
OWN = "pyfunc-stack/iris:3"
BAKED = replace(an_image("sha256:one"), digests=["localhost:5000/team/iris@sha256:" + "a" * 64])


def read(**changes: Any) -> Service:  # noqa: ANN401
    return read_service(files_of(**changes))


def test_the_container_of_serving_is_read() -> None:
    assert read() == Service(
        command=("python", "-m", "model_server"),
        arguments=(),
        settings={"SERVER_WORKERS": "2"},
        environment={
            "IMAGE_ID": "sha256:one",
            "MODEL_NAME": "iris",
            "MODEL_VERSION": "3",
            "PYTHONPATH": "/opt/pyfunc-stack",
            "SERVER_HOST": "0.0.0.0",  # noqa: S104
            "SERVER_PORT": "8080",
            "__pyfunc_model_path__": "/opt/ml/model",
        },
        private=(),
        user=10001,
        group=10001,
        is_read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108
        grace=15,
        memory=None,
        cpus=None,
        is_closed=True,
        left_out=(),
    )


def test_what_the_users_own_compose_files_set_counts() -> None:
    found = read(
        command=["--flag", "$$HOME"],
        environment={"API_KEY": "secret", "SERVER_WORKERS": "3", "EMPTY": "", "UNSET": None},
        user="20000",
        tmpfs=["/tmp:size=64m,mode=1777", "/var/run:size=1024"],  # noqa: S108
        stop_grace_period="1m30.5s",
        mem_limit="536870912",
        cpus=1.5,
        volumes=[{"type": "bind", "source": "/data", "target": "/data"}],
        security_opt=["no-new-privileges:true", "seccomp:unconfined"],
    )
    assert found.arguments == ("--flag", "$HOME")
    assert found.private == ("API_KEY", "EMPTY")
    assert found.settings == {"SERVER_WORKERS": "3"}
    assert (found.user, found.group) == (20000, None)
    assert found.tmpfs == {"/tmp": "64Mi", "/var/run": "1024"}  # noqa: S108
    assert (found.grace, found.memory, found.cpus) == (91, 536870912, 1.5)
    assert found.left_out == ("volumes", "security_opt")


def test_a_network_of_the_users_own_opens_nothing_and_is_left_out() -> None:
    found = read(networks={"serving-closed": None, "other": None})
    assert (found.is_closed, found.left_out) == (True, ("networks.other",))
    assert not read(networks={"serving-open": None}).is_closed


@pytest.mark.parametrize(
    ("options", "size", "left_out"),
    [
        ("size=1T", "1Ti", ()),
        ("mode=1777,size=64k", "64Ki", ()),
        ("size=50%", "", ("tmpfs /tmp:size=50%",)),
        ("size=12kb,noexec", "", ("tmpfs /tmp:size=12kb,noexec",)),
        ("noexec", "", ()),
    ],
)
def test_a_size_of_a_tmpfs_is_read_as_linux_does_or_left_out(
    options: str, size: str, left_out: tuple[str, ...]
) -> None:
    found = read(tmpfs=[f"/tmp:{options}"])  # noqa: S108
    assert (found.tmpfs, found.left_out) == ({"/tmp": size}, left_out)  # noqa: S108


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SERVER_PORT": "http"}, "SERVER_PORT of serving: expected a number"),
        ({"SERVER_PORT": "99999"}, "SERVER_PORT of serving: expected a number"),
        ({"SERVER_ALLOWED_HOSTS": "a\nSERVER_STRICT=false"}, "SERVER_ALLOWED_HOSTS holds a line break"),
        ({"SERVER_ALLOWED_HOSTS": "a\x7f"}, "SERVER_ALLOWED_HOSTS holds a line break"),
    ],
)
def test_a_setting_that_no_file_can_hold_is_refused(environment: dict[str, str | None], says: str) -> None:
    with pytest.raises(StackError, match=says):
        read(environment=environment)


def test_what_the_stack_sets_by_itself_may_be_unset() -> None:
    found = read(environment={"SERVER_PORT": "", "PYTHONPATH": None})
    assert found.port == 8080
    assert "PYTHONPATH" not in found.environment


def test_the_group_of_root_is_exported_as_compose_has_it() -> None:
    found = read(user="10001:0")
    assert (found.user, found.group) == (10001, 0)


def test_limits_may_stand_where_swarm_has_them_and_a_reserved_device_is_left_out() -> None:
    resources = {"limits": {"memory": "1073741824", "cpus": 2}, "reservations": {"devices": [{}]}}
    found = read(deploy={"resources": resources})
    assert (found.memory, found.cpus, found.left_out) == (1073741824, 2.0, ("deploy.resources.reservations",))


@pytest.mark.parametrize("user", ["", "root", "0", "0:0", "mlops:10001", "10001:staff"])
def test_nothing_that_may_be_root_is_exported(user: str) -> None:
    with pytest.raises(StackError, match="expected numbers of a user other than root"):
        read(user=user)


PASSED = {"image_id": "sha256:one", "replay": "passed: 30 answers equal"}


@pytest.mark.parametrize("replay", [PASSED["replay"], "unchecked: 2 wrong requests refused"])
def test_a_version_whose_very_image_has_passed_is_exported(replay: str) -> None:
    assert check_passed("iris", "3", PASSED | {"replay": replay}, "sha256:one") == "sha256:one"


@pytest.mark.parametrize(
    ("changes", "image_id", "says"),
    [
        ({}, "", "./scripts/promote 3"),  # not there, or on another base
        ({}, "sha256:other", "./scripts/promote 3"),
        ({"image_id": "sha256:other"}, "sha256:one", "./scripts/promote 3"),
        ({"replay": ""}, "sha256:one", "./scripts/promote 3"),
        ({"replay": "failed: its answer differs: 4.2"}, "sha256:one", "it has failed the replay"),
    ],
)
def test_any_other_version_is_refused(changes: dict[str, str], image_id: str, says: str) -> None:
    with pytest.raises(StackError, match=says) as refused:
        check_passed("iris", "3", PASSED | changes, image_id)
    assert "4.2" not in str(refused.value)


DIGEST = "sha256:" + "a" * 64
BY_ID = "registry.example.com/team/iris:3-one"
PINNED = f"localhost:5000/team/iris@{DIGEST}"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        # A version may be baked again, so its number alone could name another image.
        ("registry.example.com/team/iris", Reference(BY_ID, BY_ID)),
        ("[::1]:5000/a--b", Reference("[::1]:5000/a--b:3-one", "[::1]:5000/a--b:3-one")),
        ("me/iris:blue", Reference("me/iris:blue", "me/iris:blue", may_change=True)),
        ("localhost:5000/team/iris", Reference(PINNED, "localhost:5000/team/iris:3-one")),
        ("localhost:5000/team/iris:blue", Reference(PINNED, "localhost:5000/team/iris:blue")),
        (PINNED, Reference(PINNED, "localhost:5000/team/iris:3-one")),
        (None, Reference(OWN)),
    ],
)
def test_the_image_is_named_so_that_another_can_not_take_its_place(
    reference: str | None, found: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: None)
    assert reference_in_cluster(reference, "3", BAKED, OWN) == found


def test_the_tag_holds_a_part_of_the_images_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: None)
    found = reference_in_cluster("me/iris", "3", an_image("sha256:" + "0123456789abcdef" * 4), OWN)
    assert found.name == "me/iris:3-0123456789ab"


def test_dockers_own_hub_has_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: None)
    pushed = replace(BAKED, digests=[f"me/iris@{DIGEST}"])
    assert reference_in_cluster("docker.io/me/iris:3", "3", pushed, OWN).name == f"docker.io/me/iris@{DIGEST}"


@pytest.mark.parametrize(
    "reference",
    [
        *("", "Iris", "two words", "https://a/b", "iris:", "iris@sha256:1", "a//b", "$(x)", "-rm"),
        *("a..b", "a..b/c", "me/a..b", "me/a___b", "a-/b:1", "iris:\u0665"),
    ],
)
def test_what_names_no_image_is_refused(reference: str) -> None:
    with pytest.raises(StackError, match="--image names no image"):
        reference_in_cluster(reference, "3", BAKED, OWN)


def test_another_image_of_that_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: an_image("sha256:other"))
    with pytest.raises(StackError, match=f"docker tag {OWN} me/iris:3"):
        reference_in_cluster("me/iris", "3", BAKED, OWN)
    with pytest.raises(StackError, match="is not known to be the image that has passed"):
        reference_in_cluster("me/iris@sha256:" + "b" * 64, "3", BAKED, OWN)


def test_an_image_that_has_been_replaced_meanwhile_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(_name: str) -> Image:
        return an_image("sha256:other")

    class FakeRegistry:
        model_name = "iris"

        def version(self, number: str) -> Any:  # noqa: ANN401
            return type("Found", (), {"version": number, "tags": PASSED, "run_id": None})

    class FakeDocker:
        config = CONFIG

        def image_id(self, _version: str) -> str:
            return "sha256:one"

    monkeypatch.setattr(version, "find_image", found)
    with pytest.raises(StackError, match="replaced or removed meanwhile"):
        version.checked_version(FakeRegistry(), FakeDocker(), "3", None)  # type: ignore[arg-type]


def test_a_stack_without_docker_has_nothing_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "choose_mode", Native)
    with pytest.raises(StackError, match=r"without Docker .*\./scripts/up --docker"):
        export_kubernetes(CONFIG, None, tmp_path / "kubernetes", None, Wanted())


@dataclass(frozen=True)
class Serves:
    """A mode that serves a version, with today's settings or others, in such a container."""

    it: Served | None
    is_todays: bool = True
    workers: str = "2"
    memory: int = 0
    nano_cpus: int = 0

    def served(self) -> Served | None:
        return self.it

    def is_current(self) -> bool:
        return self.is_todays

    def container_served(self) -> dict[str, Any]:
        return {
            "Config": {"Env": ["A=b=c", "SERVER_STRICT=", f"SERVER_WORKERS={self.workers}"]},
            "HostConfig": {"Memory": self.memory, "NanoCpus": self.nano_cpus},
        }


SERVED = Served("iris", "3", "sha256:one", is_healthy=True)
WITHIN: dict[str, Any] = {"mem_limit": "536870912", "cpus": 1.5}


@pytest.mark.parametrize(
    ("mode", "limits", "was_tried"),
    [
        (Serves(SERVED), {}, True),
        (Serves(SERVED, memory=536870912, nano_cpus=1500000000), WITHIN, True),
        (Serves(SERVED, memory=536870912), WITHIN, False),
        (Serves(SERVED, nano_cpus=1500000000), WITHIN, False),
        (Serves(SERVED, workers="many"), {}, False),
        (Serves(replace(SERVED, version="2")), {}, False),
        (Serves(replace(SERVED, model_name="other")), {}, False),
        (Serves(None), {}, False),
    ],
    ids=["so", "within limits", "other CPUs", "other memory", "settings", "version", "model", "nothing"],
)
def test_whether_a_server_has_run_as_it_is_exported_is_known(
    mode: Serves, limits: dict[str, Any], was_tried: bool
) -> None:
    assert check_served(mode, VERSION, read(**limits)) is was_tried  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "mode",
    [
        Serves(SERVED, is_todays=False),
        Serves(replace(SERVED, is_healthy=False)),
        Serves(replace(SERVED, image_id="sha256:other")),
    ],
    ids=["other settings", "no answer", "another image"],
)
def test_settings_that_the_served_version_does_not_have_are_not_exported(mode: Serves) -> None:
    with pytest.raises(StackError, match=r"run \./scripts/deploy first"):
        check_served(mode, VERSION, read())  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["", "three", "1\n", "\u0663"])
def test_what_is_no_number_of_a_version_is_refused(number: str) -> None:
    class FakeRegistry:
        def aliases(self) -> dict[str, str]:
            return {"champion": "3"}

    with pytest.raises(StackError, match="expected its number"):
        version.checked_version(FakeRegistry(), None, number, None)  # type: ignore[arg-type]

"""What is exported, of what Compose, the registry and the engine say; and how it is written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import load_config
from stack.errors import StackError
from stack.export import command, version
from stack.export.command import check_is_free, export_kubernetes, write_whole
from stack.export.service import Service, read_service
from stack.export.values import Wanted
from stack.export.version import check_passed, reference_in_cluster
from stack.modes.engine import Image
from stack.modes.native import Native
from tests.unit.exported import files_of
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
        environment={"API_KEY": "secret", "SERVER_WORKERS": "3", "EMPTY": None},
        user="20000",
        tmpfs=["/tmp:size=64m,mode=1777", "/var/run:size=1024"],  # noqa: S108
        stop_grace_period="1m30.5s",
        mem_limit="536870912",
        cpus=1.5,
        networks={"serving-closed": None, "other": None},
        volumes=[{"type": "bind", "source": "/data", "target": "/data"}],
        security_opt=["no-new-privileges:true", "seccomp:unconfined"],
    )
    assert found.arguments == ("--flag", "$HOME")
    assert found.private == ("API_KEY", "EMPTY")
    assert found.settings == {"SERVER_WORKERS": "3"}
    assert (found.user, found.group) == (20000, None)
    assert found.tmpfs == {"/tmp": "64Mi", "/var/run": "1024"}  # noqa: S108
    assert (found.grace, found.memory, found.cpus) == (91, 536870912, 1.5)
    assert not found.is_closed
    assert found.left_out == ("volumes", "security_opt")


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


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("registry.example.com/team/iris", "registry.example.com/team/iris:3"),
        ("registry.example.com/team/iris:blue", "registry.example.com/team/iris:blue"),
        ("me/iris", "me/iris:3"),
        ("localhost:5000/team/iris", f"localhost:5000/team/iris@{DIGEST}"),
        ("localhost:5000/team/iris:blue", f"localhost:5000/team/iris@{DIGEST}"),
        (f"localhost:5000/team/iris@{DIGEST}", f"localhost:5000/team/iris@{DIGEST}"),
    ],
)
def test_the_image_is_named_by_its_digest_where_it_was_pushed(
    reference: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: None)
    assert reference_in_cluster(reference, "3", BAKED, OWN) == found


def test_dockers_own_hub_has_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "find_image", lambda _: None)
    pushed = replace(BAKED, digests=[f"me/iris@{DIGEST}"])
    assert reference_in_cluster("docker.io/me/iris:3", "3", pushed, OWN) == f"docker.io/me/iris@{DIGEST}"


@pytest.mark.parametrize(
    "reference", ["", "Iris", "two words", "https://a/b", "iris:", "iris@sha256:1", "a//b", "$(x)", "-rm"]
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


def test_a_directory_that_holds_anything_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file, full, link = tmp_path / "file", tmp_path / "full", tmp_path / "link"
    file.touch()
    full.mkdir()
    (full / "mine").write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    link.with_name("elsewhere").mkdir()
    for each in (file, full, link):
        with pytest.raises(StackError, match="--output"):
            check_is_free(each)
        with pytest.raises(StackError, match="--output"):
            write_whole(each, {"a": ""})
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "file", "full", "link"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_new_directory_has_all_files_as_others_can_read_them(is_there: bool, tmp_path: Path) -> None:
    target = tmp_path / "new" / "kubernetes"
    if is_there:
        target.mkdir(parents=True)
    usual = tmp_path / "usual"
    usual.mkdir()
    write_whole(target, {"a": "1", "b": "2"})
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "1", "b": "2"}
    assert target.stat().st_mode == usual.stat().st_mode
    assert [path.name for path in target.parent.iterdir()] == ["kubernetes"]


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"can't write .*--output"):
        write_whole(tmp_path / "kubernetes", {"a": "1", "no/such/directory": "2"})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"can't write .*--output"):
        write_whole(tmp_path / "file" / "kubernetes", {"a": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

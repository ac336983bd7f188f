"""How the files of an export are written, also over those of an earlier one, and what a kill leaves."""

from pathlib import Path

import pytest

from stack.errors import StackError
from stack.export.directory import check_is_free, write_whole
from tests.manifests import kustomized

OURS = "# Version 3 of iris, as ./scripts/export kubernetes wrote it.\n"
FIRST = {"deployment.yaml": "1", "kustomization.yaml": f"{OURS}1", "service.yaml": "1"}
SECOND = {"inference-service.yaml": "2", "kustomization.yaml": f"{OURS}2", "service.yaml": "2"}


def texts(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_a_directory_that_holds_anything_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file, full, mixed = tmp_path / "file", tmp_path / "full", tmp_path / "mixed"
    file.touch()
    full.mkdir()
    (full / "service.yaml").write_text("mine")
    write_whole(mixed, FIRST)
    (mixed / "mine").write_text("mine")
    for each in (file, full, mixed):
        with pytest.raises(StackError, match="--output"):
            check_is_free(each)
        with pytest.raises(StackError, match="--output"):
            write_whole(each, SECOND)
    assert texts(full) == {"service.yaml": "mine"}
    assert texts(mixed) == FIRST | {"mine": "mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "mixed"]


def test_a_new_directory_has_all_files_as_others_can_read_them(tmp_path: Path) -> None:
    target, usual = tmp_path / "new" / "kubernetes", tmp_path / "usual"
    usual.mkdir()
    write_whole(target, FIRST)
    assert texts(target) == FIRST
    assert target.stat().st_mode == usual.stat().st_mode
    assert [path.name for path in target.parent.iterdir()] == ["kubernetes"]


@pytest.mark.parametrize("before", [{}, FIRST], ids=["empty", "of an export"])
def test_a_directory_that_is_there_stays_the_same_one(before: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "kubernetes"
    target.mkdir(mode=0o750)
    for name, text in before.items():
        (target / name).write_text(text)
    was = target.stat()
    write_whole(target, SECOND)
    assert texts(target) == SECOND
    assert (target.stat().st_ino, target.stat().st_mode) == (was.st_ino, was.st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["kubernetes"]


@pytest.mark.parametrize("last", sorted(SECOND))
def test_what_a_kill_leaves_of_a_replacement_is_refused_by_kubectl_and_can_be_replaced(
    last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kubernetes"
    write_whole(target, FIRST)
    replace_file = Path.replace

    def killed(self: Path, to: Path) -> Path:
        if self.name == last and self.parent.name == "kubernetes":
            raise KeyboardInterrupt
        return replace_file(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            write_whole(target, SECOND)
    with pytest.raises(AssertionError, match="half-an-export"):
        kustomized(target)
    write_whole(target, SECOND)
    assert texts(target) == SECOND


def test_a_write_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    write_whole(tmp_path / "there", FIRST)
    for name in ("kubernetes", "there"):
        for text, file in (("1", "no/such/directory"), ("\ud800", "b")):
            with pytest.raises(StackError, match=r"can't write .*--output"):
                write_whole(tmp_path / name, {"a": "1", file: text})
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert texts(tmp_path / "there") == FIRST


@pytest.mark.parametrize("name", ["a\nb", "a\udcff"])
def test_a_directory_whose_name_can_not_be_shown_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="can't be shown"):
        check_is_free(tmp_path / name)


def test_a_directory_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"can't write .*--output"):
        write_whole(tmp_path / "file" / "kubernetes", {"a": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

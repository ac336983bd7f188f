"""Archives: how they are written, checked before anything is changed, and put into the stores."""

import hashlib
import io
import json
import os
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import artifacts
import contents
import pytest
import restore
from database import StoreError

from stack import backup
from stack.errors import StackError
from stack.modes.mode import Program


def archive(file: Path, contents: dict[str, bytes], **changed: Any) -> Path:  # noqa: ANN401
    """Write an archive as tracking/backup.py does."""
    files = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    manifest = {"format": 1, "created": "2026-11-30T09:00:00+00:00", "files": files, **changed}
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {**contents, "manifest.json": json.dumps(manifest).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


WHOLE = {"mlflow.db": b"rows" * 5000, "artifacts/1/m/model ü.pkl": b"\0\1" * 9000, "stack.json": b"{}"}


def opened(file: Path) -> dict[str, Any]:
    with backup._opened(file) as (given, manifest):
        assert given.tell() == 0
        return manifest


def test_an_archive_that_is_whole_is_taken(tmp_path: Path) -> None:
    assert opened(archive(tmp_path / "a.tar", WHOLE))["created"] == "2026-11-30T09:00:00+00:00"


def test_an_archive_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar", WHOLE).read_bytes()
    end = whole.rindex(b"manifest.json")  # what comes after the manifest is padding
    for length in [*range(1, end, 1009), end]:
        file = tmp_path / "cut.tar"
        file.write_bytes(whole[:length])
        with pytest.raises(StackError, match=r"is damaged, and nothing was changed|is no archive of"):
            opened(file)


def test_an_archive_in_which_a_byte_was_changed_is_refused(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.tar", WHOLE)
    whole = file.read_bytes()
    for content in WHOLE.values():
        place = whole.index(content)
        file.write_bytes(whole[:place] + b"X" + whole[place + 1 :])
        with pytest.raises(StackError, match=r"a\.tar is damaged, and nothing was changed; take another"):
            opened(file)


@pytest.mark.parametrize(
    ("contents", "changed", "message"),
    [
        ({**WHOLE, "artifacts/new": b""}, {"files": {}}, "artifacts/1/m/model ü.pkl is not as it was"),
        (WHOLE, {"format": 2}, "was made by a newer pyfunc-stack; restore it by that"),
        (WHOLE, {"files": {"artifacts/gone": {"size": 0, "sha256": ""}}}, "artifacts/1/m/model"),
    ],
)
def test_what_is_not_as_the_manifest_says_is_refused(
    tmp_path: Path, contents: dict[str, bytes], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(StackError, match=message):
        opened(archive(tmp_path / "a.tar", contents, **changed))


def test_a_tar_file_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(__file__, "test.py")
    with pytest.raises(StackError, match="it has no manifest"):
        opened(tmp_path / "a.tar")


@pytest.mark.parametrize("content", [b"", b"no archive at all", bytes(range(256)) * 80], ids=len)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(StackError, match=r"a\.txt is no archive of ./scripts/backup; name one"):
        opened(tmp_path / "a.txt")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StackError, match=r"can't read .*/no\.tar: No such file or directory; name an archive"
    ):
        opened(tmp_path / "no.tar")
    with pytest.raises(StackError, match="Is a directory"):
        opened(tmp_path)


def test_a_database_that_a_migration_has_kept_is_taken_as_an_archive_without_artifacts(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mlflow.db.old-2026-11-30-abc"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with backup._opened(file) as (given, manifest), tarfile.open(fileobj=given) as tar:
        assert tar.getnames() == ["mlflow.db", "manifest.json"]
        copied = tar.extractfile("mlflow.db")
        assert copied
        assert copied.read() == file.read_bytes()
        assert manifest["created"].startswith("20")


def test_a_backup_never_replaces_a_file_and_leaves_none_when_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "a.tar"

    def write_half() -> None:
        with backup._placed(file) as output:
            output.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with backup._placed(file) as output:
        output.write(b"whole")
        assert not file.exists()
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StackError, match="is there already; name another file"), backup._placed(file):
        pass
    assert file.read_bytes() == b"whole"
    there_is_no = r"can't write .*: No such file or directory; name another file"
    with pytest.raises(StackError, match=there_is_no), backup._placed(tmp_path / "no" / "a.tar"):
        pass


def told_by(program: str, tmp_path: Path) -> dict[str, Any]:
    with (tmp_path / "out").open("wb") as output:
        return backup._run(Program([sys.executable, "-c", program], dict(os.environ)), output, {"a": "b"})


def test_what_a_program_tells_last_is_its_result(tmp_path: Path) -> None:
    tells = "import sys; given = input(); print('archive'); print('warning\\n' + given, file=sys.stderr)"
    assert told_by(tells, tmp_path) == {"a": "b"}
    assert (tmp_path / "out").read_text() == "archive\n"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            'import sys; sys.exit(\'{"error": "the database is away; start it"}\')',
            "^the database is away; start it$",
        ),
        ("import sys; sys.exit('KeyError: x')", "^KeyError: x$"),
        ("import os; os._exit(0)", "ended without a word; run this again"),
        (
            "import sys; sys.exit(\"python: can't open file '/x'\")",
            "older than this checkout; run ./scripts/up",
        ),
    ],
)
def test_what_a_program_fails_by_is_told(tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(StackError, match=message):
        told_by(program, tmp_path)


def test_no_secret_setting_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = tmp_path / ".env"
    env.write_text(
        "MODEL_NAME=mine\nBACKEND_STORE_URI=postgresql://u:secret@h/d\nAWS_SECRET_ACCESS_KEY=secret\n"
        "MLFLOW_TRACKING_PASSWORD=secret\nMLFLOW_TRACKING_URI=https://u:secret@h\nPACKAGE_INDEX=https://u:secret@h\n"
        "HTTP_PROXY=http://u:secret@h\nARTIFACTS_DESTINATION=s3://b\nSERVER_WORKERS=2\nOTHER=secret\n"
    )
    monkeypatch.setattr(backup, "ENV_FILE", env)
    assert backup._settings() == {"MODEL_NAME": "mine", "SERVER_WORKERS": "2"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_an_artifact_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    file = archive(tmp_path / "a.tar", {f"artifacts/{name}": b"x"})
    with file.open("rb") as given, pytest.raises(StoreError, match="it has an artifact"):
        restore._take_apart(given, tmp_path / "mlflow.db", artifacts.Directory(str(tmp_path / "artifacts")))


def test_artifacts_in_a_directory_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = artifacts.at(str(tmp_path / "not yet there"), "")
    assert list(kept.files()) == []
    written = {"1/r/artifacts/model ü.pkl": b"\0\1" * 9000, "2/empty": b""}
    for name, content in written.items():
        kept.write(name, io.BytesIO(content))
    found = {}
    for file in kept.files():
        with kept.read(file.name) as opened:
            assert opened
            found[file.name] = opened[0].read()
            assert opened[1] == file.size == len(found[file.name])
    assert found == written
    with kept.read("3/gone") as gone:
        assert gone is None


def database(file: Path, statements: str) -> Path:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(statements)
    return file


def test_runs_that_were_at_work_end_as_killed(tmp_path: Path) -> None:
    file = database(
        tmp_path / "mlflow.db",
        """
        CREATE TABLE runs (run_uuid, status, start_time INTEGER, end_time INTEGER);
        INSERT INTO runs VALUES
            ('a', 'RUNNING', 5, NULL), ('b', 'FINISHED', 5, 7),
            ('c', 'SCHEDULED', NULL, NULL), ('d', 'RUNNING', 50, NULL);
        """,
    )
    assert contents.end_runs(file, 20) == 3
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT * FROM runs ORDER BY 1").fetchall() == [
            ("a", "KILLED", 5, 20),
            ("b", "FINISHED", 5, 7),
            ("c", "KILLED", None, 20),
            ("d", "KILLED", 50, 50),
        ]


def test_artifacts_that_somebody_put_elsewhere_are_named(tmp_path: Path) -> None:
    file = database(
        tmp_path / "mlflow.db",
        """
        CREATE TABLE runs (artifact_uri);
        INSERT INTO runs VALUES ('mlflow-artifacts:/1/a'), ('s3://other/1/b'), (NULL), ('runs:/a/m');
        CREATE TABLE model_versions (storage_location);
        INSERT INTO model_versions VALUES ('file:///home/me/m');
        """,
    )
    assert contents.artifacts_elsewhere(file) == ["file:///home/me/m", "s3://other/1/b"]

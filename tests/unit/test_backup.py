"""Archives: how they are written, checked before anything is changed, and put into the stores."""

import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import artifacts
import backup as tracking_backup
import contents
import mlflow_internals
import pytest
import restore
import stores
from database import StoreError

from stack import backup
from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.mode import Program
from stack.wait import wait_until


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


@pytest.mark.parametrize(
    ("name", "message"),
    [("mlflow.db", "it has no manifest"), ("test.py", "is no archive"), ("manifest.json", "is no archive")],
)
def test_a_tar_file_of_something_else_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text('["as docker save writes it"]')
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "file", name)
    with pytest.raises(StackError, match=message):
        opened(tmp_path / "a.tar")


def test_an_archive_that_was_cut_off_in_the_database_is_damaged(tmp_path: Path) -> None:
    file = archive(tmp_path / "a.tar", WHOLE)
    file.write_bytes(file.read_bytes()[:9000])
    with pytest.raises(StackError, match="is damaged, and nothing was changed"):
        opened(file)


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
        given = io.BytesIO(b'{"a": "b"}\n')
        return backup._run(Program([sys.executable, "-c", program], dict(os.environ)), output, given)


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


def test_an_artifact_that_is_there_stays_whole_until_another_is(tmp_path: Path) -> None:
    kept = artifacts.at(str(tmp_path), "")
    kept.write("1/model", io.BytesIO(b"old"))

    class Ends(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert (tmp_path / "1/model").read_bytes() == b"old"
            return super().read(size)

    kept.write("1/model", Ends(b"new"))
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["model"]
    assert (tmp_path / "1/model").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "reason"), [("a\udcff", "is no text in UTF-8"), ("d/" * 500 + "f" * 40, "is too long")]
)
def test_an_artifact_that_s3_does_not_take_is_named(name: str, reason: str) -> None:
    bucket = artifacts.at("s3://b/prefix", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=f"S3 can't hold the artifact .*: its name {reason}; rename it"):
        bucket.write(name, io.BytesIO(b"x"))


def stores_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> stores.Stores:
    monkeypatch.setenv("STORE_DIRECTORY", str(directory))
    return stores.Stores(f"sqlite:///{directory / 'mlflow.db'}", str(directory / "artifacts"), home=directory)


def test_an_upload_that_is_at_work_is_not_in_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact import local_artifact_repo

    used = stores_in(tmp_path, monkeypatch)
    used.prepare(restore._upgrade)
    run = tmp_path / "artifacts/1/run/artifacts"
    run.mkdir(parents=True)
    (run / "whole").write_text("x")
    (run / f"{local_artifact_repo._TEMP_ARTIFACT_PREFIX}abc").write_text("half")
    file = tmp_path / "a.tar"
    with file.open("wb") as output:
        told = tracking_backup.write(used, {}, output)
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["mlflow.db", "artifacts/1/run/artifacts/whole", "manifest.json"]
    assert told["figures"]["artifact"] == 1


def test_an_older_database_with_data_is_not_even_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = Path(__file__).parents[1] / "data" / "mlflow-3.10.sql"
    before = database(tmp_path / "mlflow.db", dump.read_text()).read_bytes()
    given = archive(tmp_path / "a.tar", WHOLE)
    with given.open("rb") as content:
        found = restore.restore(stores_in(tmp_path, monkeypatch), content)
    assert found == {"has_data": True}
    assert (tmp_path / "mlflow.db").read_bytes() == before
    assert not list(tmp_path.glob("*.old-*"))


def test_nothing_is_replaced_if_somebody_logs_after_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, given = stores_in(tmp_path, monkeypatch), tmp_path / "a.tar"
    used.prepare(mlflow_internals.upgrade_database)
    with given.open("wb") as output:
        rows = tracking_backup.write(used, {}, output)["rows"]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("INSERT INTO experiments (experiment_id, name) VALUES (1, 'new')")
    with given.open("rb") as content, pytest.raises(StoreError, match="experiments had 0 rows, and has 1"):
        restore.restore(used, content, rows)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT name FROM experiments").fetchall() == [("new",)]
    with given.open("rb") as content:
        assert restore.restore(used, content, {**rows, "experiments": 1})["figures"]["experiment"] == 0


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_database_that_is_not_mlflows_or_damaged_is_told(tmp_path: Path, is_damaged: bool) -> None:
    given = database(tmp_path / "given.db", "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(9000));")
    if is_damaged:
        whole = given.read_bytes()
        given.write_bytes(whole[:200] + b"\xff" * 4000 + whole[4200:])
    environment = {
        **os.environ,
        "STORE_DIRECTORY": str(tmp_path),
        "BACKEND_STORE_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "ARTIFACTS_DESTINATION": str(tmp_path / "artifacts"),
    }
    program = Program([sys.executable, str(CHECKOUT / "tracking" / "restore.py")], environment)
    message = "the database to be restored is damaged, or not MLflow's .*; take another"
    with backup._opened(given) as (wrapped, _), pytest.raises(StackError, match=message):
        backup._restore(program, wrapped)


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
        INSERT INTO model_versions VALUES ('file:///home/me/m'), ('dummy-source'), ('prompt-template');
        """,
    )
    assert contents.artifacts_elsewhere(file) == ["file:///home/me/m", "s3://other/1/b"]


@pytest.mark.parametrize("way", ["backup", "restore"])
def test_a_program_ends_with_whoever_started_it_and_leaves_no_copy(way: str, tmp_path: Path) -> None:
    # A database in which somebody writes makes both wait, each with its copy already there.
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    used = stores.Stores(f"sqlite:///{home / 'mlflow.db'}", str(home / "artifacts"), home=home)
    used.prepare(restore._upgrade)
    environment = {
        **os.environ,
        "STORE_DIRECTORY": str(home),
        "BACKEND_STORE_URI": used.database,
        "ARTIFACTS_DESTINATION": used.artifacts,
        "TMPDIR": str(scratch),
    }
    given = archive(tmp_path / "a.tar", {"mlflow.db": (home / "mlflow.db").read_bytes()}).read_bytes()
    with (
        closing(sqlite3.connect(home / "mlflow.db", isolation_level=None)) as writer,
        subprocess.Popen(
            [sys.executable, str(CHECKOUT / "tracking" / f"{way}.py"), "--replace", "{}"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        assert process.stdin
        writer.execute("BEGIN EXCLUSIVE" if way == "backup" else "BEGIN IMMEDIATE")
        process.stdin.write(b"{}\n" if way == "backup" else given + bytes(2 * 1024 * 1024))
        process.stdin.flush()
        wait_until(lambda: None if any(scratch.glob("*/mlflow.db")) else "no copy yet", timeout=60)
        process.stdin.close()
        assert process.wait(timeout=120) == 1
    assert list(scratch.iterdir()) == []

"""./scripts/score, up to the scorer: what it fetches, how it starts it, and what it makes of its events."""

import fcntl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.config import CHECKOUT, load_config
from stack.errors import StackError
from stack.modes.docker import Docker, check_mounts, scoring_command, scoring_user
from stack.modes.mode import ScoredPaths, Scorer
from stack.score import Wish, _run, score, scratch

CONFIG = load_config({}, Path("/nonexistent/.env"))
MANIFEST = '{"manifest": {"rows": 3}}'


def test_a_scratch_directory_goes_at_the_end_and_with_the_next_run_if_it_was_killed(tmp_path: Path) -> None:
    with scratch(tmp_path) as killed:
        (killed / "model").mkdir()
        left = tmp_path / "left"
        (left / "model").mkdir(parents=True)
        (left / "lock").touch()
        (tmp_path / "left before its lock").mkdir()
        with scratch(tmp_path) as own:
            assert not left.exists()
            assert not (tmp_path / "left before its lock").exists()
            assert own.is_dir()
            assert (killed / "model").is_dir()  # it is in use
        assert not own.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_directory_that_is_in_use_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (tmp_path / "other" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with scratch(tmp_path):
            assert (tmp_path / "other").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("pattern", "read"),
    [
        ("in", "in"),
        ("in/a.csv", "in"),
        ("in/*.csv", "in"),
        ("in/*/b?.csv", "in"),
        ("no/*.csv", "no/.."),
        ("[odd]", "[odd]"),
        ("[odd]/a.csv", "[odd]"),
    ],
)
def test_the_directory_that_holds_all_of_the_input_is_known(tmp_path: Path, pattern: str, read: str) -> None:
    for name in ("in", "[odd]"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").touch()
    found = ScoredPaths(str(tmp_path / pattern), tmp_path / "out").read
    assert found == (tmp_path if read == "no/.." else tmp_path / read)


def test_a_container_that_scores_reaches_nothing_and_writes_only_beside_the_output(tmp_path: Path) -> None:
    data = tmp_path / "a,b"
    data.mkdir()
    config = replace(CONFIG, model_environment={"KEY": "secret"})
    paths = ScoredPaths(f"{data}/*.parquet", Path("/results/out"))
    command = scoring_command(config, "it-base", "7:8", Path("/model"), paths)
    assert {"--network=none", "--cap-drop=ALL", "--read-only", "--user=7:8", "--env=KEY"} <= set(command)
    assert [option for option in command if option.startswith("--mount")] == [
        f'--mount="type=bind","source={data}","target={data}","readonly"',
        '--mount="type=bind","source=/results","target=/results"',
        '--mount="type=bind","source=/model","target=/opt/ml/model","readonly"',
        f'--mount="type=bind","source={CHECKOUT}/serving","target=/opt/scorer","readonly"',
    ]
    assert command[command.index("it-base") :] == ["it-base", "-P", "-m", "scorer"]
    assert "secret" not in " ".join(command)


def test_a_directory_of_both_input_and_output_can_be_written(tmp_path: Path) -> None:
    command = scoring_command(
        CONFIG, "it", "0:0", Path("/m"), ScoredPaths(str(tmp_path), tmp_path / "out"), None
    )
    mounts = [option for option in command if f"source={tmp_path}" in option]
    assert mounts == [f'--mount="type=bind","source={tmp_path}","target={tmp_path}"']


def test_a_container_may_ask_others_only_if_the_settings_say_so() -> None:
    paths = ScoredPaths("/in", Path("/results/out"))
    command = scoring_command(replace(CONFIG, serving_network="open"), "it", "0:0", Path("/m"), paths)
    assert "--network=bridge" in command


def test_a_rootless_engine_calls_us_root() -> None:
    assert scoring_user('["name=seccomp,profile=builtin","name=rootless"]') == "0:0"
    assert scoring_user('["name=seccomp,profile=builtin"]') != "rootless"


def test_a_container_is_named_and_killed_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stack.modes.docker.run", lambda *_: subprocess.CompletedProcess([], 0, "[]", ""))
    scorer = Docker(CONFIG).scorer(tmp_path, None, ScoredPaths(str(tmp_path), tmp_path / "out"), None)
    [name] = [option for option in scorer.command if option.startswith("--name=")]
    assert scorer.command[:3] == ["docker", "run", name]
    assert scorer.kill == ["docker", "rm", "--force", name.removeprefix("--name=")]


@pytest.mark.parametrize(
    ("source", "output", "place"),
    [("/in.csv", "out", "/"), ("in.csv", "/opt/out", "/opt"), ("/usr/bin/x", "out", "/usr/bin")],
)
def test_a_place_that_the_image_has_is_refused(tmp_path: Path, source: str, output: str, place: str) -> None:
    with pytest.raises(StackError, match=f"a container has a {place} of its own; put INPUT and OUTPUT into"):
        check_mounts(ScoredPaths(str(tmp_path / source), tmp_path / output))


@pytest.mark.parametrize("given", ["in", "in/link.csv", "in/*.csv"])
def test_a_link_out_of_the_directory_of_the_input_is_named(tmp_path: Path, given: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").touch()
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "in" / "a.csv")
    (tmp_path / "same").symlink_to(tmp_path / "in")
    for inside in (tmp_path / given, tmp_path / "same"):
        check_mounts(ScoredPaths(str(inside), tmp_path / "out"))
    (tmp_path / "in" / "link.csv").unlink()
    (tmp_path / "other.csv").touch()
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "other.csv")
    with pytest.raises(
        StackError, match=r"in/link.csv is a link to a file outside of .*/in, which a container"
    ):
        check_mounts(ScoredPaths(str(tmp_path / given), tmp_path / "out"))


def test_a_directory_behind_a_link_is_mounted_where_its_files_are_linked_to(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "same").symlink_to(tmp_path / "in")
    paths = ScoredPaths(str(tmp_path / "same"), Path("/results/out"))
    command = scoring_command(CONFIG, "it", "0:0", Path("/m"), paths)
    mounted = [option for option in command if "readonly" in option and str(tmp_path) in option]
    assert [
        f"target={tmp_path / name}" in option for name, option in zip(("in", "same"), mounted, strict=True)
    ]


def ran(code: str, kill: list[str] | None = None) -> dict[str, Any]:
    return _run(Scorer([sys.executable, "-c", code], {}, "/model", kill or []), {"input": "x"})


def test_the_last_event_is_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    events = '{"rows": 3}\\n{"note": "slow"}\\n{"done": 3}\\n'
    code = f"import sys; assert 'input' in sys.stdin.readline(); print('{events}{MANIFEST}')"
    assert ran(code) == {"rows": 3}
    assert capsys.readouterr().err == "slow\n"
    with pytest.raises(StackError, match=r"^no room$"):
        ran('print(\'{"error": "no room"}\')')


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit(3)", "the scorer ended with status 3; there is no OUTPUT; run this again"),
        ("import os; os.kill(os.getpid(), 9)", "the scorer was killed by SIGKILL .*memory ran out"),
    ],
)
def test_a_scorer_that_dies_is_told(code: str, message: str) -> None:
    with pytest.raises(StackError, match=message):
        ran(code)


def test_a_scorer_that_does_not_end_is_killed_and_what_it_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stack.score._ENDED_WITHIN", 0)
    code = f"import os, time; print('{MANIFEST}', flush=True); os.close(1); time.sleep(600)"
    assert ran(code, ["touch", str(tmp_path / "killed")]) == {"rows": 3}
    assert (tmp_path / "killed").exists()


def test_the_output_is_looked_at_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="exists; choose another OUTPUT, or remove it"):
        score(Wish("/in", tmp_path), "native")
    with pytest.raises(StackError, match=r"there is no file /no/\*.csv; name a file, a directory or a glob"):
        score(Wish("/no/*.csv", tmp_path / "out"), "native")
    with pytest.raises(StackError, match=r"there is no directory .*/no; make it, or choose another OUTPUT"):
        score(Wish("/in", tmp_path / "no" / "out"), "native")

"""The scorer as a process: its workers, and what becomes of them when somebody is killed."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from scorer import caller
from scorer.__main__ import main
from scorer.job import Job, OnRows, Part, ScoringError
from scorer.pool import Pool

from stack.modes.processes import processes_with
from stack.wait import wait_until
from tests.unit.scorers import SUM, request, save_model, start_scorer, write

ROWS = 60
LIMIT = 120
# The workers of a job are known by a variable.
MARK = "SCORER_OF_TEST"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make six files with ten rows each; the model's code finds the directory by its variable."""
    for number in range(6):
        columns = {"a": [float(number * 10 + each) for each in range(10)]}
        write(tmp_path / "in" / f"{number}.parquet", columns)
    monkeypatch.setenv(MARK, str(tmp_path))
    return tmp_path


def job(directory: Path, body: str = SUM, more: str = "", **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
    code = f"directory = os.environ[{MARK!r}]\n{body}"
    model = save_model(directory / "model", code, more=more)
    return request(model, directory / "in", directory / "output", **{"workers": 2, **wanted})


def ended(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str]:
    """Return the events of a scorer that ends by itself, and what else it wrote."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    events = [json.loads(line) for line in process.stdout]
    log = process.stderr.read()
    process.stdin.close()
    process.wait(LIMIT)
    return events, log


def assert_scored(directory: Path, events: list[dict[str, Any]], log: str) -> None:
    assert "manifest" in events[-1], (events[-1], log)
    found = parquet.read_table(directory / "output")
    assert found["a"].to_pylist() == [float(each) for each in range(ROWS)]
    assert found["prediction"].to_pylist() == [2.0 * each for each in range(ROWS)]
    assert sum(event.get("done", 0) for event in events) == ROWS
    assert sorted(each.name for each in directory.iterdir() if "." in each.name) == []


def gone(directory: Path) -> None:
    """Wait until no process of the job is left."""
    wait_until(lambda: "alive" if processes_with(MARK, str(directory)) else None, timeout=LIMIT)


def test_all_rows_are_scored_once_and_in_order_and_only_events_go_to_stdout(directory: Path) -> None:
    events, log = ended(start_scorer(job(directory, f"print('I print')\n{SUM}")))
    assert_scored(directory, events, log)
    assert "I print" in log
    assert events[0] == {"rows": ROWS}


@pytest.mark.parametrize(
    "kept", ["threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "OPEN = open(__file__)"]
)
def test_a_model_that_can_not_be_forked_is_loaded_in_each_worker(directory: Path, kept: str) -> None:
    loads = f"{kept}\nopen(os.path.join(os.environ[{MARK!r}], f'loaded-{{os.getpid()}}'), 'w').close()"
    events, log = ended(start_scorer(job(directory, SUM, more=loads)))
    assert_scored(directory, events, log)
    pids = len(list(directory.glob("loaded-*")))
    assert 3 <= pids <= 4  # by the test that saves it, the scorer, and its workers


def killing(signal_or_status: str, often: int) -> str:
    """Return the code of a model that ends its process at row 30, so often."""
    return f"""if 30.0 in model_input['a'].tolist():
    for number in range({often}):
        try:
            os.close(os.open(os.path.join(directory, f'killed-{{number}}'), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        {signal_or_status}
{SUM}"""


def test_the_part_of_a_killed_worker_is_scored_again(directory: Path) -> None:
    events, log = ended(start_scorer(job(directory, killing("os.kill(os.getpid(), 9)", 2))))
    assert_scored(directory, events, log)
    assert len(list(directory.glob("killed-*"))) == 2


def test_a_part_that_kills_each_worker_ends_the_job(directory: Path) -> None:
    events, _ = ended(start_scorer(job(directory, killing("os._exit(3)", 9))))
    told = events[-1]["error"]
    assert told.startswith(f"part 4 of the input, in {directory}/in/3.parquet, can't be scored: each of 3")
    assert "ended with status 3" in told
    assert not (directory / "output").exists()
    assert list(directory.glob(".*")) == []
    gone(directory)


# Until there is a file `go-on`.
HANGING = """if 30.0 in model_input['a'].tolist():
    with open(os.path.join(directory, 'hangs'), 'w') as file:
        file.write(str(os.getpid()))
    while not os.path.exists(os.path.join(directory, 'go-on')):
        time.sleep(0.01)
""" + SUM  # fmt: skip


def hanging_process(directory: Path) -> str:
    return (directory / "hangs").read_text()


@contextmanager
def hanging(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a job whose model hangs; yield it when it does."""
    process = start_scorer(job(directory, HANGING))
    try:
        wait_until(
            lambda: None if (directory / "hangs").exists() and hanging_process(directory) else "not there",
            timeout=LIMIT,
            alive=lambda: process.poll() is None,
        )
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)


def run_again(directory: Path) -> None:
    (directory / "go-on").touch()
    again = request(directory / "model" / "model", directory / "in", directory / "output", workers=2)
    events, log = ended(start_scorer(again))
    assert_scored(directory, events, log)


def test_killed_workers_are_replaced_whether_they_are_idle_or_busy(directory: Path) -> None:
    with hanging(directory) as process:
        assert process.stdout
        events = [json.loads(process.stdout.readline()) for _ in range(6)]
        assert sum(event.get("done", 0) for event in events) == 50
        busy = int(hanging_process(directory))
        [idle] = set(processes_with(MARK, str(directory))) - {process.pid, busy}
        os.kill(idle, signal.SIGKILL)
        (directory / "go-on").touch()
        os.kill(busy, signal.SIGKILL)
        more, log = ended(process)
        assert_scored(directory, [*events, *more], log)


@pytest.mark.parametrize("by", ["end of stdin", "SIGTERM"])
def test_a_job_whose_model_still_loads_ends_with_its_caller(directory: Path, by: str) -> None:
    loads = f"""
while os.path.exists(os.path.join(os.environ[{MARK!r}], 'slow')):
    open(os.path.join(os.environ[{MARK!r}], 'loads'), 'w').close()
    time.sleep(600)"""
    wanted = job(directory, more=loads)
    (directory / "slow").touch()
    process = start_scorer(wanted)
    wait_until(lambda: None if (directory / "loads").exists() else "not there", timeout=LIMIT)
    assert process.stdin
    process.stdin.close() if by == "end of stdin" else process.terminate()
    assert process.wait(LIMIT) == 1
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
    assert sorted(each.name for each in directory.iterdir()) == ["in", "loads", "model", "slow"]


def test_a_job_whose_model_lets_nothing_pass_ends_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr("os.read", lambda *_: b"")
    monkeypatch.setattr("signal.pthread_kill", lambda *what: done.append(what))
    monkeypatch.setattr("time.sleep", done.append)
    monkeypatch.setattr("os._exit", done.append)
    caller._watch(5)
    assert done == [(5, signal.SIGTERM), 10, 1]


def test_the_end_of_stdin_after_the_last_event_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[bool, object]] = []

    def fail(*_: object) -> None:
        raise ScoringError("no room")

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("scorer.caller._stays", threading.Event())
    monkeypatch.setattr("scorer.run.run", fail)
    for name, found in (("take_stdout", None), ("read_request", {}), ("end_with_caller", None)):
        monkeypatch.setattr(f"scorer.__main__.{name}", lambda found=found: found)
    monkeypatch.setattr(
        "scorer.__main__.tell", lambda _, **event: told.append((caller._stays.is_set(), event))
    )
    assert main() == 1
    assert told == [(True, {"error": "no room"})]
    caller._leave(signal.SIGTERM, None)


def fails(_job: Job, _part: Part, _on_rows: OnRows) -> None:
    raise ValueError("Duck")


def test_a_mistake_of_ours_is_told_once_and_without_data(capfd: pytest.CaptureFixture[str]) -> None:
    wanted = Job("model", "directory", "told", "7", b"", b"")
    with Pool(forked=True) as pool, pytest.raises(ScoringError) as told:
        pool.ask(fails, wanted, Part(0, "it.parquet"))
    assert re.fullmatch(
        r"it.parquet can't be scored: ValueError in test_scorer_process.py, line \d+", str(told.value)
    )
    assert capfd.readouterr().err == ""


def test_a_job_ends_with_its_caller_and_leaves_nothing(directory: Path) -> None:
    with hanging(directory) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(LIMIT) == 1
        gone(directory)
        assert sorted(each.name for each in directory.iterdir()) == ["hangs", "in", "model"]
    run_again(directory)


def test_a_killed_job_leaves_no_process_and_the_next_run_removes_what_it_wrote(directory: Path) -> None:
    with hanging(directory) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(LIMIT)
        gone(directory)
        assert not (directory / "output").exists()
        assert len(list((directory / ".output.scoring").iterdir())) > 1
    run_again(directory)


def test_a_second_run_with_the_same_output_is_refused_while_the_first_one_runs(directory: Path) -> None:
    with hanging(directory) as process:
        again = request(directory / "model" / "model", directory / "in", directory / "output")
        events, _ = ended(start_scorer(again))
        assert events[-1]["error"] == (
            f"another run is writing {directory}/output; wait until it ends, or choose another OUTPUT"
        )
        (directory / "go-on").touch()
        events, log = ended(process)
        assert_scored(directory, events, log)


def test_a_model_that_can_not_be_loaded_is_told(directory: Path) -> None:
    wanted = job(directory)
    (directory / "model" / "model" / "code.py").write_text("raise ValueError('Duck')")
    events, log = ended(start_scorer(wanted))
    assert events[-1]["error"] == "the model can't be loaded (MlflowException, see above)"
    assert "Duck" in log

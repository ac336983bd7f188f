import argparse
import time
from pathlib import Path
from typing import Any

import pytest

from stack.config import CHECKOUT
from stack.errors import StackError
from tests.bench.disk import added, layers, together
from tests.bench.situations import change_model
from tests.bench.startup import notebook, some_ways
from tests.bench.startup_report import (
    BAKE,
    DOCKER,
    FIRST,
    NATIVE,
    ROWS,
    SETTLED,
    SITUATIONS,
    TARGETS,
    TUTORIAL,
    Run,
    ratios,
    report,
    values,
)
from tests.bench.timeline import Line, first_sign, phases, stamped
from tests.bench.tutorial_way import FILES, pythons
from tests.bench.watching import Tail, Watched, Watcher

# As the trainer and deploy print it, with the engine's time before each line.
TRAINER_LOG = """\
2026-11-23T12:00:09.000000000Z Created version '1' of model 'iris'.
2026-11-23T12:00:10.250000000Z registered as version 1 of iris: candidate
"""
DEPLOY_LOG = """\
2026-11-23T12:00:13.000000001Z baking version 1 of iris
2026-11-23T12:00:15.500000000Z baked in 2.5 s; replaying
2026-11-23T12:00:19.000000000Z replayed in 3.5 s: 30 answers equal, 10 wrong requests refused
2026-11-23T12:00:19.100000000Z starting to serve version 1
2026-11-23T12:00:22.125000000Z version 1 of iris is served at http://127.0.0.1:5002/invocations
"""
NOON = stamped("2026-11-23T12:00:00Z the command")[0].at


def run_of(seconds: dict[str, float], situation: str = "warm", row: str = FIRST) -> Run:
    return Run({(situation, row, column): value for column, value in seconds.items()})


def test_the_phases_of_a_start_come_from_the_engines_times() -> None:
    assert phases(NOON, stamped(DEPLOY_LOG) + stamped(TRAINER_LOG)) == pytest.approx(
        {"trained": 10.25, "baking begins": 13, "baked": 15.5, "replayed": 19, "served": 22.125}
    )


def test_a_phase_that_was_not_gone_through_has_no_time() -> None:
    lines = [
        Line(7, "    nothing has changed since version 2 of iris was trained, so nothing is trained;"),
        Line(9, "version 2 is served already"),
        Line(9.5, "    version 2 of iris is served at http://127.0.0.1:5002/invocations"),
    ]
    assert phases(5, lines) == {"trained": 2, "served": 4.5}


def test_lines_of_an_earlier_command_do_not_count_and_of_later_ones_the_first_does() -> None:
    lines = [Line(30, "baked in 1.0 s; replaying"), Line(4, "baked in 1.0 s"), Line(12, "baked in 1.0 s")]
    assert phases(10, lines) == {"baked": 2}


def test_lines_without_a_time_are_left_out() -> None:
    assert stamped("Error: no such container\n\nnonsense here\n") == []


def test_the_images_are_there_when_compose_first_makes_or_starts_a_container() -> None:
    def container(created: str, started: str) -> dict[str, Any]:
        return {"Created": f"2026-11-23T{created}Z", "State": {"StartedAt": started}}

    never = "0001-01-01T00:00:00Z"
    made = [container("12:00:02.000000001", never), container("12:00:01.5", "2026-11-23T12:00:03Z")]
    assert first_sign(made, NOON) == pytest.approx(1.5)
    started_again = [container("11:00:00", "2026-11-23T12:00:04Z"), container("11:00:00", never)]
    assert first_sign(started_again, NOON) == pytest.approx(4)
    assert first_sign([container("11:00:00", never)], NOON) is None


def test_a_log_is_followed_from_its_end_and_from_its_beginning_when_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "deploy.log"
    not_yet = Tail(log)
    assert not_yet.new_lines() == []
    log.write_text("of an earlier deployment\n")
    tail = Tail(log)
    assert tail.new_lines() == []
    log.write_text("baking\nba")
    since = time.time()
    (line,) = tail.new_lines()
    assert line.text == "baking"
    assert since <= line.at <= time.time()
    with log.open("a") as more:
        more.write("ked\n")
    assert [line.text for line in tail.new_lines()] == ["baked"]
    assert tail.new_lines() == []


def watcher_of(*answers: str | None) -> Watcher:
    """Return one that finds these versions answering in turn, and the last of them for ever."""
    left = list(answers)
    return Watcher(lambda: True, lambda: left.pop(0) if len(left) > 1 else left[0])


def test_a_command_is_watched_until_a_right_answer_after_its_end(tmp_path: Path) -> None:
    watched = watcher_of(None, None, "1", None, "1").run(["sh", "-c", "echo begun; sleep 0.3"], tmp_path, {})
    assert [line.text for line in watched.lines] == ["begun"]
    assert list(watched.answered) == ["1"]
    assert watched.since < watched.answered["1"] < watched.ended <= watched.settled
    assert watched.healthy is None  # it was so before


def test_the_first_answer_of_a_new_version_and_the_pause_before_it_are_noted(tmp_path: Path) -> None:
    watched = watcher_of("1", "1", None, None, None, None, "2").run(["sleep", "0.5"], tmp_path, {})
    assert watched.answered["1"] == watched.since < watched.answered["2"]
    assert 0.2 <= watched.pause <= watched.answered["2"] - watched.since


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"exited 3:\nno room$"):
        watcher_of(None).run(["sh", "-c", "echo no room; sleep 0.1; exit 3"], tmp_path, {})


def test_an_answer_that_was_asked_for_before_the_end_does_not_settle() -> None:
    watched = Watched(since=1, ended=5)
    watched.note_answer("1", asked=4, last=1)
    assert not watched.settled


def test_a_layer_counts_once_if_it_was_made_by_the_same_steps_on_the_same_ones() -> None:
    def history(*steps: tuple[str, int]) -> list[dict[str, Any]]:
        return [{"CreatedAt": "noon", "CreatedBy": by, "Size": str(size)} for by, size in reversed(steps)]

    base = ("packages", 900_000_000)
    first = layers(history(base, ("model 1", 1_000_000), ("chmod", 0)))
    second = layers(history(base, ("model 2", 2_000_000), ("chmod", 500_000)))
    assert together([first, second]) == pytest.approx(903.5)
    assert added(second, first) == pytest.approx(2.5)
    on_another_base = layers(history(("other packages", 1), ("model 1", 1_000_000)))
    assert added(on_another_base, first) == pytest.approx(1.000001)


def test_a_ratio_compares_what_was_measured_in_the_same_run() -> None:
    runs = [run_of({DOCKER: 10, TUTORIAL: 50}), run_of({DOCKER: 20, TUTORIAL: 60}), run_of({DOCKER: 20})]
    assert ratios(runs, "warm", DOCKER) == [5, 3]
    assert values(runs, "warm", FIRST, DOCKER) == [10, 20, 20]
    assert ratios(runs, "retrain", DOCKER) == []


def test_the_report_has_a_table_for_each_situation_with_the_columns_that_were_measured() -> None:
    run = Run({("warm", "trained", DOCKER): 5, ("warm", FIRST, DOCKER): 11, ("warm", FIRST, NATIVE): 8})
    assert "\n".join(report([run])) == (
        f"{SITUATIONS['warm']}\n\n"
        "|  | Docker | native |\n|---|---|---|\n"
        "| trained | 5.00 | - |\n"
        "| first right answer | 11.0 | 8.00 |\n\n"
        "| target | mode | wanted | found |  |\n|---|---|---|---|---|\n"
        "| warm, first right answer [s] | Docker | at most 12 | 11.0 | met |\n"
        "| warm, first right answer [s] | native | at most 10 | 8.00 | met |\n"
    )


def test_targets_beside_the_tutorials_way_are_ratios() -> None:
    slow = run_of({DOCKER: 20, NATIVE: 10, TUTORIAL: 60})
    slow.found |= run_of({DOCKER: 10, TUTORIAL: 100}, "retrain").found
    slow.found |= run_of({DOCKER: 9}, "again", SETTLED).found | run_of({NATIVE: 0.3}, "rebake", BAKE).found
    shown = "\n".join(report([slow]))
    assert "| warm | 3.00 | 6.00 |" in shown
    assert "| warm, times faster than the tutorial's way | Docker | at least 4 | 3.00" in shown
    assert "3.00 | missed by 25% |" in shown
    assert "| retrain, times faster than the tutorial's way | Docker | at least 8 | 10.0 | met |" in shown
    assert "| again [s] | Docker | at most 6 | 9.00 | missed by 50% |" in shown
    assert "| rebake, the bake alone [s] | native | at most 3 | 0.300 | met |" in shown


def test_whatever_is_measured_has_its_place_in_the_report() -> None:
    assert set(phases(0, stamped(TRAINER_LOG) + stamped(DEPLOY_LOG))) <= set(ROWS)
    assert {target.row for target in TARGETS} <= {"", *ROWS}
    assert {target.situation for target in TARGETS} <= set(SITUATIONS)


def test_a_value_is_noted_in_its_column_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run()
    notebook(run, NATIVE)("again", SETTLED, 4.04)
    assert run.found == {("again", SETTLED, NATIVE): 4.04}
    assert f"native, again, {SETTLED}: 4.0" in capsys.readouterr().err


@pytest.mark.parametrize("file", [CHECKOUT / "trainer" / "train.py", FILES / "train.py"])
def test_the_model_that_is_trained_again_is_another(file: Path, tmp_path: Path) -> None:
    copied = tmp_path / "train.py"
    copied.write_text(file.read_text())
    change_model(copied)
    change_model(copied)
    assert copied.read_text() == file.read_text().replace('"max_iter": 200', '"max_iter": 202')


def test_a_model_without_that_parameter_is_no_model_to_measure(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("PARAMETERS = {}\n")
    with pytest.raises(StackError, match="found 0"):
        change_model(tmp_path / "train.py")


def test_no_python_is_found_for_a_version_that_does_not_exist() -> None:
    assert list(pythons("3.99")) == []


def test_what_to_measure_is_chosen_by_name() -> None:
    assert some_ways("docker,native") == ["docker", "native"]
    with pytest.raises(argparse.ArgumentTypeError, match="found theirs"):
        some_ways("docker,theirs")

import os
from pathlib import Path

from stack.modes.memory import held_by, is_free


def test_memory_is_free_as_far_as_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemFree: 1 kB\nMemAvailable:    1000 kB\n")
    assert is_free(1000 * 1024, tmp_path)
    assert not is_free(1000 * 1024 + 1, tmp_path)


def test_where_nothing_is_told_all_is_taken_for_free(tmp_path: Path) -> None:
    assert is_free(10**15, tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\n")  # a kernel before 3.14
    assert is_free(10**15, tmp_path)


def test_what_processes_hold_is_added_up_and_one_that_has_ended_holds_nothing(tmp_path: Path) -> None:
    for pid, kilobytes in ((1, 10), (2, 20)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(
            f"Rss: 99 kB\nPss:   {kilobytes} kB\nPss_Anon: 5 kB\n"
        )
    assert held_by([1, 2, 3], tmp_path) == 30 * 1024


def test_this_process_holds_some_and_fits_into_this_machine() -> None:
    held = held_by([os.getpid()])
    assert 1024**2 < held < 1024**4
    assert is_free(1)
    assert not is_free(2**60)

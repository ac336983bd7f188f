import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stack.errors import StackError
from tests.bench import score_table
from tests.bench.meter import Used, measure
from tests.bench.score import chosen
from tests.bench.score_report import Measured, Run, report
from tests.bench.score_services import Place
from tests.bench.score_ways import HTTP, ONE, PANDAS, SHIPPED, SPARK, TWO, UDF, WAYS, Way

BUSY = "import time\nwhile time.process_time() < {}: pass\n"
# It ends before its child, which then belongs to another parent.
ORPHANS = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', sys.argv[1]])\n"
PLACE = Place("http://t", "models:/iris@champion", Path("/model"), Path("/s/pyspark"), Path("/scratch"), 1234)


def metered(directory: Path, *command: str) -> Used:
    return measure([sys.executable, "-c", *command], os.environ, directory / "log", directory, rows=10)


def test_the_processor_time_of_all_descendants_counts_also_of_orphans(tmp_path: Path) -> None:
    parent = ORPHANS + BUSY.format(0.2)
    used = metered(tmp_path, parent, BUSY.format(0.5))
    assert used.cpu >= 0.7
    assert used.rows == 10


def test_the_memory_of_all_descendants_counts(tmp_path: Path) -> None:
    holds = "import sys\nheld = bytearray(100_000_000)\n" + BUSY.format(1)
    starts = "import subprocess, sys\nheld = bytearray(50_000_000)\n"
    starts += "subprocess.run([sys.executable, '-c', sys.argv[1]])\n"
    assert metered(tmp_path, starts, holds).memory >= 140


def test_what_a_service_has_used_before_the_command_does_not_count(tmp_path: Path) -> None:
    was_busy, goes_on, ended = "was busy\n", "\n", []

    @contextmanager
    def service(environment: Mapping[str, str]) -> Iterator[None]:
        program = f"{BUSY.format(1)}print('was busy', flush=True)\ninput()\n{BUSY.format(1.3)}"
        command = [sys.executable, "-c", program]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == was_busy
            yield
            process.communicate(goes_on)
            ended.append(process.returncode)

    used = measure([sys.executable, "-c", ""], os.environ, tmp_path / "log", tmp_path, 1, service)
    assert ended == [0]
    assert 0.3 <= used.cpu < 1


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"exited 3:\nno such table"):
        metered(tmp_path, "import sys; print('no such table', flush=True); sys.exit(3)")


def written(table: pa.Table, directory: Path) -> pa.Table:
    pq.write_table(table, directory / "part.parquet")
    return score_table.scored(directory)


def answers(rows: int) -> pa.Table:
    table = score_table.irises(rows)
    return table.append_column("prediction", pa.array([f"species {n % 3}" for n in range(rows)]))


def test_rows_in_another_order_and_as_another_kind_of_text_are_the_same_answers(tmp_path: Path) -> None:
    right = answers(50)
    other = right.sort_by([(score_table.ID, "descending")])
    texts = other["prediction"].cast(pa.large_string()).dictionary_encode()
    other = other.set_column(other.num_columns - 1, "prediction", texts)
    other = other.append_column("model_name", pa.array(["iris"] * 50).dictionary_encode())
    score_table.check(written(other, tmp_path), right, "it")


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("prediction", ["setosa"] * 4, "it: values of the column prediction differ"),
        ("id", [0, 1, 2, 2], "it: values of the column id differ"),
        ("more", [0, 1, 2, 3], "it: expected the columns"),
    ],
)
def test_other_answers_are_found(column: str, values: list[object], told: str, tmp_path: Path) -> None:
    right = answers(4)
    place = right.schema.get_field_index(column)
    other = right.append_column(column, pa.array(values))
    if place >= 0:
        other = right.set_column(place, column, pa.array(values))
    with pytest.raises(StackError, match=told):
        score_table.check(written(other, tmp_path), right, "it")


def test_rows_that_are_missing_are_found(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="expected 4 rows, found 3"):
        score_table.check(written(answers(4).slice(0, 3), tmp_path), answers(4), "it")


def test_a_shorter_table_is_the_beginning_of_the_same(tmp_path: Path) -> None:
    file = tmp_path / "irises.parquet"
    score_table.write(score_table.irises(12), file)
    assert pq.ParquetFile(file).num_row_groups == 4
    assert pq.read_table(file).equals(score_table.irises(12))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_each_way_is_given_the_table_and_stays_on_this_machine(way: Way) -> None:
    command = way.command(PLACE, Path("/in"), Path("/out"))
    assert {"/in", "/out"} <= set(command)
    addresses = [word for word in command if "1234" in word]
    assert all("127.0.0.1:1234" in word for word in addresses)


def test_a_part_of_the_table_stands_for_the_whole_without_its_start() -> None:
    part = Measured(small=Used(1000, 2, 3, 100), large=Used(11_000, 4, 8, 150))
    assert part.scaled(101_000).large == Used(101_000, 22, 53, 150)
    assert part.scaled(11_000) == part


def test_a_table_that_took_no_longer_than_the_small_one_has_no_rate_to_compare() -> None:
    assert "| inf |" in "\n".join(
        report([Run({ONE: Measured(Used(1000, 2, 3, 100), Used(5000, 2, 3, 100))})])
    )


def run_of(cpu: Mapping[Way, float]) -> Run:
    small = Used(1000, 1, 1, 100)
    return Run({way: Measured(small, Used(1_000_000, 10, used, 100 * used)) for way, used in cpu.items()})


def test_ways_are_compared_run_by_run() -> None:
    runs = [run_of({PANDAS: 9, ONE: 10}), run_of({PANDAS: 20, ONE: 10}), run_of({PANDAS: 12, ONE: 10})]
    shown = "\n".join(report(runs))
    assert "| score, 1 worker | pandas in one process | at least 0.9 | 1.20 (0.900 to 2.00) | met |" in shown
    assert "| at most 0.333 | 0.833 (0.500 to 1.11) | missed by 150% |" in shown


def test_what_was_not_measured_is_left_out_of_the_report() -> None:
    shown = "\n".join(report([run_of({TWO: 1, HTTP: 1})]))
    assert "rows/s | score, 2 workers" in shown
    assert not [way.title for way in (PANDAS, UDF, SPARK, SHIPPED) if way.title in shown]


def test_the_price_of_spark_is_told() -> None:
    shown = "\n".join(report([run_of({ONE: 2, UDF: 12, SPARK: 8})]))
    assert "| MLflow's spark_udf | 6.00 |" in shown
    assert "| score --master --python | 4.00 |" in shown


def test_ways_are_chosen_by_name() -> None:
    assert chosen("spark-udf,pandas") == [PANDAS, UDF]
    with pytest.raises(argparse.ArgumentTypeError, match="found dask"):
        chosen("dask")

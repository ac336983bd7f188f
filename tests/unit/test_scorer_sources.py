import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorer.job import ScoringError
from scorer.parts import parts_of
from scorer.records import Scan, end_of_record
from scorer.sources import Whole, find_sources

from tests.unit.scorers import write


def test_a_directory_gives_its_files_in_order_without_marks_and_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "_SUCCESS", ".crc"):
        write(tmp_path / name, {"a": [1]})
    assert [Path(each.file).name for each in find_sources(str(tmp_path))] == ["a.parquet", "b.parquet"]


def test_a_glob_gives_what_it_finds(tmp_path: Path) -> None:
    for name in ("x/1.parquet", "y/2.parquet", "y/_3.parquet"):
        write(tmp_path / name, {"a": [1]})
    found = find_sources(f"{tmp_path}/*/*.parquet")
    assert [Path(each.file).name for each in found] == ["1.parquet", "2.parquet"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    [found] = find_sources(str(write(tmp_path / "[a].parquet", {"a": [1]})))
    assert found.row_groups == (1,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("it.parquet", "nonsense", "it.parquet can't be read: it is no Parquet file, or damaged; repair it"),
        ("it.parquet", "", "it.parquet can't be read: it is no Parquet file, or damaged; repair it"),
        ("it.txt", "a", "it.txt is of no known kind: expected .parquet, .pq, .csv or .csv.gz"),
        ("it.csv", "", "it.csv is empty: expected a header"),
        ("it.csv", "a,a\n1,2\n", "it.csv has two columns 'a'; rename one"),
        ("it.csv", '"a,b\n1,2\n', "it.csv can't be read: its header is no CSV in UTF-8"),
        ("it.csv", '"a"b,c\n1,2\n', "it.csv can't be read: its header is no CSV in UTF-8"),
        ("it.csv", "a" * 2**20 + "\n1\n", "it.csv can't be read: its header is longer than 1048576 bytes"),
        ("it.csv.gz", "a,b\n1,2\n", "it.csv.gz can't be read: it is damaged"),
        (
            "year=2024/it.parquet",
            "",
            "names of directories are not read as columns; name its files by a glob",
        ),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    file = tmp_path / "in" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(ScoringError, match=message):
        find_sources(str(tmp_path / "in"))


def test_no_files_and_several_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=r"holds no files; name a file, a directory or a glob"):
        find_sources(str(tmp_path))
    with pytest.raises(ScoringError, match=r"there is no file .*/no; name"):
        find_sources(str(tmp_path / "no"))
    write(tmp_path / "a.parquet", {"a": [1]})
    (tmp_path / "b.csv").write_text("a\n1\n")
    with pytest.raises(ScoringError, match="holds CSV and Parquet files; name those of one kind"):
        find_sources(str(tmp_path))


@pytest.mark.parametrize("has_statistics", [True, False])
def test_the_bounds_of_whole_numbers_are_known(tmp_path: Path, has_statistics: bool) -> None:
    columns = {
        "a": pa.array([3, None, 1, 2]),
        "b": [0, 1, 0, 1],
        "c": pa.nulls(4, pa.int64()),
        "d": ["x"] * 4,
    }
    file = write(tmp_path / "it.parquet", columns, row_group_size=2, write_statistics=has_statistics)
    [found] = find_sources(str(file))
    wholes = {"a": Whole(1, 3, True), "b": Whole(0, 1, False), "c": Whole(None, None, True)}
    assert found.wholes == wholes


def test_parts_are_consecutive_row_groups_of_about_a_million_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"a": np.zeros(2_500_000, "int8")}, row_group_size=400_000)
    write(tmp_path / "b.parquet", {"a": np.zeros(0, "int8")})
    write(tmp_path / "c.parquet", {"a": np.zeros(10, "int8")})
    found = parts_of(find_sources(str(tmp_path)))
    assert [(each.number, Path(each.file).name, each.row_groups, each.first) for each in found] == [
        (0, "a.parquet", (0, 1), 0),
        (1, "a.parquet", (2, 3), 800_000),
        (2, "a.parquet", (4, 5, 6), 1_600_000),
        (3, "c.parquet", (0,), 0),
    ]


def test_an_input_without_rows_has_one_part_without_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"a": np.zeros(0)})
    [part] = parts_of(find_sources(str(file)))
    assert part.row_groups == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ['a,size 5"', '\ufeff"a ""1"", b",c', '"a\nb",c', '""', ""])
def test_a_header_ends_with_its_line_whatever_quotes_it_has(header: str, end: str) -> None:
    text = (header + end).encode()
    assert end_of_record(text + b'1,"x"' + end.encode() * 2) == len(text)
    assert end_of_record(header.encode()) is None


FIELDS = st.one_of(
    st.text("ab1 ", max_size=3),
    st.text('a,\n"', max_size=5).map(lambda text: '"' + text.replace('"', '""') + '"'),
)


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=20), st.integers(1, 40))
def test_a_cut_is_always_between_two_records(rows: list[list[str]], size: int) -> None:
    records = [",".join(row) + "\n" for row in rows]
    data = "".join(records).encode()
    ends = {sum(len(record.encode()) for record in records[:count]) for count in range(len(records) + 1)}
    scan = Scan()
    for at in range(0, len(data), size):
        end = scan.last_end(data[at : at + size])
        inside = [each - at for each in ends if at < each <= at + size]
        assert end == max(inside, default=None)
    assert scan.is_sure
    assert end_of_record(data) == min(ends - {0})


@pytest.mark.parametrize("row", ['5" pipe,1\n', 'a,b"c\n', 'a,"b" c"\n'])
def test_a_quote_inside_a_field_makes_cuts_unsure(row: str) -> None:
    scan = Scan()
    for byte in (row * 2).encode():
        scan.last_end(bytes([byte]))
    assert not scan.is_sure


def test_a_large_csv_file_is_cut_and_a_compressed_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.parts.PART_BYTES", 100)
    monkeypatch.setattr("scorer.parts._CHUNK", 30)
    text = "a,b\n" + "".join(f'{number},"x\n{number}"\n' for number in range(100))
    (tmp_path / "it.csv").write_text(text)
    (tmp_path / "it.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = parts_of(find_sources(str(tmp_path / "it.csv")))
    assert len(found) > 5
    assert (found[0].start, found[-1].end) == (4, len(text))
    assert all(one.end == other.start for one, other in pairwise(found))
    assert all(text[part.end - 2 : part.end] == '"\n' for part in found)
    [whole] = parts_of(find_sources(str(tmp_path / "it.csv.gz")))
    assert (whole.start, whole.end) == (4, 0)
    (tmp_path / "it.csv").write_text(text + '1,5" pipe\n')
    assert len(parts_of(find_sources(str(tmp_path / "it.csv")))) == 1

"""The scorer, in this process: what it writes, and what it refuses."""

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from pyarrow import parquet
from scorer.answers import as_columns
from scorer.job import ScoringError

from tests.unit.scorers import DOUBLES, SUM, Scoring, save_model, scored, write

__all__ = ["scored"]
DATA = "Duck"


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "doubling", SUM)


def signature(**columns: DataType) -> ModelSignature:
    return ModelSignature(Schema([ColSpec(kind, name) for name, kind in columns.items()]))


def test_the_output_has_the_input_the_answers_the_version_and_a_manifest(
    doubling: Path, scored: Scoring
) -> None:
    write(scored.directory / "in" / "1.parquet", {"id": ["x", None], "a": [1.0, 2.0]})
    write(scored.directory / "in" / "2.parquet", {"a": [3.0], "id": ["z"]})
    found = scored(doubling, scored.directory / "in")
    assert found.to_pylist() == [
        {"id": id_, "a": a, "prediction": 2 * a, "model_name": "told", "model_version": "7"}
        for id_, a in (("x", 1.0), (None, 2.0), ("z", 3.0))
    ]
    files = ["_manifest.json", "part-00000.parquet", "part-00001.parquet"]
    assert sorted(path.name for path in scored.output.iterdir()) == files
    assert sorted(path.name for path in scored.directory.iterdir()) == ["in", "output"]
    manifest = json.loads((scored.output / "_manifest.json").read_text())
    assert manifest == scored.manifest
    wanted = {
        "model": "told",
        "version": "7",
        "run_id": "abc",
        "replay": "passed",
        "engine": "pool",
        "rows": 3,
    }
    assert manifest.items() >= {**wanted, "input_files": 2, "input": str(scored.directory / "in")}.items()
    assert scored.events == [{"rows": 3}, {"done": 2}, {"done": 1}]


def test_what_the_model_does_not_know_passes_through_with_its_type(doubling: Path, scored: Scoring) -> None:
    columns = {
        "a": pa.array([1.0, None, float("nan")]),
        "when": pa.array([datetime(2024, 1, 31, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "day": [date(2024, 1, 31), None, None],
        "price": [Decimal("1.10"), None, Decimal("2.20")],
        "tags": [["x"], None, []],
        "nested": [{"x": 1}, None, {"x": 2}],
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "blob": [b"\x00\xff", None, b""],
    }
    found = scored(doubling, write(scored.directory / "in.parquet", columns))
    for name, values in columns.items():
        wanted = pa.chunked_array([pa.array(values)])
        assert found[name].type == wanted.type
        assert str(found[name].to_pylist()) == str(wanted.to_pylist())  # NaN is not NaN
    assert np.isnan(found["prediction"][2].as_py())


def test_an_index_of_pandas_is_a_column_like_any_other(doubling: Path, scored: Scoring) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([7, 9], name="key"))
    frame.to_parquet(scored.directory / "in.parquet")
    found = scored(doubling, scored.directory / "in.parquet")
    assert found["key"].to_pylist() == [7, 9]
    assert found.to_pandas().columns.tolist() == ["a", "key", "prediction", "model_name", "model_version"]


@pytest.mark.parametrize("batch_rows", [2, 65_536])
def test_the_answers_are_those_of_one_predict_on_all_rows(
    tmp_path: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    """A whole number that is missing makes all of the column floats, a bool objects, in whatever batch."""
    body = "return [f'{row} {model_input.dtypes.to_dict()}' for row in model_input.to_dict('split')['data']]"
    model = save_model(tmp_path / "model", body, None)
    columns = {
        "whole": pa.array([1, 2, 3, None, 5, 6]),
        "full": [1, 2, 3, 4, 5, 6],
        "large": pa.array([2**53 + 1, None, 3, 4, 5, 6]),
        "bool": pa.array([True, False, True, False, None, True]),
        "full bool": [True, False, True, False, True, True],
        "text": ["a", None, "", "d", "e", "f"],
        "time": [datetime(2024, 1, day) for day in range(1, 6)] + [None],
    }
    file = write(tmp_path / "in.parquet", columns, row_group_size=3)
    wanted = mlflow.pyfunc.load_model(str(model)).predict(pd.read_parquet(file))
    monkeypatch.setattr("scorer.job.Job.__init__.__defaults__", (b"", "{}", batch_rows))
    assert scored(model, file)["prediction"].to_pylist() == wanted


def test_a_model_is_given_the_values_of_a_dictionary_and_no_index_of_pandas(
    tmp_path: Path, scored: Scoring
) -> None:
    """Each row group may number the values anew."""
    model = save_model(
        tmp_path / "model", "return [str(row) for row in model_input.to_dict('records')]", None
    )
    frame = pd.DataFrame({"kind": pd.Categorical(["b", "b", "a"])}, index=[7, 8, 9])
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=1)
    found = scored(model, tmp_path / "in.parquet")
    assert found["prediction"].to_pylist() == [str({"kind": kind}) for kind in "bba"]
    assert found["__index_level_0__"].to_pylist() == [7, 8, 9]
    assert pa.types.is_dictionary(found.schema.field("kind").type)


def test_a_column_that_only_the_first_file_declares_full_may_have_nulls(
    doubling: Path, scored: Scoring
) -> None:
    for number, text in enumerate(("x", None)):
        schema = pa.schema([("a", pa.float64()), pa.field("s", pa.string(), nullable=text is None)])
        file = scored.directory / "in" / f"{number}.parquet"
        file.parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table({"a": [1.0], "s": pa.array([text], pa.string())}, schema), file)
    assert scored(doubling, scored.directory / "in")["s"].to_pylist() == ["x", None]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_batches_have_as_many_rows_as_there_is_memory_for(
    tmp_path: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model = save_model(
        tmp_path / "model", "return [len(model_input)] * len(model_input)", signature(a=DataType.string)
    )
    monkeypatch.setattr("scorer.reading._BLOCK", 1500)
    monkeypatch.setattr("scorer.reading._STEP", 7)
    monkeypatch.setattr("scorer.job.Job.__init__.__defaults__", (b"", "{}", 20))
    monkeypatch.setattr("scorer.reading._BATCH_BYTES", 3000)
    texts = ["x"] * 40 + ["x" * 1000] * 6
    write(tmp_path / "in.parquet", {"a": texts}, row_group_size=3)
    (tmp_path / "in.csv").write_text("\n".join(["a", *texts, ""]))
    found = scored(model, tmp_path / f"in.{kind}")["prediction"].to_pylist()
    assert found[:40] == [20] * 40
    assert set(found[40:]) <= {1, 2, 3}
    [file] = scored.manifest["files"]
    assert parquet.read_metadata(scored.output / file).num_row_groups <= 8


def test_an_empty_text_in_quotes_is_null_where_the_column_is_no_text(doubling: Path, scored: Scoring) -> None:
    """So writes pandas with QUOTE_ALL."""
    (scored.directory / "in.csv").write_text('"id","a","b"\n"1","","2"\n"","1",""\n,,\n')
    found = scored(doubling, scored.directory / "in.csv")
    assert found["id"].to_pylist() == ["1", "", None]
    assert found["a"].to_pylist() == [None, 1.0, None]
    assert found["b"].to_pylist() == [2.0, None, None]


CSV = 'id,a,b,note\n007,1.5,,"x, ""y""\nz"\n008,2,3.25,\n009,,1,""\n'


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_csv_has_the_types_of_the_signature_and_text(
    doubling: Path, scored: Scoring, name: str, ending: str
) -> None:
    text = ("\ufeff" + CSV.replace("\n", ending)).encode()
    (scored.directory / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    found = scored(doubling, scored.directory / name).drop_columns(["model_name", "model_version"])
    assert found.to_pydict() == {
        "id": ["007", "008", "009"],
        "a": [1.5, 2.0, None],
        "b": [None, 3.25, 1.0],
        "note": [f'x, "y"{ending}z', None, ""],
        "prediction": [3.0, 4.0, pytest.approx(float("nan"), nan_ok=True)],
    }
    assert scored.events[0] == {"rows": None}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_in_a_name_and_all_ends_of_lines_are_read(doubling: Path, scored: Scoring, end: str) -> None:
    (scored.directory / "in.csv").write_text(end.join(['a,size 5"', '1,"x\ry"', '2,5" pipe', ""]), newline="")
    found = scored(doubling, scored.directory / "in.csv")
    assert found["prediction"].to_pylist() == [2.0, 4.0]
    assert found['size 5"'].to_pylist() == ["x\ry", '5" pipe']


def test_columns_of_csv_are_found_by_name(doubling: Path, scored: Scoring) -> None:
    (scored.directory / "in").mkdir()
    (scored.directory / "in" / "1.csv").write_text("a,b\n1,2\n")
    (scored.directory / "in" / "2.csv").write_text("b,a\n3,4\n")
    found = scored(doubling, scored.directory / "in")
    assert (found["a"].to_pylist(), found["b"].to_pylist()) == ([1.0, 4.0], [2.0, 3.0])


def test_a_csv_file_in_many_parts_is_scored_as_a_whole(
    doubling: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.parts.PART_BYTES", 1000)
    monkeypatch.setattr("scorer.parts._CHUNK", 300)
    lines = [f'{number},"x\n{number}"' for number in range(1000)]
    (scored.directory / "in.csv").write_text("\n".join(["a,note", *lines]))
    found = scored(doubling, scored.directory / "in.csv")
    assert found["prediction"].to_pylist() == [2.0 * number for number in range(1000)]
    assert found["note"].to_pylist() == [f"x\n{number}" for number in range(1000)]
    assert len(scored.manifest["files"]) >= 10


@pytest.mark.parametrize("source", ["in.parquet", "in.csv"])
def test_an_input_without_rows_gives_an_output_with_its_columns(
    doubling: Path, scored: Scoring, source: str
) -> None:
    write(scored.directory / "in.parquet", {"a": np.zeros(0), "id": np.zeros(0, "int64")})
    (scored.directory / "in.csv").write_text("a,id\n")
    found = scored(doubling, scored.directory / source)
    assert found.num_rows == 0
    assert found.schema.names == ["a", "id", "prediction", "model_name", "model_version"]
    assert found.schema.field("prediction").type == pa.float64()


TENSOR = ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 2))]))


@pytest.mark.parametrize("source", ["in.parquet", "in.csv"])
def test_an_unnamed_tensor_is_all_columns(tmp_path: Path, scored: Scoring, source: str) -> None:
    model = save_model(tmp_path / "model", "return np.asarray(model_input) * 10", TENSOR)
    write(tmp_path / "in.parquet", {"x": [1.0, 2.0], "y": [3.0, 4.0]})
    (tmp_path / "in.csv").write_text("x,y\n1,3\n2,4\n")
    assert scored(model, tmp_path / source)["prediction"].to_pylist() == [[10.0, 30.0], [20.0, 40.0]]


def test_columns_that_are_lists_go_to_the_model(tmp_path: Path, scored: Scoring) -> None:
    model = save_model(
        tmp_path / "model",
        "return [float(sum(each)) for each in model_input['v']]",
        ModelSignature(Schema([ColSpec(Array(DataType.double), "v")])),
    )
    file = write(tmp_path / "in.parquet", {"v": [[1.0, 2.0], [3.0]]})
    assert scored(model, file)["prediction"].to_pylist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ("return pd.DataFrame({'x': [1, 2, 3], 'y': ['p', 'n', 'q']})", {"x": [1, 2, 3], "y": list("pnq")}),
        ("return {'x': [1, 2, 3], 'y': np.array([[1], [2], [3]])}", {"x": [1, 2, 3], "y": [[1], [2], [3]]}),
        ("return pd.Series(['p', None, 'q'], index=[5, 6, 7])", {"prediction": ["p", None, "q"]}),
        ("return pd.Series(['p', 'q', 'p'], dtype='category')", {"prediction": ["p", "q", "p"]}),
        ("return [None, None, None]", {"prediction": [None, None, None]}),
        ("return [{'label': 'p', 'score': 1.5}] * 3", {"prediction": [{"label": "p", "score": 1.5}] * 3}),
        ("return np.array(['p', None, 'q'], dtype=object)", {"prediction": ["p", None, "q"]}),
        ("return [True, None, False]", {"prediction": [True, None, False]}),
        ("return pd.array([1, None, 3], dtype='Int64')", {"prediction": [1, None, 3]}),
        ("return np.float32([1.5, 2.5, 3.5])", {"prediction": [1.5, 2.5, 3.5]}),
    ],
)  # fmt: skip
def test_answers_of_all_shapes_become_columns(
    tmp_path: Path, scored: Scoring, body: str, columns: dict[str, list[Any]]
) -> None:
    model = save_model(tmp_path / "model", body, signature(a=DataType.double))
    found = scored(model, write(tmp_path / "in.parquet", {"a": [1.0, 2.0, 3.0]}))
    assert {name: found[name].to_pylist() for name in columns} == columns


def test_missing_and_not_a_number_stay_apart() -> None:
    nan = float("nan")
    for values in ([1.0, None, nan], np.array([1.0, None, nan], dtype=object)):
        found = as_columns(values, 3)["prediction"]
        assert found.null_count == 1
        assert np.isnan(found[2].as_py())
    assert as_columns(pd.Series([1.0, nan]), 2)["prediction"].null_count == 0
    assert as_columns(["a", None, nan], 3)["prediction"].to_pylist() == ["a", None, None]


def test_the_signature_says_the_type_where_the_first_answers_do_not(tmp_path: Path, scored: Scoring) -> None:
    body = "return [None if each < 2 else 0.5 for each in model_input['a']]"
    model = save_model(tmp_path / "model", body)
    write(tmp_path / "in" / "1.parquet", {"a": [1.0]})
    write(tmp_path / "in" / "2.parquet", {"a": [2.0]})
    assert scored(model, tmp_path / "in")["prediction"].to_pylist() == [None, 0.5]


FIRST = "first = float(model_input['a'].iloc[0]) < 2\n"
# What a model answers to the first file and to the second, and what both are then.
KEPT = {
    "text, then no more": ("['x']", "pd.Series([np.nan], dtype=object)", ["x", None]),
    "text, then NaN": ("['x']", "np.array([np.nan])", ["x", None]),
    "none, then text": ("pd.Series([np.nan], dtype=object)", "['x']", [None, "x"]),
    "none, then whole": ("[None]", "[1]", [None, 1]),
    "empty, then lists": ("[[]]", "[['x']]", [[], ["x"]]),
    "floats, then whole": ("[0.5]", "[1]", [0.5, 1.0]),
    "floats, then less": ("[0.5]", "np.float32([0.1])", [0.5, float(np.float32(0.1))]),
    "whole, then less": ("[1]", "np.int8([2])", [1, 2]),
    "dicts, then fewer": (
        "[{'x': 1.5, 'y': 'p'}]",
        "[{'x': 1}]",
        [{"x": 1.5, "y": "p"}, {"x": 1.0, "y": None}],
    ),
}


@pytest.mark.parametrize(("one", "two", "wanted"), KEPT.values(), ids=KEPT)
def test_answers_of_other_types_that_lose_nothing_are_kept(
    tmp_path: Path, scored: Scoring, one: str, two: str, wanted: list[Any]
) -> None:
    model = save_model(
        tmp_path / "model", f"{FIRST}return {one} if first else {two}", signature(a=DataType.double)
    )
    write(tmp_path / "in" / "1.parquet", {"a": [1.0]})
    write(tmp_path / "in" / "2.parquet", {"a": [2.0]})
    assert scored(model, tmp_path / "in")["prediction"].to_pylist() == wanted


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("[True]", "[7]"),
        ("np.float32([0.5])", "[70000.1]"),
        ("['x']", "[7]"),
        ("['x']", "[0.5]"),
        ("[7]", "[0.5]"),
        ("[0.5]", "[2**53 + 1]"),
        ("np.int8([1])", "[300]"),
        ("[7]", "['7']"),
        ("[{'x': 1}]", "[{'y': 1}]"),
    ],
)
def test_answers_that_another_type_would_change_are_refused(
    tmp_path: Path, scored: Scoring, one: str, two: str
) -> None:
    model = save_model(
        tmp_path / "model", f"{FIRST}return {one} if first else {two}", signature(a=DataType.double)
    )
    write(tmp_path / "in" / "1.parquet", {"a": [1.0]})
    write(tmp_path / "in" / "2.parquet", {"a": [2.0]})
    with pytest.raises(ScoringError, match=r"'prediction' change their type: .* for the first rows, then"):
        scored(model, tmp_path / "in")


def test_the_signature_says_that_answers_are_text_where_the_first_are_missing(
    tmp_path: Path, scored: Scoring
) -> None:
    texts = ModelSignature(DOUBLES.inputs, Schema([ColSpec(DataType.string)]))
    model = save_model(tmp_path / "model", "return pd.Series([np.nan], dtype=object)", texts)
    found = scored(model, write(tmp_path / "in.parquet", {"a": [1.0]}))
    assert found["prediction"].type == pa.string()
    assert found["prediction"].to_pylist() == [None]


@pytest.mark.parametrize("name", ["in.parquet", "in.csv.gz"])
def test_the_first_file_may_have_no_rows(tmp_path: Path, scored: Scoring, name: str) -> None:
    model = save_model(tmp_path / "model", SUM, signature(a=DataType.double))
    for number, values in enumerate(([], [1.0])):
        file = tmp_path / "in" / f"{number}-{name}"
        write(file, {"a": np.array(values)})
        if name == "in.csv.gz":
            file.write_bytes(gzip.compress("\n".join(["a", *map(str, values), ""]).encode()))
    assert scored(model, tmp_path / "in")["prediction"].to_pylist() == [2.0]


def test_without_a_row_and_a_signature_the_answers_are_null(tmp_path: Path, scored: Scoring) -> None:
    model = save_model(tmp_path / "model", SUM, signature(a=DataType.double))
    found = scored(model, write(tmp_path / "in.parquet", {"a": np.zeros(0)}))
    assert found.schema.field("prediction").type == pa.null()


WRONG_MODELS = {
    "return [{}, {}]": "the model's answers for 'prediction' are of the type struct<>, which",
    "return [1.0]": "the model gives 1 answers to 2 rows; correct the model",
    "return 1.0": "the model's answers for 'prediction' are no column",
    "return 'ab'": "the model's answers for 'prediction' are no column",
    "return [1.0, 'a']": "the model's answers for 'prediction' are no column",
    "return pd.DataFrame({'a': [1, 2]})": "the model answers with a column 'a', which is there already",
    "return pd.DataFrame([[1, 2]] * 2, columns=['x', 'x'])": "two columns of one name",
    f"raise ValueError('{DATA}')": r"the model fails on rows 1 to 2 of .*: ValueError in .*.py, line \d+",
    f"sys.exit('{DATA}')": r"the model fails on rows 1 to 2 of .*: SystemExit in .*.py, line \d+",
}


@pytest.mark.parametrize("body", WRONG_MODELS)
def test_a_model_that_does_not_answer_is_told_without_its_data(
    tmp_path: Path, scored: Scoring, body: str
) -> None:
    model = save_model(tmp_path / "model", body)
    file = write(tmp_path / "in.parquet", {"a": [1.0, 2.0]})
    with pytest.raises(ScoringError, match=WRONG_MODELS[body]) as told:
        scored(model, file)
    assert DATA not in str(told.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "model"]


def test_answers_that_change_their_type_are_refused(tmp_path: Path, scored: Scoring) -> None:
    body = "return ['x'] if model_input['a'].iloc[0] > 1 else [1]"
    model = save_model(tmp_path / "model", body, signature(a=DataType.double))
    write(tmp_path / "in" / "1.parquet", {"a": [1.0]})
    write(tmp_path / "in" / "2.parquet", {"a": [2.0]})
    with pytest.raises(
        ScoringError, match="'prediction' change their type: int64 for the first rows, then string"
    ):
        scored(model, tmp_path / "in")


WRONG_FILES: list[tuple[dict[str, Any], str]] = [
    ({"b": [1.0]}, "in/2.parquet has no column 'a', which"),
    ({"a": [1.0], "more": [1]}, "in/1.parquet has no column 'more', which .*2.parquet has; score them apart"),
    ({"a": ["Duck"]}, "column 'a' is string in .*in/2.parquet, and double in .*in/1.parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), WRONG_FILES, ids=range(len(WRONG_FILES)))
def test_one_file_that_differs_is_named_before_the_first_batch(
    doubling: Path, scored: Scoring, columns: dict[str, Any], message: str
) -> None:
    write(scored.directory / "in" / "1.parquet", {"a": [1.0]})
    write(scored.directory / "in" / "2.parquet", columns)
    with pytest.raises(ScoringError, match=message):
        scored(doubling, scored.directory / "in")


TYPES = {
    "boolean": [True, False],
    "boolean with null": [True, None],
    "integer": pa.array([1, 5], pa.int32()),
    "long": [1, 5],
    "zero or one": [0, 1],
    "long with null": pa.array([1, None]),
    "float": pa.array([1, 5.5], pa.float32()),
    "double": [1, 5.5],
    "string": ["Duck", None],
    "binary": [b"Duck", None],
    "datetime": [datetime(2024, 1, 31), None],
    "date": [date(2024, 1, 31), None],
    "decimal": [Decimal("1.1"), None],
    "list": [[1.0], None],
    "category": pa.array(["Duck", None]).dictionary_encode(),
    "time zone": pa.array([datetime(2024, 1, 31), None], pa.timestamp("us", "UTC")),
    "unsigned": pa.array([1, 5], pa.uint64()),
}


@pytest.mark.parametrize("kind", DataType, ids=lambda kind: kind.name)
def test_a_column_is_refused_before_the_first_batch_if_and_only_if_predict_refuses_it(
    scored: Scoring, kind: DataType
) -> None:
    tmp_path = scored.directory
    model = save_model(tmp_path / "model", "return [1] * len(model_input)", signature(a=kind))
    loaded = mlflow.pyfunc.load_model(str(model))
    for number, (name, values) in enumerate(TYPES.items()):
        file = write(tmp_path / f"{number}.parquet", {"a": values})
        try:
            loaded.predict(pd.read_parquet(file))
            is_taken = True
        except Exception:
            is_taken = False
        scoring = Scoring(tmp_path / str(number))
        scoring.directory.mkdir()
        if is_taken:
            assert scoring(model, file).num_rows == 2, name
        else:
            with pytest.raises(ScoringError, match=f"column 'a' .*{number}.parquet") as told:
                scoring(model, file)
            assert "Duck" not in str(told.value)
            assert "31" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b\n1\n", "in.csv has no column 'a', which the model requires; add it"),
        ("a\n1\nDuck\n", "column 'a' of .*in.csv, row 2 has a value that is no double; correct it"),
        ("a,b\n1,2\n1,2,Duck\n", "in.csv, row 2 has 3 fields, and the header has 2; correct it"),
        ("a,b\n1,2\n1\n", "in.csv, row 2 has 1 fields, and the header has 2; correct it"),
        ('a,b\n1,2\n1,"Duck\n', "in.csv has a quote that is not closed; correct it"),
        ("a,prediction\n1,2\n", "in.csv has a column 'prediction', which the output adds; rename it"),
        ("a,model_name\n1,2\n", "in.csv has a column 'model_name', which the output adds; rename it"),
        (b"a,c\n1,D\xffuck\n", "column 'c' of .*in.csv, row 1 has text that is not UTF-8; correct it"),
    ],
)
def test_wrong_csv_is_told_without_its_data(
    doubling: Path, scored: Scoring, text: str | bytes, message: str
) -> None:
    (scored.directory / "in.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ScoringError, match=message) as told:
        scored(doubling, scored.directory / "in.csv")
    assert "Duck" not in str(told.value)


def test_a_null_among_lists_of_a_fixed_size_is_told(doubling: Path, scored: Scoring) -> None:
    lists = pa.array([[1, 2], None], pa.list_(pa.int64(), 2))
    file = write(scored.directory / "in.parquet", {"a": [1.0, 2.0], "v": lists})
    with pytest.raises(ScoringError, match=r"in.parquet has a column of lists of a fixed size, where one is"):
        scored(doubling, file)


def test_a_missing_whole_number_in_csv_is_told_with_its_column(tmp_path: Path, scored: Scoring) -> None:
    model = save_model(
        tmp_path / "model", "return [1] * len(model_input)", signature(n=DataType.long, a=DataType.long)
    )
    (tmp_path / "in.csv").write_text("n,a\n1,2\n3,\n")
    with pytest.raises(
        ScoringError, match=r"column 'a' has a value in rows 1 to 2 of .*in.csv that the model's"
    ):
        scored(model, tmp_path / "in.csv")


def test_csv_needs_a_signature(tmp_path: Path, scored: Scoring) -> None:
    model = save_model(tmp_path / "model", "return [1] * len(model_input)", None)
    (tmp_path / "in.csv").write_text("a\n1\n")
    with pytest.raises(
        ScoringError, match="the model has no signature, so nothing says which columns of CSV"
    ):
        scored(model, tmp_path / "in.csv")


def test_an_output_that_exists_is_refused(doubling: Path, scored: Scoring) -> None:
    file = write(scored.directory / "in.parquet", {"a": [1.0]})
    scored.output.mkdir()
    with pytest.raises(ScoringError, match="output exists; choose another OUTPUT, or remove it"):
        scored(doubling, file)
    assert list(scored.output.iterdir()) == []


def test_a_directory_that_is_not_there_is_told(doubling: Path, scored: Scoring) -> None:
    file = write(scored.directory / "in.parquet", {"a": [1.0]})
    with pytest.raises(
        ScoringError, match=r"can't write into .*/no: No such file or directory; correct that"
    ):
        Scoring(scored.directory / "no")(doubling, file)


def test_what_a_killed_run_left_is_removed(doubling: Path, scored: Scoring) -> None:
    left = scored.directory / ".output.scoring"
    left.mkdir()
    (left / "00000-abc.parquet").write_text("half")
    (left / "_lock").touch()
    found = scored(doubling, write(scored.directory / "in.parquet", {"a": [1.0]}))
    assert found.num_rows == 1
    assert sorted(path.name for path in scored.directory.iterdir()) == ["in.parquet", "output"]
    assert sorted(path.name for path in scored.output.iterdir()) == ["_manifest.json", "part-00000.parquet"]


def test_a_full_disk_is_told_as_that(
    doubling: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file = write(scored.directory / "in.parquet", {"a": [1.0]})
    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    with pytest.raises(ScoringError, match=r"there is no room in .*; make room, then run this again"):
        scored(doubling, file)
    assert sorted(path.name for path in scored.directory.iterdir()) == ["in.parquet"]


@pytest.mark.parametrize("place", ["_manifest.json", "part-00000.parquet"])
def test_an_error_at_the_end_is_told_and_leaves_no_output(
    doubling: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(path: Path) -> None:
        if path.name == place:
            raise OSError(5, "Input/output error")

    file = write(scored.directory / "in.parquet", {"a": [1.0]})
    monkeypatch.setattr("scorer.output._sync", full)
    with pytest.raises(
        ScoringError, match=r"can't write into .*: Input/output error; correct that, or choose"
    ):
        scored(doubling, file)
    assert sorted(path.name for path in scored.directory.iterdir()) == ["in.parquet"]


def test_what_fails_when_the_output_is_there_is_no_failure(
    doubling: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        if path == scored.directory:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("scorer.output._sync", fail)
    assert scored(doubling, write(scored.directory / "in.parquet", {"a": [1.0]})).num_rows == 1


def test_rows_that_are_missing_are_noticed(
    doubling: Path, scored: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.run.sum", lambda _: 5, raising=False)
    with pytest.raises(ScoringError, match="1 rows were written of 5; run this again"):
        scored(doubling, write(scored.directory / "in.parquet", {"a": [1.0]}))


def test_a_model_config_that_is_no_object_is_told(doubling: Path, scored: Scoring) -> None:
    from scorer.scoring import load

    with pytest.raises(
        ScoringError, match=r"SERVING_MODEL_CONFIG is no JSON object; correct it in model.env"
    ):
        load(str(doubling), "[1]")
    assert DOUBLES.inputs is not None
    assert scored.events == []

"""The table that is scored, and the check that two ways have given the same answers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sklearn.datasets import load_iris

from stack.errors import StackError

ID = "id"
_ROW_GROUPS = 5


def irises(rows: int) -> pa.Table:
    """Return irises as the data set has them, with noise, so that no two are equal; each has an ``id``."""
    iris = load_iris(as_frame=True).data
    random = np.random.default_rng(seed=1)
    drawn = iris.to_numpy()[random.integers(len(iris), size=rows)]
    drawn += random.normal(scale=0.2, size=drawn.shape)
    return pa.table(
        {ID: np.arange(rows)} | {str(name): drawn[:, number] for number, name in enumerate(iris.columns)}
    )


def write(table: pa.Table, file: Path) -> None:
    """Write a table as Parquet, in as many row groups as 5,000,000 rows have of a million each."""
    pq.write_table(table, file, row_group_size=-(-table.num_rows // _ROW_GROUPS))


def scored(output: Path) -> pa.Table:
    """Read a file or a directory, in the order of the input, without the columns that name the model."""
    table = ds.dataset(output, format="parquet").to_table()
    names = [name for name in table.column_names if not name.startswith("model_")]
    table = table.select(names).sort_by(ID).combine_chunks()
    # Kinds of texts, and what else a writer notes of a column, are no part of an answer.
    plain = [pa.field(field.name, _plain(field.type)) for field in table.schema]
    return table.cast(pa.schema(plain))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) else kind


def check(found: pa.Table, expected: pa.Table, way: str) -> None:
    """Compare all columns of all rows.

    Raises:
        StackError: if there are other columns, another number of rows, or another value.

    """
    if found.schema != expected.schema:
        raise StackError(f"{way}: expected the columns {expected.schema}, found {found.schema}")
    if found.num_rows != expected.num_rows:
        raise StackError(f"{way}: expected {expected.num_rows} rows, found {found.num_rows}")
    for name in expected.column_names:
        if not found[name].equals(expected[name]):
            raise StackError(f"{way}: values of the column {name} differ from those of plain pandas")

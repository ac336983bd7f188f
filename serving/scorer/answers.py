"""What a model answers to a batch, as columns of Arrow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from scorer.columns import PREDICTION
from scorer.job import ScoringError


def as_columns(predictions: Any, rows: int) -> dict[str, pa.Array]:  # noqa: ANN401 - whatever a model answers
    """Return the columns of an answer to so many rows: ``prediction``, or those of a table.

    None stays null, and NaN stays NaN.

    Raises:
        ScoringError: if it is no table, array or list with an answer for each row.

    """
    if isinstance(predictions, pd.DataFrame):
        named = {str(name): predictions.iloc[:, place] for place, name in enumerate(predictions.columns)}
        if len(named) < predictions.shape[1]:
            raise ScoringError("the model answers with two columns of one name; correct the model")
    elif isinstance(predictions, Mapping):
        named = {str(name): values for name, values in predictions.items()}
    else:
        named = {PREDICTION: predictions}
    found = {}
    for name, values in named.items():
        try:
            column = _as_array(values)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise ScoringError(
                f"the model's answers for {name!r} are no column: expected values of one type in a list,"
                f" array or Series, found {type(values).__name__}; correct the model"
            ) from error
        if len(column) != rows:
            raise ScoringError(f"the model gives {len(column)} answers to {rows} rows; correct the model")
        found[name] = column
    return found


def _as_array(values: Any) -> pa.Array:  # noqa: ANN401
    if isinstance(values, pd.Series):
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(values.cat.categories.dtype)
        if values.dtype != object and not isinstance(values.dtype, np.dtype):
            found = pa.array(values)
            return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        values = values.to_numpy()
    if hasattr(values, "toarray"):  # a sparse matrix
        values = values.toarray()
    if isinstance(values, np.ndarray) and values.ndim == 0:
        raise TypeError
    if isinstance(values, np.ndarray) and values.ndim > 1:
        inner = _as_array(values.reshape(-1))
        for size in reversed(values.shape[1:]):
            inner = pa.ListArray.from_arrays(np.arange(0, len(inner) + 1, size, dtype=np.int32), inner)
        return inner
    if isinstance(values, np.ndarray) and values.dtype != object:
        return pa.array(values)
    if isinstance(values, (str, bytes)):
        raise TypeError
    values = list(values)
    try:
        return pa.array(values, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # texts with NaN for what is missing
        return pa.array(values, from_pandas=True)

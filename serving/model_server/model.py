"""The model that is served: its own predict, on either path, and what is known of it."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from mlflow import __version__
from mlflow.pyfunc import PyFuncModel
from mlflow.types import DataType
from pandas.api.types import infer_dtype

from model_server.mlflow_internals import (
    as_json,
    direct_predict,
    is_typed_by_hint,
    prediction_contexts,
    wrap_predict,
)
from model_server.settings import Settings
from model_server.short_path import ShortPath
from model_server.signature import named_columns


@dataclass
class Outcome:
    """What became of one request in the model's own code, if MLflow asked it.

    ``missing`` is where the rows had no value, if the model failed on them.
    """

    failure: BaseException | None = None
    missing: str = ""
    is_asked: bool = False
    predictions: Any = None


# MLflow runs predict in a thread, with the context of the request that asked for it.
outcome_of_request: ContextVar[Outcome] = ContextVar("outcome_of_request")


class Model:
    """A pyfunc model whose predict tells its own failures from refused requests."""

    def __init__(self, pyfunc: PyFuncModel, settings: Settings) -> None:
        """Take the model over: from now on its predict reports to `outcome_of_request`."""
        self.pyfunc = pyfunc
        metadata = pyfunc.metadata
        self.schema = metadata.get_input_schema()
        self.params_schema = metadata.get_params_schema()
        params = self.params_schema
        self._params = None if params is None else {param.name: param.default for param in params.params}
        self._predict = direct_predict(pyfunc)
        self._context = prediction_contexts(pyfunc)
        self.columns = named_columns(self.schema)
        is_typed = is_typed_by_hint(metadata)
        is_scalar = all(column.kind is not None for column in self.columns)
        self.is_strict = settings.strict and is_scalar and bool(self.columns) and not is_typed
        of_text = [column.name for column in self.columns if column.kind == DataType.string]
        wrap_predict(pyfunc, functools.partial(_reporting, of_text if self.is_strict else []))
        is_short = ShortPath.fits(self.columns) and not is_typed
        self._short_path = ShortPath(self.columns, strict=settings.strict) if is_short else None
        self.identity = {
            "name": settings.name,
            "version": settings.version,
            "run_id": metadata.run_id or "unknown",
            "image_id": settings.image_id,
            "mlflow_version": __version__,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def answer(self, body: bytes) -> tuple[bytes, Any] | None:
        """Answer a JSON request, and return the predictions, too; None if the short path is not sure of it.

        Raises:
            Exception: whatever the model's own predict raises.

        """
        rows = self._short_path.read(body) if self._short_path else None
        if rows is None:
            return None
        # As PyFuncModel.predict does, which is not called, because it would check the schema.
        with self._context():
            predictions = self._predict(rows, None if self._params is None else self._params.copy())
        return as_json(predictions), predictions

    def missing_in(self, body: bytes) -> str:
        """Return where a request of the short path has no value; nothing if it has one everywhere."""
        return "" if self._short_path is None else missing_value(self._short_path.read(body))


def missing_value(data: Any) -> str:  # noqa: ANN401 - whatever MLflow gives to a model
    """Return where the first missing value of a table is; nothing if there is none, or no table."""
    if not isinstance(data, pd.DataFrame):
        return ""
    rows, columns = data.isna().to_numpy().nonzero()
    return f"column {data.columns[columns[0]]!r}, row {rows[0] + 1}" if len(rows) else ""


def _is_text(column: pd.Series) -> bool:
    """Whether a column of objects holds text or nothing; one in Parquet may hold lists."""
    return column.dtype == object and infer_dtype(column, skipna=True) in ("string", "empty")


def _reporting(of_text: list[str], predict: Callable[..., Any]) -> Callable[..., Any]:
    """Return a model's predict that reports; the columns ``of_text`` get pandas' type for text."""

    @functools.wraps(predict)
    def reporting(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        outcome = outcome_of_request.get()
        outcome.is_asked = True
        for name in of_text:
            if name in arguments[0] and _is_text(arguments[0][name]):
                arguments[0][name] = arguments[0][name].astype("str")
        try:
            outcome.predictions = predict(*arguments, **named)
        except BaseException as error:  # sys.exit, too, which would end the worker
            outcome.failure = error
            outcome.missing = missing_value(arguments[0]) if arguments else ""
            # Another, because MLflow puts the data into the message of this one.
            raise RuntimeError("the model failed") from None
        return outcome.predictions

    return reporting

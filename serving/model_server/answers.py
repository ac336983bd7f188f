"""The answers of the model server, before they are sent."""

import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mlflow.exceptions import MlflowException, RestException

JSON = b"application/json"
# What MLflow calls a status, as in `mlflow.exceptions`; and HTTP's name for 413, on which versions of Python
# differ. Any other status has HTTP's name, as Python knows it.
_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    413: "CONTENT_TOO_LARGE",
    499: "CANCELLED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# What a model's own exception may mean; 499 is for a client that has gone, and is not answered.
_REFUSALS = range(400, 499)
_LONGEST = 300

_logger = logging.getLogger(__name__)


@dataclass
class Answer:
    """One answer, before it is sent; ``predictions`` is what the model gave, for the metrics."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    predictions: Any = None


def without_nan(written: bytes) -> bytes:
    """Return JSON that Python has written with null for NaN and for infinite numbers, which JSON has not."""
    if b"NaN" not in written and b"Infinity" not in written:
        return written
    return json.dumps(json.loads(written, parse_constant=lambda _: None)).encode()


def refusal(status: int, message: str, *headers: tuple[bytes, bytes], code: str | None = None) -> Answer:
    """Return an error in MLflow's form; ``code`` is MLflow's name for it if that is not the usual one."""
    code = code or _CODES.get(status) or HTTPStatus(status).name
    return Answer(status, json.dumps({"error_code": code, "message": message}).encode(), headers=headers)


def model_failed() -> Answer:
    """Return the answer to a request on which the model's own code failed."""
    return refusal(500, "the model failed on this request; the log of the model server says how")


def too_slow(timeout: int) -> Answer:
    """Return the answer to a request that took longer than ``timeout`` seconds."""
    return refusal(504, f"the model took longer than {timeout} s")


def raised_by_model(error: BaseException, missing: str = "") -> Answer:
    """Return the model's own refusal, an MlflowException with a status of 4xx; else say that it failed.

    ``missing`` is where the request has no value, if there is such a place. That may be why the model failed,
    so the status is then MLflow's for each failure of a model, 400.
    """
    # The client must not see what another server answered to the model.
    if (
        isinstance(error, MlflowException)
        and not isinstance(error, RestException)
        and error.get_http_status_code() in _REFUSALS
    ):
        return refusal(
            error.get_http_status_code(), str(error).partition("\n")[0][:_LONGEST], code=error.error_code
        )
    _logger.error("the model failed", exc_info=error)
    if missing and isinstance(error, Exception) and not isinstance(error, MlflowException):
        why = (
            f"the model failed on this request, which has no value in {missing}; the log of the model server"
        )
        return refusal(400, f"{why} says how", code="BAD_REQUEST")
    return model_failed()

"""The other path: a request is handed to MLflow's own application as it came; its errors are told anew."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from model_server.answers import Answer, model_failed, raised_by_model, refusal, too_slow, without_nan
from model_server.mlflow_internals import application, refused_as_chat, refused_by_hint
from model_server.model import Model, Outcome, outcome_of_request
from model_server.refusal import Misfit, explain
from model_server.strict import exact

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_NO_CHAT = (
    "a message or an option of the chat lacks something that MLflow requires, or holds a value of another"
    " type; GET /docs shows an example"
)

_logger = logging.getLogger(__name__)


class Handover:
    """MLflow's application around a model."""

    def __init__(self, model: Model, timeout: int) -> None:
        """Make it; ``timeout`` is in seconds."""
        self.application = application(model.pyfunc)
        self._timeout = timeout
        self._params = model.params_schema
        self._columns = model.columns
        self._is_strict = model.is_strict

    async def answer(self, scope: Message, content_type: str, body: bytes) -> Answer:
        """Answer a request for predictions with what MLflow answers; an error in a sentence of our own."""
        if self._is_strict:
            try:
                async with asyncio.timeout(self._timeout):
                    content_type, body = await asyncio.to_thread(exact, content_type, body, self._columns)
                scope = {**scope, "headers": [(b"content-type", content_type.encode("latin-1"))]}
            except TimeoutError:
                return too_slow(self._timeout)
            except Misfit as wrong:
                return refusal(400, str(wrong), code="BAD_REQUEST")
        outcome = Outcome()
        outcome_of_request.set(outcome)
        received: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            return received.pop() if received else await asyncio.Future()

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            # MLflow's own limit of time sends an answer, but waits for the model before it returns.
            async with asyncio.timeout(self._timeout):
                await self.application(scope, receive, send)
        except TimeoutError:
            return too_slow(self._timeout)
        except RecursionError:
            return refusal(400, "the JSON is nested too deeply")
        except Exception:
            if outcome.failure is None and not sent:
                raise
            _logger.exception("MLflow's scoring server failed")
        status = sent[0]["status"] if sent else 500
        written = b"".join(message.get("body", b"") for message in sent)
        if status < 400:
            content_type_sent = dict(sent[0]["headers"])[b"content-type"]
            return Answer(status, without_nan(written), content_type_sent, (), outcome.predictions)
        code = _code(written) if status == 400 else None
        return await self._error(status, code, outcome, content_type, body)

    async def _error(
        self, status: int, code: str | None, outcome: Outcome, content_type: str, body: bytes
    ) -> Answer:
        if outcome.failure is not None:
            if refused_as_chat(outcome.failure):
                return refusal(400, _NO_CHAT, code=code)
            if not refused_by_hint(outcome.failure):
                return raised_by_model(outcome.failure, outcome.missing)
            code = getattr(outcome.failure, "error_code", code)
            if code == "INTERNAL_ERROR":  # MLflow stumbled over the request
                code = None
        if status == 504:
            return too_slow(self._timeout)
        if status >= 500:
            if outcome.is_asked and outcome.failure is None:  # what it answered can't be written as JSON
                return model_failed()
            status = 400  # MLflow stumbled over the request
        try:
            async with asyncio.timeout(self._timeout):
                why = await asyncio.to_thread(explain, content_type, body, self._columns, self._params)
        except TimeoutError:
            return too_slow(self._timeout)
        return refusal(status, why, code=code)


def _code(written: bytes) -> str | None:
    """Return the error_code of an error that MLflow has written, if it has one."""
    try:
        code: str = json.loads(written)["error_code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code

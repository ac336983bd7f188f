"""The ASGI application: the short path for common requests, MLflow's scoring server for all others.

Within one worker, HTTP is spoken by the event loop; requests are read, checked and answered by the model in
threads, so that a slow one does not keep health checks waiting. A model that has shown itself quick is asked
by the event loop.
"""

import asyncio
import hmac
import json
import logging
import time
from contextlib import suppress

from mlflow.pyfunc import PyFuncModel
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from model_server import metrics
from model_server.answers import JSON, Answer, model_failed, refusal
from model_server.asking import Asking
from model_server.handover import Handover, Message, Receive, Send
from model_server.hosts import known_host
from model_server.mlflow_internals import CONTENT_TYPES
from model_server.model import Model
from model_server.openapi import openapi
from model_server.pages import pages
from model_server.settings import Settings

_SHORT = (JSON, b"application/json; charset=utf-8", b"application/json;charset=utf-8")
_GONE = 499
_UNKNOWN_HOST = (
    "the Host of the request is neither localhost nor a name that SERVER_ALLOWED_HOSTS lists; ask for it by"
    " its address, or add the name to that setting"
)
_NO_GATEWAY = "this server answers the gateway only; ask that"
_HEALTH = ("/ping", "/health")
# A worker holds the bodies of so many of the largest requests; smaller ones than _SMALL are always taken.
_LARGEST_BODIES = 8
_SMALL = 64 * 1024
# What is read of a body that was refused, so that a client which sends all of it first can read the answer.
_MOST_UNREAD = 64 * 1024 * 1024
_UNREAD_SECONDS = 10
_CLOSE = (b"connection", b"close")

_logger = logging.getLogger(__name__)


class Application:
    """Serves one model; made once, before the workers are forked."""

    def __init__(self, pyfunc: PyFuncModel, settings: Settings) -> None:
        """Take the model, and MLflow's own application around it."""
        self.settings = settings
        self.draining = False
        self._model = Model(pyfunc, settings)
        self._handover = Handover(self._model, settings.timeout)
        metadata = pyfunc.metadata
        outputs = metadata.get_output_schema()
        self._metrics = metrics.Metrics(settings.name, settings.version, outputs)
        example = metadata.get_serving_input(settings.model_path)
        document = openapi(
            self._model.identity, self._model.schema, outputs, self._model.params_schema, example
        )
        self._most_held = 0
        self._app: ASGIApp = self._respond
        if settings.cors_origins:
            self._app = CORSMiddleware(
                self._respond,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "HEAD", "POST"),
                allow_headers=("*",),
                allow_private_network=True,  # a page of the internet that asks a server on localhost
            )
        self._pages = pages(self._model.identity, document)
        self._secret = settings.gateway_secret
        self._is_known_host = known_host(settings.allowed_hosts)
        self._held = 0
        self._asking = Asking(self._model, settings)

    @property
    def is_stuck(self) -> bool:
        """Whether all threads of this worker are held by predictions that nobody waits for any more."""
        return self._asking.is_stuck

    def has_dropped_large_bodies(self) -> bool:
        """Whether more than one of the largest bodies were held since the last call, and are no more."""
        if self._most_held <= self.settings.max_body or self._held > self.settings.max_body:
            return False
        self._most_held = 0
        return True

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        await self._app(scope, receive, send)

    async def _respond(self, scope: Message, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        headers = dict(scope["headers"])
        if not self._is_known_host(headers.get(b"host")):
            await self._send(send, refusal(403, _UNKNOWN_HOST, _CLOSE), _Body(receive))
            return
        if self._secret and path not in _HEALTH and not self._is_gateway(headers):
            await self._send(send, refusal(403, _NO_GATEWAY, _CLOSE), _Body(receive))
            return
        if method == "HEAD":  # uvicorn sends the headers of what GET gets
            scope, method = {**scope, "method": "GET"}, "GET"
        if path == "/invocations" and method == "POST":
            await self._invocations(scope, headers, receive, send)
        elif method != "GET":
            await self._handover.application(scope, receive, send)
        elif path == "/redoc":  # MLflow's own comes from the internet
            await self._send(send, refusal(404, "there is no such page; see /docs"))
        elif path in _HEALTH:
            await self._send(send, Answer(200, b"\n"))
        elif path == "/metrics":
            await self._send(send, Answer(200, metrics.written(), metrics.CONTENT_TYPE.encode()))
        elif path in self._pages:
            content_type, body = self._pages[path]
            await self._send(send, Answer(200, body, content_type))
        else:
            await self._handover.application(scope, receive, send)

    def _is_gateway(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(headers.get(b"x-gateway-secret", b""), self._secret)

    async def _invocations(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        started = time.perf_counter()
        self._metrics.begin()
        size, incoming = 0, _Body(receive)
        try:
            body = await self._read(headers, incoming)
            if isinstance(body, Answer):
                answer = body
            else:
                started, size = time.perf_counter(), len(body)
                answer = await self._answer(scope, headers, body)
        except ConnectionResetError:
            answer = refusal(_GONE, "the client has gone")
        except Exception:
            _logger.exception("a request failed")
            answer = model_failed()
        finally:
            self._held -= incoming.size
        seconds = time.perf_counter() - started
        try:
            if answer.status != _GONE:
                await self._send(send, answer, incoming)
        finally:  # the client does not wait until its request is counted
            self._metrics.end(answer.status, seconds, answer.predictions)
            if self.settings.request_log:
                _log_request(answer, seconds, size)

    async def _read(self, headers: dict[bytes, bytes], incoming: "_Body") -> bytes | Answer:
        """Return the body, or why it is not read."""
        if self._asking.pending >= self.settings.queue:
            return _too_many("requests")
        limit, parts = self.settings.max_body, []
        try:
            if int(headers.get(b"content-length") or 0) <= limit:
                async with asyncio.timeout(self.settings.timeout):
                    while incoming.has_more and incoming.size <= limit:
                        part = await incoming.part()
                        self._held += len(part)
                        self._most_held = max(self._most_held, self._held)
                        if self._held > _LARGEST_BODIES * limit and incoming.size > _SMALL:
                            return _too_many("large bodies")
                        parts.append(part)
                if incoming.size <= limit:
                    is_full = self._asking.pending >= self.settings.queue  # by now
                    return _too_many("requests") if is_full else b"".join(parts)
        except TimeoutError:
            return refusal(408, f"the body did not come within {self.settings.timeout} s", _CLOSE)
        return refusal(413, f"the body is too large: at most {limit} bytes", _CLOSE)

    async def _answer(self, scope: Message, headers: dict[bytes, bytes], body: bytes) -> Answer:
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return refusal(
                415,
                "the body has a Content-Encoding, and none is decoded here: send it as it is, without one",
                (b"accept-encoding", b"identity"),
            )
        content_type = headers.get(b"content-type")
        if content_type is None:
            return refusal(415, f"there is no Content-Type: send one of {', '.join(CONTENT_TYPES)}")
        if content_type in _SHORT:
            answer = await self._asking.answer(body)
            if answer is not None:
                return answer
        return await self._handover.answer(scope, content_type.decode("latin-1"), body)

    async def _send(self, send: Send, answer: Answer, incoming: "_Body | None" = None) -> None:
        headers = [
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            *answer.headers,
        ]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        is_unread = incoming is not None and incoming.has_more
        await send({"type": "http.response.body", "body": answer.body, "more_body": is_unread})
        if incoming is not None and is_unread:
            await incoming.discard()
            await send({"type": "http.response.body", "body": b""})


class _Body:
    """The body of a request, as it comes; ``size`` is how many bytes have come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.size = 0
        self.has_more = True

    async def part(self) -> bytes:
        """Return what comes next.

        Raises:
            ConnectionResetError: if the client has gone before the end of it.

        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part: bytes = message.get("body", b"")
        self.size += len(part)
        self.has_more = message.get("more_body", False)
        return part

    async def discard(self) -> None:
        """Read the rest of a body that was refused, to a bound in bytes and in time.

        The client has its answer. If the connection were closed while it still sends, it would see that only.
        """
        end = self.size + _MOST_UNREAD
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(_UNREAD_SECONDS):
                while self.has_more and self.size < end:
                    await self.part()


def _too_many(what: str) -> Answer:
    return refusal(503, f"too many {what} wait already; try again later", (b"retry-after", b"1"), _CLOSE)


def _log_request(answer: Answer, seconds: float, size: int) -> None:
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "status": answer.status,
        "milliseconds": round(seconds * 1000, 3),
        "request_bytes": size,
        "response_bytes": len(answer.body),
    }
    print(json.dumps(line), flush=True)

"""Who may ask the tracking server behind a gateway, where both are local processes: the gateway only.

It shows a secret. Health checks need none: they say no more than up or down.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Message, Receive, Send], Awaitable[None]]

_HEADER = b"x-gateway-secret"
_OPEN = "/health"
_REFUSAL = b"The tracking server answers the gateway only; ask that\n"


class Door:
    """ASGI middleware, to be put around all others."""

    def __init__(self, app: ASGI, secret: str) -> None:
        """Take the application, and what the gateway shows."""
        self._app, self._secret = app, secret.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what the gateway asks; answer 403 to others."""
        if scope["type"] == "lifespan" or scope["path"] == _OPEN or self._is_let_in(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: 403
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(_REFUSAL))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})

    def _is_let_in(self, scope: Message) -> bool:
        shown = dict(scope["headers"]).get(_HEADER, b"")
        return hmac.compare_digest(shown, self._secret)

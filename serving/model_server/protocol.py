"""HTTP/1.1, as uvicorn speaks it, but for what it gets wrong."""

from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from model_server.answers import refusal

# Bytes of headers, or of anything else that is no body.
_LONGEST_HEADERS = 128 * 1024
_HEADERS_SECONDS = 15


class Protocol(HttpToolsProtocol):
    """Bounds headers in bytes and in time, and ignores an upgrade.

    It answers a request that asks for another protocol over HTTP/1.1, as if it had not asked. A server may:
    https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8. The parser takes what follows the headers for the
    other protocol, so the body would be lost.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as in the base class
        """Take what uvicorn gives."""
        super().__init__(*arguments, **named)
        self._unused = 0
        self._last: object = None
        self._seconds = 0

    def look(self) -> None:
        """Close a connection whose next headers do not come; called once a second."""
        is_waiting = self.cycle is None or self.cycle.response_complete
        # Another cycle than a second ago is another request.
        self._seconds = self._seconds + 1 if is_waiting and self.cycle is self._last else 0
        self._last = self.cycle
        # An answered request is followed by uvicorn's own timeout, which ends when a byte comes.
        if self._seconds > _HEADERS_SECONDS + (self.timeout_keep_alive if self.cycle else 0):
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._unused = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unused = 0
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._unused += len(data)
        self._parse(data)
        if self._unused > _LONGEST_HEADERS and not self.transport.is_closing():
            self._refuse_headers()

    def _refuse_headers(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            body = refusal(431, f"the headers are too large: at most {_LONGEST_HEADERS} bytes").body
            headers = b"content-type: application/json\r\nconnection: close\r\n"
            self.transport.write(
                b"%s%scontent-length: %d\r\n\r\n%s" % (STATUS_LINE[431], headers, len(body), body)
            )
        self.transport.close()

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                return super().data_received(data)
            except HttpParserUpgrade as upgrade:
                data = self._headers_without_upgrade() + data[upgrade.args[0] :]
                # As uvicorn makes it. The old one reads nothing more after `Connection: close`.
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _should_upgrade(self) -> bool:
        """Have uvicorn hold a request with an upgrade back."""
        return self.scope["method"] != "CONNECT"

    def handle_websocket_upgrade(self) -> None:
        """Raise what uvicorn has caught: where the headers of a request with an upgrade end."""
        raise

    def _headers_without_upgrade(self) -> bytes:
        line = b"%s %s HTTP/%s\r\n" % (
            self.scope["method"].encode(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        headers = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return line + b"".join(headers) + b"\r\n"

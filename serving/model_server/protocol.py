"""HTTP/1.1, as uvicorn speaks it, but for what it gets wrong."""

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Protocol(HttpToolsProtocol):
    """Answers a request that asks for another protocol over HTTP/1.1, as if it had not asked.

    A server may ignore an upgrade: https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8. The parser takes
    what follows the headers for the other protocol, so the body would be lost.
    """

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
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

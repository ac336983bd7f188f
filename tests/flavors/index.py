"""A company's index, as in tests/e2e/behind_the_wall.py, that leads to the usual one for all but PyTorch.

On the usual one, PyTorch comes with gigabytes of CUDA; this one has it for the CPU.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

from certifi import where
from pip._internal.commands import create_command

from tests.e2e.behind_the_wall import INDEX_NAME, Company, Index, Proxy, index_server, make_certificates


def usual_index() -> str:
    """Return the index that pip is set to on this machine."""
    options, _ = create_command("download").parse_args([])
    return str(options.index_url).rstrip("/")


class _Index(Index):
    usual: str

    def do_GET(self) -> None:  # noqa: N802 - the name that the base calls
        name = self.path.removeprefix("/simple").strip("/")
        if not self.path.startswith("/simple/") or name == "torch":
            super().do_GET()
            return
        self.send_response(302)
        self.send_header("Location", f"{self.usual}/{name}/")
        self.send_header("Content-Length", "0")
        self.end_headers()


class _Proxy(Proxy):
    """Leads to the index by its name, and to all others by theirs."""

    def address(self) -> tuple[str, int]:
        host, _, port = self.path.partition(":")
        return self.index if host == INDEX_NAME else (host, int(port))


@contextmanager
def index(wheels: Path, address: str, directory: Path) -> Iterator[dict[str, str]]:
    """Run the index, and a proxy at this address; yield the settings by which a stack uses them."""
    directory.mkdir()
    make_certificates(directory)
    certificates = directory / "all.pem"
    usual = ssl.get_default_verify_paths().cafile or where()
    certificates.write_text(Path(usual).read_text() + (directory / "ca.pem").read_text())
    log = directory / "requests.log"
    _Index.requests = _Proxy.requests = log
    _Index.usual = usual_index()
    own = index_server(_Index, ("127.0.0.1", 0), str(wheels), directory)
    _Proxy.index = ("127.0.0.1", own.server_port)
    proxy = ThreadingHTTPServer((address, 0), _Proxy)
    for server in (own, proxy):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxied = f"http://{address}:{proxy.server_port}"
        yield Company(f"https://me:hunter2@{INDEX_NAME}/simple", proxied, certificates, log).settings
    finally:
        for server in (own, proxy):
            server.shutdown()
            server.server_close()

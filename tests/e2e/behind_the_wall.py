"""A network without a way out, a Docker engine in it, and a company's package index behind its proxy."""

import base64
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stack.config import CHECKOUT
from stack.wait import wait_until

# No name server knows this name, and there is none: only the company's proxy leads there.
INDEX_NAME = "packages.company.test"
_LIMIT = 600


def missing_for_a_wall() -> str:
    """Say why no network without a way out can be made here; empty if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "making a network namespace takes root on Linux"
    absent = [name for name in ("ip", "unshare", "nsenter", "dockerd") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@dataclass(frozen=True)
class Wall:
    """A network namespace that has only its own loopback; commands run in it."""

    keeper: subprocess.Popen[bytes]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def command(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.keeper.pid}", "--net", *command]

    def run(self, *command: str, cwd: Path = CHECKOUT, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command),
            cwd=cwd,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )

    def did(self, *command: str, cwd: Path = CHECKOUT, **settings: str) -> str:
        done = self.run(*command, cwd=cwd, **settings)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-8000:]}{done.stderr[-8000:]}"
        return done.stdout + done.stderr

    @contextmanager
    def running(self, *command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server behind the wall; at the end it gets SIGTERM, and time to clean up."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(*command),
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def wall() -> Iterator[Wall]:
    """Make the namespace; it goes when the last process in it has ended."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"]
    keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"up\n"
        yield Wall(keeper)
    finally:
        keeper.kill()
        keeper.wait()


@contextmanager
def engine(behind: Wall) -> Iterator[Path]:
    """Run a Docker engine of its own behind the wall, with no image and no cache; yield its socket."""
    directory = Path(
        tempfile.mkdtemp(prefix="engine-")
    )  # not pytest's: a socket's path has room for 104 bytes
    address, log = directory / "docker.sock", directory / "dockerd.log"
    options = (
        f"--data-root={directory / 'data'}",
        f"--exec-root={directory / 'exec'}",
        f"--pidfile={directory / 'dockerd.pid'}",
        f"--host=unix://{address}",
    )
    try:
        with behind.running("dockerd", *options, log=log) as daemon:
            asked = ["docker", f"--host=unix://{address}", "version"]
            wait_until(
                lambda: subprocess.run(asked, capture_output=True, text=True).stderr or None,
                timeout=60,
                interval=0.2,
                alive=lambda: daemon.poll() is None,
            )
            yield address
    except BaseException:
        print(log.read_text(errors="replace")[-4000:])
        raise
    finally:
        # An engine that failed leaves its directory mounted on itself.
        subprocess.run(["umount", "--recursive", "--lazy", directory / "data"], capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Company:
    """What a company's developers are given: an index, a proxy, a file of certificates."""

    index: str
    proxy: str
    certificates: Path
    log: Path

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PACKAGE_INDEX": self.index,
            "HTTPS_PROXY": self.proxy,
            "CA_CERTIFICATES": str(self.certificates),
        }

    def requests(self) -> list[str]:
        """Return what has been asked so far: `CONNECT HOST` of the proxy, `GET PATH` of the index."""
        return self.log.read_text().splitlines()


@contextmanager
def company(behind: Wall, wheels: Path, directory: Path, ports: tuple[int, int]) -> Iterator[Company]:
    """Run an index of those wheels, which wants a password, and the proxy that alone leads there."""
    directory.mkdir()
    make_certificates(directory)
    log = directory / "requests.log"
    log.touch()
    arguments = [str(wheels), str(directory), str(ports[0]), str(ports[1])]
    printed = directory / "server.log"
    with behind.running(sys.executable, "-m", "tests.e2e.behind_the_wall", *arguments, log=printed) as server:
        wait_until(
            lambda: None if "listening" in printed.read_text() else printed.read_text() or "not begun",
            timeout=30,
            alive=lambda: server.poll() is None,
        )
        yield Company(
            f"https://me:hunter2@{INDEX_NAME}/simple",
            f"http://127.0.0.1:{ports[1]}",
            directory / "ca.pem",
            log,
        )


def make_certificates(directory: Path) -> None:
    """Write a new authority's certificate, ca.pem, and the index's with its key, server.pem."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The company")])
    names = x509.SubjectAlternativeName([x509.DNSName(INDEX_NAME)])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, INDEX_NAME)])
    ca = _sign(root, root, authority, authority, x509.BasicConstraints(ca=True, path_length=0))
    leaf = _sign(subject, root, key, authority, names)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "ca.pem").write_bytes(ca)
    (directory / "server.pem").write_bytes(leaf + private)


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> bytes:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    # Python 3.13 asks for both.
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False
    )
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Index(SimpleHTTPRequestHandler):
    """PEP 503: /simple/NAME/ lists the wheels of a package, /NAME.whl is one."""

    protocol_version = "HTTP/1.1"
    requests: Path
    password = "Basic " + base64.b64encode(b"me:hunter2").decode()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self.password:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        note(self.requests, f"GET {self.path}")
        if not self.path.startswith("/simple/"):
            super().do_GET()
            return
        name = self.path.removeprefix("/simple/").strip("/")
        page = "".join(
            f'<a href="/{file.name}">{file.name}</a>\n'
            for file in sorted(Path(self.directory).glob("*.whl"))
            if re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower() == name
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        """Nothing: the requests are noted."""


def index_server(
    handler: type[Index], address: tuple[str, int], wheels: str, directory: Path
) -> ThreadingHTTPServer:
    """Make the server of an index of those wheels, with the certificate that is in ``directory``."""
    server = ThreadingHTTPServer(address, lambda *given: handler(*given, directory=wheels))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


class Proxy(SimpleHTTPRequestHandler):
    """Leads every CONNECT to the index, and nowhere else."""

    requests: Path
    index: tuple[str, int]

    def address(self) -> tuple[str, int]:
        return self.index

    def do_CONNECT(self) -> None:
        note(self.requests, f"CONNECT {self.path}")
        with socket.create_connection(self.address()) as other:
            self.send_response(200)
            self.end_headers()
            relay(self.connection, other)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        """Nothing: the requests are noted."""


def relay(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on in both directions, until one side has said all."""
    while True:
        readable, _, _ = select.select([one, other], [], [], 60)
        if not readable:
            return
        for side in readable:
            data = side.recv(65536)
            if not data:
                return
            (other if side is one else one).sendall(data)


def note(file: Path, line: str) -> None:
    with file.open("a") as opened:
        opened.write(f"{line}\n")


def main() -> None:
    """Serve the index and the proxy: WHEELS DIRECTORY INDEX_PORT PROXY_PORT."""
    wheels, directory = sys.argv[1], Path(sys.argv[2])
    index_port, proxy_port = (int(text) for text in sys.argv[3:])
    Index.requests = Proxy.requests = directory / "requests.log"
    Proxy.index = ("127.0.0.1", index_port)
    index = index_server(Index, Proxy.index, wheels, directory)
    threading.Thread(target=index.serve_forever, daemon=True).start()
    proxy = ThreadingHTTPServer(("127.0.0.1", proxy_port), Proxy)
    print("listening", flush=True)
    proxy.serve_forever()


if __name__ == "__main__":
    main()

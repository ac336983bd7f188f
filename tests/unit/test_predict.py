import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stack.__main__ import main
from stack.config import CHECKOUT
from stack.errors import StackError
from stack.release.predict import predict


class ModelServer(BaseHTTPRequestHandler):
    """Answers with the request's content type and body; refuses an empty one, and fails on `fail`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if body == b"fail" else 200 if body else 400)
        self.end_headers()
        self.wfile.write(f"{self.headers['Content-Type']} {body.decode() or 'no rows'}".encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), ModelServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("name", "content_type"), [("a.json", "application/json"), ("a.csv", "text/csv")])
def test_a_file_is_sent_as_what_its_name_says(url: str, tmp_path: Path, name: str, content_type: str) -> None:
    file = tmp_path / name
    file.write_text("rows")
    assert predict(url, file, 60) == f"{content_type} rows"


@pytest.mark.parametrize(
    ("body", "says", "hint"),
    [("", "400: application/json no rows", True), ("fail", "500: application/json fail", False)],
)
def test_a_refusal_is_told_with_the_servers_words_and_the_way_out_if_the_request_is_wrong(
    url: str, tmp_path: Path, body: str, says: str, *, hint: bool
) -> None:
    file = tmp_path / "rows.json"
    file.write_text(body)
    with pytest.raises(StackError) as raised:
        predict(url, file, 60)
    told = f"the model server refused {file} with status {says}"
    assert str(raised.value) == told + (f"; {url}/docs shows what it takes" if hint else "")


def test_a_missing_file_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"can't read .*none.json \(No such file or directory\)"):
        predict(url, tmp_path / "none.json", 60)


def test_a_server_that_is_not_there_is_told_with_the_way_to_start_it(
    tmp_path: Path, free_ports: tuple[int, int]
) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(StackError, match=r"nothing answers at .* run: \./scripts/up"):
        predict(f"http://127.0.0.1:{free_ports[0]}", file, 60)


def test_without_a_file_the_example_of_the_model_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stack", "predict"])
    monkeypatch.setenv("SERVING_PORT", url.rpartition(":")[2])
    monkeypatch.setenv("MODEL_DIR", "examples/diabetes")
    assert main() == 0
    example = (CHECKOUT / "examples" / "diabetes" / "example.json").read_text()
    assert capsys.readouterr().out == f"application/json {example}\n"


def test_a_proxy_does_not_come_between(
    url: str, tmp_path: Path, free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports[0]}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "a.json"
    file.write_text("{}")
    assert predict(url, file, 60) == "application/json {}"

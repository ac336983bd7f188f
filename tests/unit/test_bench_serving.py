import argparse
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.errors import StackError
from tests.bench.load import Load, ask, http_request, measure
from tests.bench.measure import shown, spread
from tests.bench.picture import draw
from tests.bench.report import report
from tests.bench.results import CELLS, Cell, Footprint, Run, Target, p50, ratios
from tests.bench.servers import (
    ALL,
    BAKED,
    FASTAPI,
    IMAGE,
    IMAGES,
    MLFLOW,
    OURS,
    PEERS,
    Peer,
    Place,
    v2_answers,
    v2_request,
)
from tests.bench.serving import chosen

ANSWER = b'{"predictions":["setosa"]}'


@contextmanager
def serving(answers: list[bytes], *, keep_alive: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Serve these answers in turn, the last one for ever; yield the port and the clients' addresses."""
    clients = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            clients.append(str(self.client_address))
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            if not keep_alive:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1], clients
        server.shutdown()
        thread.join()


def run_of(times: dict[str, float]) -> Run:
    """Return a run in which a server was as slow as that in everything."""
    return Run(
        loads={
            (name, cell): Load(p50=time, p99=2 * time, rate=1 / time)
            for name, time in times.items()
            for cell in CELLS
        },
        footprints={name: Footprint(time, 100 * time, 200 * time) for name, time in times.items()},
    )


def test_each_client_keeps_its_connection() -> None:
    with serving([ANSWER]) as (port, clients):
        found = measure(port, http_request("/invocations", b"{}"), ANSWER, clients=4, seconds=0.05)
        assert len(set(clients)) == 4
        assert 0 < found.p50 <= found.p99
        assert len(clients) > found.rate * 0.05 / 2


def test_a_client_whose_connection_the_server_closes_connects_again() -> None:
    with serving([ANSWER], keep_alive=False) as (port, clients):
        measure(port, http_request("/invocations", b"{}"), ANSWER, clients=2, seconds=0.05)
        assert len(set(clients)) == len(clients) > 2


def test_an_answer_that_is_not_the_one_of_before_ends_the_measurement() -> None:
    with serving([ANSWER, ANSWER, b"{}"]) as (port, _), pytest.raises(StackError, match="of before, found"):
        measure(port, http_request("/invocations", b"{}"), ANSWER, clients=1, seconds=1)


def test_a_large_answer_comes_whole() -> None:
    large = b"x" * 5_000_000
    with serving([large]) as (port, _):
        assert ask(port, http_request("/invocations", b"{}")) == (200, large)


@pytest.mark.parametrize("peer", ALL, ids=lambda peer: peer.name)
def test_a_server_is_told_its_port_and_listens_on_this_machine_only(peer: Peer, tmp_path: Path) -> None:
    image = "stock" if peer in IMAGES else ""
    place = Place(tmp_path / "model", tmp_path / "bin", 1234, 1235, tmp_path, image)
    told = " ".join([*peer.command(place), *peer.settings(place).values()])
    assert "1234" in told
    assert "127.0.0.1" in told


@pytest.mark.parametrize("peer", [peer for peer in ALL if peer.environment], ids=lambda peer: peer.name)
def test_the_packages_of_a_peer_are_pinned_exactly(peer: Peer) -> None:
    lines = (PEERS / peer.environment / "requirements.txt").read_text().splitlines()[1:]
    assert len(lines) > 10
    assert [line for line in lines if "==" not in line.split(";")[0] or "//" in line] == []


def test_the_open_inference_protocol_has_a_tensor_for_each_column() -> None:
    assert v2_request(["a", "b"], [[1.0, 2.0], [3.0, 4.0]]) == (
        b'{"inputs":[{"name":"a","datatype":"FP64","shape":[2,1],"data":[1.0,3.0]},'
        b'{"name":"b","datatype":"FP64","shape":[2,1],"data":[2.0,4.0]}]}'
    )
    assert v2_answers(b'{"id": "1", "outputs": [{"name": "output-1", "data": ["setosa"]}]}') == ["setosa"]


def test_a_ratio_compares_what_was_measured_in_the_same_run() -> None:
    runs = [run_of({"ours": 1, "mlflow": 10}), run_of({"ours": 4, "mlflow": 20})]
    assert ratios(runs, p50(Cell(1, 3)), "ours", "mlflow") == [0.1, 0.2]


@pytest.mark.parametrize(
    ("at_least", "found", "verdict"),
    [
        (False, [0.9, 0.8, 0.1], "met"),
        (False, [0.9, 0.88, 0.1], "missed by 10%"),
        (True, [0.8, 5, 5], "met"),
        (True, [0.6, 0.6, 5], "missed by 25%"),
    ],
)
def test_the_median_of_the_ratios_decides(at_least: bool, found: list[float], verdict: str) -> None:
    assert Target("", "mlflow", 0.8, p50(Cell(1, 3)), at_least=at_least).verdict(found) == verdict


def test_the_report_judges_against_the_stock_image_if_there_is_one() -> None:
    runs = [run_of({"ours": 1, "mlflow": 10, "image": 20, "fastapi": 2})]
    with_image = "\n".join(report(runs, [OURS, FASTAPI, MLFLOW, IMAGE]))
    assert "| p50, 1 client, 3 rows | MLflow's stock image | at most 0.15 | 0.050" in with_image
    assert "| start-up | mlflow models serve | at most 1 | 0.100" in with_image
    two_images = [run_of({"ours": 1, "baked": 2, "mlflow": 10, "image": 20, "fastapi": 2})]
    like_with_like = "\n".join(report(two_images, [OURS, BAKED, FASTAPI, MLFLOW, IMAGE]))
    assert "| p50, 1 client, 3 rows | MLflow's stock image | at most 0.15 | 0.100" in like_with_like
    assert "| p50, 1 client, 3 rows | FastAPI by hand | at most 0.8 | 0.500" in like_with_like
    without = "\n".join(report(runs, [OURS, MLFLOW]))
    assert "| p50, 1 client, 3 rows | mlflow models serve | at most 0.15 | 0.100" in without
    assert "FastAPI" not in without
    assert "wanted" not in "\n".join(report(runs, [FASTAPI, MLFLOW]))


def test_numbers_are_shown_with_three_digits_and_their_range() -> None:
    assert [shown(value) for value in (0.0456, 1.234, 12.34, 123.4, 12345)] == [
        "0.046",
        "1.23",
        "12.3",
        "123",
        "12,345",
    ]
    assert spread([3, 1, 2]) == "2.00 (1.00 to 3.00)"


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    runs = [run_of({"ours": 1, "mlflow": 10}), run_of({"ours": 2, "mlflow": 9})]
    draw(runs, [OURS, MLFLOW], tmp_path / "docs" / "serving.svg")
    picture = (tmp_path / "docs" / "serving.svg").read_text()
    assert "<svg" in picture


def test_servers_are_chosen_by_name() -> None:
    assert chosen("mlflow,ours,ours") == [OURS, MLFLOW]
    with pytest.raises(argparse.ArgumentTypeError, match="found theirs"):
        chosen("ours,theirs")

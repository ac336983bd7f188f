import argparse
import json
import math
import os
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from stack.config import CHECKOUT
from stack.errors import StackError
from tests.bench import switch, switch_steps
from tests.bench.switch import change, chosen_modes, questions
from tests.bench.switch_client import Job
from tests.bench.switch_clients import ask
from tests.bench.switch_load import Clients, under_load
from tests.bench.switch_report import BEHIND, number, report
from tests.bench.switch_results import (
    AWAY,
    CRASH,
    DEPLOY,
    FAILING_REPLAY,
    FAILING_START,
    FAILING_WHERE_SERVED,
    KILL,
    KINDS,
    PLAIN_UP,
    PROMOTE,
    RESTART,
    ROLLBACK,
    SWITCHES,
    TRAIN,
    UP,
    WRONG,
    Pause,
    Request,
    Soak,
    Step,
)
from tests.bench.switch_steps import Steps, one_round
from tests.bench.switch_versions import Versions, broken, ways_to_fail
from tests.conftest import two_free_ports
from tests.e2e.stacks import IRIS, Stack, new_stack

# Ten seconds: a deployment from 2 to 6, an `up` from 7 to 9.
STEPS = [Step(DEPLOY, 2, 6), Step(UP, 7, 9)]
RIGHT = b'{"predictions": ["a", "b"]}'


def right(*times: float) -> list[Request]:
    """Requests on new connections, each answered right after an eighth of a second."""
    return [Request(begun, begun + 0.125, is_new=True) for begun in times]


def soak_of(*requests: Request) -> Soak:
    """Return one in which nothing listened between the seconds 3 and 5."""
    return Soak([*right(1, 2.5, 3, 5, 5.5, 6.5, 8, 9.5), *requests], STEPS)


def failed(begun: float, ended: float | None = None) -> Request:
    return Request(begun, ended or begun + 0.01, is_new=True, failure="Connection refused")


def test_a_request_belongs_to_the_step_in_which_it_was_on_its_way() -> None:
    soak = Soak([*right(1, 1.95, 4, 5.95, 6.5), *right(8)], STEPS)
    assert [request.begun for request in soak.on_their_way(STEPS[0])] == [1.95, 4, 5.95]
    assert [request.begun for request in soak.on_their_way(STEPS[1])] == [8]
    assert [request.begun for request in soak.on_their_way(None)] == [1, 6.5]


def test_a_pause_lasts_from_the_last_connection_that_was_answered_to_the_first_answer_after_it() -> None:
    [deployed, came_up] = soak_of().seen
    assert deployed.pause == Pause(3, 5.125)
    assert deployed.pause.length == 2125
    assert came_up.pause.length < 2000


def test_an_answer_on_a_connection_that_was_kept_does_not_end_a_pause() -> None:
    kept = Request(4, 4.1, is_new=False)
    assert soak_of(kept).seen[0].pause == Pause(3, 5.125)


def test_a_connection_that_hung_in_the_pause_does_not_cut_it_in_two() -> None:
    hung = Request(3.2, 5.2, is_new=True)
    soak = soak_of(hung, failed(4), failed(4.9))
    assert soak.seen[0].pause == Pause(3, 5.125)
    assert soak.failed_outside == []


def test_where_no_right_answer_comes_any_more_the_pause_has_no_end() -> None:
    soak = Soak(right(1, 2.5, 3), STEPS[:1])
    assert soak.seen[0].pause == Pause(3, math.inf)
    assert soak.longest_pause == math.inf
    assert "| inf | missed by" in "\n".join(report({"Docker": soak}, 1, 1))


def test_a_failure_that_began_in_the_pause_of_a_switch_is_told_from_all_others() -> None:
    inside = failed(3.5), failed(4.9, ended=5.5)
    outside = [
        failed(2.9, ended=3.2),  # a server had it, and cut it off
        failed(5.2),
        failed(6.7),
        failed(8.2),  # nothing changes in an `up`
    ]
    soak = soak_of(*inside, *outside)
    assert soak.failed_outside == outside
    assert len(soak.failed) == 6


def test_a_failing_deployment_may_not_make_a_pause() -> None:
    step = Step(FAILING_START, 2, 6)
    soak = Soak([*right(1, 2.5, 5, 7), failed(4)], [step])
    assert soak.failed_outside == [failed(4)]
    assert soak.longest_pause == 0


def test_the_report_shows_load_steps_failures_and_targets() -> None:
    wrong = Request(8.25, 8.375, is_new=False, failure=WRONG)
    soak = Soak([*soak_of().requests, failed(4, ended=4.125), wrong], STEPS, late=12)
    shown = "\n".join(report({"native": soak, "Docker": soak}, 100, 1))
    assert (
        "10 requests in 9 s (1 a second), 1 switches. The clients themselves were held up for 12.0" in shown
    )
    assert "| while the version changes | 5 | 1 | 125 | 125 | 125 |" in shown
    assert "| between the steps | 3 | 0 | 125 | 125 | 125 |" in shown
    assert "| deploy | 1 | 4.00 | 5 | 1 | 2,125 | 125 |" in shown
    assert "| up again | 1 | 2.00 | 2 | 1 | 1,625 | 125 |" in shown
    assert "| Connection refused | new | deploy | yes | 2.00 | 125 | 1 |" in shown
    assert "| wrong predictions | kept | up again | no | 1.25 | 125 | 1 |" in shown
    for line in (
        "| requests | native | at least 100 | 10 | missed by 90% |",
        "| switches | native | at least 1 | 1 | met |",
        "| answers with wrong predictions | Docker | 0 | 1 | missed |",
        "| requests failed or wrong | native | 0 | 2 | missed |",
        "| requests failed, but not in the pause of a switch | Docker | 0 | 1 | missed |",
        "| longest pause at a switch [s] | Docker | at most 3 | 2.12 | met |",
    ):
        assert line in shown


def test_behind_the_gateway_no_request_may_fail_and_only_those_may_take_long_whose_server_is_away() -> None:
    steps = [*STEPS, Step(PLAIN_UP, 20, 32), Step(ROLLBACK, 40, 44)]
    waited = [Request(21, 32.5, is_new=True), Request(41, 43.5, is_new=False)]
    shown = "\n".join(report({BEHIND: Soak([*right(1, 3, 10), *waited], steps)}, 1, 1))
    assert "| while the version changes | 2 | 0 | 2,500 | 2,500 | 2,500 |" in shown
    assert "| while the model server is away | 1 | 0 | 11,500 | 11,500 | 11,500 |" in shown
    assert "| in the other steps | 0 | 0 | - | - | 0.000 |" in shown
    assert "| docker compose up | 1 | 12.0 | 1 | 0 |" in shown
    for line in (
        "| requests failed or wrong | Docker, gateway | 0 | 0 | met |",
        "| longest request, while a model server is up [ms] | Docker, gateway | at most 2000 | 2,500 |",
        "| longest request, while the model server is away [ms] | Docker, gateway | at most 12000 | 11,500 |",
    ):
        assert line in shown
    assert "longest pause at a switch" not in shown


def test_targets_of_a_mode_that_was_not_measured_are_left_out() -> None:
    shown = "\n".join(report({"native": soak_of()}, 1, 1))
    assert "Docker" not in shown
    assert "| requests failed or wrong | native | 0 | 0 | met |" in shown
    assert "| failure |" not in shown


def test_a_number_that_counts_has_no_decimals() -> None:
    assert [number(value) for value in (0, 1234, 1.5, math.inf)] == ["0", "1,234", "1.50", "inf"]


Answer = Callable[[int], bytes | None]
"""From the number of a request, counted from 0, to what is sent; None for nothing ever."""


def http_answer(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d x" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


class SmallServer:
    """Answers requests as it is told, each connection in a thread; an empty answer closes the connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as received:
            while received.readline():
                length = 0
                while line := received.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                received.read(length)
                self.requests += 1
                answer = self._answer(self.requests - 1)
                if answer is not None:
                    connection.sendall(answer)
                if answer == b"" or (answer and b"Connection: close" in answer):
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends the accept that waits in the thread
        self._listener.close()


@contextmanager
def small_server(answer: Answer) -> Iterator[SmallServer]:
    server = SmallServer(answer)
    try:
        yield server
    finally:
        server.close()


def asked(
    port: int, *, kept: int, fresh: int, until: Callable[[], bool] = lambda: True, patience: float = 5
) -> list[Request]:
    """Let clients ask for a fifth of a second, and as long as it takes; return what became of it."""
    job = Job(port, [("question", ["a", "b"])], kept=kept, fresh=fresh, think=0.001, patience=patience)
    stop, keep = os.pipe()

    def end() -> None:
        time.sleep(0.2)
        while not until():
            time.sleep(0.01)
        os.close(keep)

    threading.Thread(target=end, daemon=True).start()
    records, late = ask(job, stop, lambda _: None)
    os.close(stop)
    assert late >= 0
    return [Request(*record) for record in records]


def gaps(requests: list[Request]) -> list[float]:
    return [later.begun - earlier.ended for earlier, later in pairwise(requests)]


def failures(requests: list[Request]) -> Counter[str]:
    return Counter(request.failure for request in requests)


def test_a_client_that_keeps_its_connection_opens_one_and_a_fresh_one_opens_one_for_each_request() -> None:
    with small_server(lambda _: http_answer(RIGHT)) as server:
        kept = asked(server.port, kept=1, fresh=0, until=lambda: server.requests > 10)
        assert server.connections == 1
        assert [request.is_new for request in kept] == [True] + [False] * (len(kept) - 1)
        fresh = asked(server.port, kept=0, fresh=1, until=lambda: server.connections > 11)
        assert server.connections == 1 + len(fresh)
        assert all(request.is_new for request in fresh)
    assert len(kept) > 10
    assert len(fresh) > 10
    assert failures(kept + fresh) == {"": len(kept) + len(fresh)}
    assert all(0 < request.took < 5000 for request in kept + fresh)


def test_a_server_may_close_a_connection_after_an_answer_that_says_so() -> None:
    with small_server(lambda _: http_answer(RIGHT, 200, b"Connection: close")) as server:
        requests = asked(server.port, kept=1, fresh=0, until=lambda: server.connections > 10)
        assert server.connections == len(requests) > 10
    assert failures(requests) == {"": len(requests)}


def test_what_is_not_answered_right_is_a_failure_and_is_not_asked_again() -> None:
    answers = [
        http_answer(RIGHT),
        b"",
        http_answer(RIGHT)[:-3],
        http_answer(b"", 503),
        http_answer(b'{"predictions": ["b", "a"]}'),
        http_answer(b"nonsense"),
    ]
    with small_server(lambda number: answers[number] if number < len(answers) else None) as server:
        requests = asked(server.port, kept=1, fresh=0, until=lambda: server.requests > 6, patience=0.5)
    closed = "the server closed the connection instead of answering"
    assert [request.failure for request in requests[:2]] == ["", closed]
    assert [request.failure for request in requests[3:6]] == ["status 503", WRONG, WRONG]
    silent = "no answer within 0.5 s"
    assert {request.failure for request in [requests[2], *requests[6:]]} == {silent}
    assert server.requests == len(requests)
    assert min(gaps(requests)[1:]) >= 0.02


def test_a_refused_connection_is_a_failure() -> None:
    for kept, fresh in ((1, 0), (0, 1)):
        requests = asked(two_free_ports()[0], kept=kept, fresh=fresh)
        assert failures(requests) == {"Connection refused": len(requests)}
        assert all(gap >= 0.02 for gap in gaps(requests))


def test_the_clients_are_a_process_whose_requests_are_there_in_the_end() -> None:
    with small_server(lambda _: http_answer(RIGHT)) as server:
        with under_load(Job(server.port, [("question", ["a", "b"])])) as load:
            deadline = time.monotonic() + 20
            while load.clients.asked == 0:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert len(load.requests) == server.requests
    assert failures(load.requests) == {"": server.requests}
    with pytest.raises(StackError, match="the clients ended by themselves"):
        _ = load.clients.asked


def test_questions_have_several_rows_and_differ_in_their_order() -> None:
    asked = questions(IRIS)
    assert [answers[0] for _, answers in asked] == IRIS.answers
    rows = [json.loads(body)["dataframe_split"]["data"] for body, _ in asked]
    assert rows[1] == rows[0][1:] + rows[0][:1]
    assert len({str(each) for each in rows}) == 3


@pytest.mark.parametrize("mode", ["native", "docker"])
def test_a_round_has_every_kind_of_step_and_ups_come_where_nothing_is_to_be_trained(mode: str) -> None:
    kinds = one_round(mode)
    usual = set(KINDS) - set(AWAY)
    assert set(kinds) == usual - ({FAILING_WHERE_SERVED} if mode == "docker" else set())
    assert kinds[kinds.index(UP) - 2 : kinds.index(UP)] == [TRAIN, DEPLOY]


def test_the_model_server_is_taken_away_only_where_a_gateway_holds_the_requests() -> None:
    kinds = one_round("docker", is_behind_gateway=True)
    assert [kind for kind in kinds if kind not in AWAY] == one_round("docker")
    since = kinds.index(UP) + 1
    assert kinds[since : since + len(AWAY)] == list(AWAY)
    assert one_round("native", is_behind_gateway=True) == one_round("native")


@pytest.mark.parametrize("kind", ways_to_fail("native"))
def test_the_model_is_made_one_that_fails_later(kind: str) -> None:
    text = (CHECKOUT / "trainer" / "iris_classifier.py").read_text()
    changed = broken(kind, text)
    assert "in os.environ" in changed
    compile(changed, kind, "exec")
    with pytest.raises(StackError, match="to make a model that fails"):
        broken(kind, "another model")


class Registry(Stack):
    """A stack of which only the registry is there; ``effect`` is what its scripts do."""

    known: dict[str, Any]

    def aliases(self) -> dict[str, str]:
        return dict(self.known["aliases"])

    def versions(self) -> list[str]:
        return list(self.known["tags"])

    def version(self, number: str) -> Any:  # noqa: ANN401
        return argparse.Namespace(tags=self.known["tags"][number])

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if command == ("docker", "compose", "ps", "--quiet", "serving"):
            return subprocess.CompletedProcess(command, 0, "the-container\n", "")
        assert not check
        status = self.known["effect"](*command)
        return subprocess.CompletedProcess(command, status, f"{command[0]} printed", "")


class Copies(Versions):
    def register_again(self, version: str) -> str:
        assert version in ("1", "2")
        self.stack.known["tags"]["3"] = {}  # type: ignore[attr-defined]
        return "3"

    def remove_candidate(self) -> None:
        pass


@pytest.fixture
def known() -> dict[str, Any]:
    """Give the state of a stack that serves version 2, and served 1 before."""
    aliases = {"champion": "2", "previous": "1"}
    return {"aliases": aliases, "tags": {"1": {}, "2": {}}, "since": "noon", "effect": lambda *_: 0}


@pytest.fixture
def steps(known: dict[str, Any], tmp_path: Path) -> Steps:
    described = new_stack("native", tmp_path)
    stack = Registry(described.mode, described.ports, described.settings)
    object.__setattr__(stack, "known", known)
    versions = Copies(stack, right=["1", "2"], failing={FAILING_START: "1", FAILING_REPLAY: "1"})
    return Steps(
        stack,
        versions,
        lambda _: {
            "version": known.get("served", known["aliases"]["champion"]),
            "since": known["since"],
        },
    )


def switches_to(known: dict[str, Any], version: str, status: int = 0) -> Callable[..., int]:
    def effect(*_: str) -> int:
        known["aliases"]["champion"] = version
        known["since"] = "later"
        return status

    return effect


@pytest.mark.parametrize(("kind", "version"), [(DEPLOY, "3"), (PROMOTE, "1"), (ROLLBACK, "1")])
def test_a_switch_must_bring_its_version(
    kind: str, version: str, steps: Steps, known: dict[str, Any]
) -> None:
    with pytest.raises(
        StackError, match=f"^{kind}: expected version {version} to be served and champion, fo"
    ):
        steps.do(kind)
    known["effect"] = switches_to(known, version)
    step = steps.do(kind)
    assert step.kind == kind
    assert step.began <= step.ended
    assert version in steps.versions.right


def test_a_failing_version_that_goes_live_ends_the_benchmark(steps: Steps, known: dict[str, Any]) -> None:
    known["effect"] = switches_to(known, "3", status=1)
    with pytest.raises(
        StackError, match="expected version 2 to be served and champion, found version 3 serv"
    ):
        steps.do(FAILING_REPLAY)


def test_a_failing_version_must_fail_for_its_own_reason(steps: Steps, known: dict[str, Any]) -> None:
    def effect(tags: dict[str, str]) -> Callable[..., int]:
        def fail(*_: str) -> int:
            known["tags"]["3"] = tags
            return 1

        return fail

    known["effect"] = effect({"failure": "its answer differs", "replay": "failed: its answer differs"})
    with pytest.raises(StackError, match="version 3 failed for another reason"):
        steps.do(FAILING_START)
    assert steps.do(FAILING_REPLAY).kind == FAILING_REPLAY
    known["effect"] = lambda *_: 0
    with pytest.raises(StackError, match=r"expected exit status 1, found 0:\n\./scripts/deploy printed"):
        steps.do(FAILING_REPLAY)


def test_an_up_with_nothing_changed_may_neither_train_nor_restart(
    steps: Steps, known: dict[str, Any]
) -> None:
    assert steps.do(UP).kind == UP
    known["effect"] = switches_to(known, "2")
    with pytest.raises(StackError, match=r"up again: another model server answers: before .*noon"):
        steps.do(UP)

    def trains(*_: str) -> int:
        known["tags"]["3"] = {}
        return 0

    known["effect"] = trains
    with pytest.raises(StackError, match="up again: nothing has changed, and it trained another version"):
        steps.do(UP)


@pytest.mark.parametrize("kind", AWAY)
def test_a_model_server_that_was_away_must_have_been_started_again_with_the_same_version(
    kind: str, steps: Steps, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch_steps, "_BACK_WITHIN", 0)
    monkeypatch.setattr(switch_steps, "docker", lambda *_: "4711\n")
    with pytest.raises(StackError, match=f"{kind}: the model server was not started again"):
        steps.do(kind)
    run: list[str] = []

    def starts_again(*command: str) -> int:
        run.append(" ".join(command))
        known["since"] += "+"
        return 0

    known["effect"] = starts_again
    assert steps.do(kind).kind == kind
    base = f"{steps.stack.settings['COMPOSE_PROJECT_NAME']}-base"
    assert (
        run
        == {
            PLAIN_UP: ["docker compose up --detach --wait"],
            KILL: ["docker kill the-container", "./scripts/up --native --detach"],
            RESTART: ["docker restart the-container"],
            CRASH: [
                "docker run --rm --pid=host --user=0 --network=none --entrypoint=sh"
                f" {base} -c kill -KILL 4711"
            ],
        }[kind]
    )
    known["effect"] = switches_to(known, "1")
    with pytest.raises(StackError, match="expected version 2 to be served and champion, found version 1"):
        steps.do(kind)
    known["effect"] = lambda *_: 1
    with pytest.raises(StackError, match=f"{kind}: expected exit status 0, found 1"):
        steps.do(kind)


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "_REST", 0)


@pytest.mark.usefixtures("no_rest")
def test_steps_go_on_for_at_least_a_round_until_there_were_enough_switches_and_requests() -> None:
    kinds = one_round("docker")
    clients = argparse.Namespace(asked=0)

    def do(kind: str) -> Step:
        clients.asked += 10
        return Step(kind, 0, 1)

    def done(switches: int, requests: int, minutes: float = 1) -> list[str]:
        clients.asked = 0
        bounds = argparse.Namespace(switches=switches, requests=requests, minutes=minutes)
        return [step.kind for step in change(kinds, do, cast("Clients", clients), bounds)]

    assert done(1, 1) == kinds
    assert len(done(1, 300)) == 30
    assert sum(kind in SWITCHES for kind in done(20, 1)) == 20
    assert done(20, 1000, minutes=0) == []


def test_a_mode_that_can_not_run_is_left_out_or_when_it_is_wanted_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switch, "missing_docker", lambda: "no engine answers")
    assert chosen_modes(None) == ({"native": "native"}, ["- Docker is not measured: no engine answers"])
    assert chosen_modes("native") == ({"native": "native"}, [])
    with pytest.raises(StackError, match="Docker can't be measured: no engine answers"):
        chosen_modes("docker")
    monkeypatch.setattr(switch, "missing_docker", lambda: "")
    assert chosen_modes(None) == ({"native": "native", "Docker": "docker"}, [])
    assert chosen_modes("docker") == ({"Docker": "docker"}, [])
    assert chosen_modes("docker", is_behind_gateway=True) == ({"Docker, gateway": "docker"}, [])

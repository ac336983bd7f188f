import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_server import pace
from model_server.pace import BusyError, Pace

from tests.unit.model_servers import JSON, ROW, Served, serve, settings_for, split

SHARED = {"workers": 2, "threads": 1}
# Takes the lock as another worker would, says so, and keeps it until its input ends.
OTHER_WORKER = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, serve(tmp_path_factory.mktemp("pace"), "pace") as served:
        patch.setattr(pace, "_QUICK", 0.03)  # the tests' machine may be busy
        yield served


def told(server: Served, task: str, rows: int = 1) -> tuple[int, set[str]]:
    answer = server.ours.post(split(*[{**ROW, "task": task}] * rows), JSON)
    return answer.status, set(json.loads(answer.body)["predictions"]) if answer.status == 200 else set()


def is_in_thread(server: Served, rows: int = 1) -> bool:
    return told(server, "thread", rows) != (200, {threading.current_thread().name})


def show_quick(server: Served) -> None:
    """Ask until the model is quick by far."""
    row = 0
    for _ in range(1000):
        row = 0 if is_in_thread(server) else row + 1
        if row == 50:
            return
    raise AssertionError("the event loop never asked the model")


def test_a_quick_model_is_asked_in_its_thread_until_it_has_shown_that_it_is_quick(served: Served) -> None:
    with served.with_settings(**SHARED) as server:
        assert all(is_in_thread(server) for _ in range(50))
        show_quick(server)


@pytest.mark.parametrize(
    "other", [{"workers": 1}, {"threads": 2}, {"preload": False}], ids=["one worker", "threads", "loads"]
)
def test_the_event_loop_asks_no_model_where_that_could_stop_all_workers_or_ask_twice_at_a_time(
    served: Served, other: dict[str, Any]
) -> None:
    with served.with_settings(**{**SHARED, **other}) as server:
        assert all(is_in_thread(server) for _ in range(300))


def test_a_large_request_is_answered_in_a_thread(served: Served) -> None:
    with served.with_settings(**SHARED) as server:
        show_quick(server)
        assert is_in_thread(server, rows=1000)
        assert not is_in_thread(server)


def test_a_model_that_was_slow_once_has_to_show_itself_anew(served: Served) -> None:
    with served.with_settings(**SHARED) as server:
        show_quick(server)
        assert told(server, "sleep")[0] == 200
        assert is_in_thread(server)
        show_quick(server)


@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited")
@pytest.mark.parametrize(("task", "answer"), [("count", "1"), ("loop", "looped")])
def test_what_works_in_the_models_own_thread_only_is_answered_from_there(
    served: Served, task: str, answer: str
) -> None:
    with served.with_settings(**SHARED) as server:
        assert told(server, task) == (200, {answer})
        show_quick(server)
        assert told(server, task) == (200, {answer})
        assert all(is_in_thread(server) for _ in range(300))


@pytest.mark.parametrize(("task", "status"), [("fail", 500), ("exit", 500), ("refuse", 400)])
def test_what_the_model_raises_is_told_as_ever(served: Served, task: str, status: int) -> None:
    with served.with_settings(**SHARED) as server:
        show_quick(server)
        assert told(server, task)[0] == status
        assert not is_in_thread(server)


def test_nothing_that_predict_sets_is_seen_by_the_next_request(served: Served) -> None:
    with served.with_settings(**SHARED) as server:
        show_quick(server)
        assert [told(server, "context") for _ in range(2)] == [(200, {"set: False"})] * 2


def test_one_worker_at_a_time_asks_without_a_thread_and_one_that_is_killed_does_not_count(
    tmp_path: Path,
) -> None:
    own = Pace(replace(settings_for(tmp_path, "pace"), workers=2, threads=1))
    lock = own._lock.fileno()
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_WORKER, str(lock)],
        pass_fds=[lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(BusyError), own.alone():
            pass
        other.kill()
        other.wait()
        with own.alone():
            pass

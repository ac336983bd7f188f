import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

import mlflow
import pytest
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS
from model_server.answers import refusal
from model_server.app import Application
from model_server.handover import Message

from stack.wait import wait_until
from tests.unit.model_servers import (
    CSV,
    JSON,
    ROW,
    Answer,
    Client,
    Served,
    as_json,
    csv,
    scope_of,
    serve,
    split,
)

FAILED = "the model failed on this request; the log of the model server says how"
YOUNG = {**ROW, "age": 30}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("app"), "app") as served:
        yield served


def told(task: str, content_type: str) -> bytes:
    """Write a request that tells the model what to do."""
    return {JSON: split, CSV: csv}[content_type]({**ROW, "task": task})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("GET", "/health"),
        ("GET", "/version"),
        ("GET", "/invocations"),
        ("PUT", "/invocations"),
        ("POST", "/ping"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("POST", "/nowhere"),
        ("GET", "/docs/nowhere"),
    ],
)
def test_other_paths_and_methods_get_the_answer_of_mlflow(served: Served, method: str, path: str) -> None:
    ours, mlflows = served.ours.get(path, method), served.mlflow.get(path, method)
    assert (ours.status, ours.body) == (mlflows.status, mlflows.body)
    assert ours.headers["content-type"] == mlflows.headers["content-type"]


@pytest.mark.parametrize("path", ["/model", "/metrics", "/docs", "/version", "/invocations"])
def test_behind_a_gateway_it_answers_only_who_shows_the_secret(served: Served, path: str) -> None:
    with served.with_settings(gateway_secret=b"between-us") as guarded:
        client = guarded.ours

        def ask(method: str, *body: bytes, **headers: str) -> Answer:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.run(client.ask(method, path, *body, headers={"content-type": JSON, **given}))

        method, body = ("POST", split(ROW)) if path == "/invocations" else ("GET", b"")
        for wrong in ({}, {"x_gateway_secret": "wrong"}, {"x_gateway_secret": ""}):
            refused = ask(method, body, **wrong)
            assert (refused.status, refused.message) == (
                403,
                "this server answers the gateway only; ask that",
            )
        assert ask(method, body, **{"x_gateway_secret": "between-us"}).status == 200
        assert [client.get(each).status for each in ("/health", "/ping")] == [200, 200]


def test_the_server_says_which_model_it_serves(served: Served) -> None:
    identity = json.loads(served.ours.get("/model").body)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", identity.pop("since"))
    assert identity == {
        "name": "app",
        "version": "7",
        "run_id": "unknown",
        "image_id": "sha256:0",
        "mlflow_version": mlflow.__version__,
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, split({**ROW, "task": "fail"})),
        (JSON, split({**ROW, "task": "fail"}, params={"limit": 1.5})),
        (CSV, csv({**ROW, "task": "fail"})),
    ],
    ids=["short path", "MLflow's JSON", "MLflow's CSV"],
)
def test_a_failure_of_the_model_is_told_in_the_log_only(
    served: Served, caplog: pytest.LogCaptureFixture, content_type: str, body: bytes
) -> None:
    answer = served.ours.post(body, content_type)
    assert answer.status == 500
    assert json.loads(answer.body) == {"error_code": "INTERNAL_ERROR", "message": FAILED}
    (record,) = [record for record in caplog.records if record.name.startswith("model_server")]
    assert "no luck with zebra42" in str(record.exc_info)
    assert 'raise RuntimeError("no luck with zebra42")' in caplog.text


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_a_failure_on_a_missing_value_is_a_bad_request_as_for_mlflow_and_told_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    rows = [{**ROW, "task": "weigh"}, {**ROW, "task": "weigh", "weight": None}]
    body = split(*rows) if content_type == JSON else csv(*rows)
    answer, mlflows = (client.post(body, content_type) for client in (served.ours, served.mlflow))
    assert (answer.status, answer.code) == (mlflows.status, mlflows.code) == (400, "BAD_REQUEST")
    assert answer.message == (
        "the model failed on this request, which has no value in column 'weight', row 2;"
        " the log of the model server says how"
    )
    assert "cannot convert float NaN to integer" in caplog.text


def test_a_failure_of_the_model_beside_a_missing_value_that_it_refuses_itself_is_its_refusal(
    served: Served,
) -> None:
    answer = served.ours.post(split({**ROW, "task": "refuse", "weight": None}))
    assert (answer.status, answer.code, answer.message) == (400, "INVALID_PARAMETER_VALUE", "say so")


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_what_another_server_told_the_model_is_not_passed_on(
    served: Served, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    answer = served.ours.post(told("ask", content_type), content_type)
    assert (answer.status, answer.message) == (500, FAILED)
    assert "no run zebra42" in caplog.text


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_a_model_that_wants_to_exit_fails_like_any_other(
    served: Served, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    row = {**ROW, "task": "exit"}
    with served.with_settings() as server:
        answer = server.ours.post(csv(row) if content_type == CSV else split(row), content_type)
    assert (answer.status, answer.message) == (500, FAILED)
    assert "no luck with zebra42" in caplog.text


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (JSON, split({**ROW, "task": "refuse"}), "INVALID_PARAMETER_VALUE"),
        (JSON, split({**ROW, "task": "refuse"}, params={"limit": 1.5}), "BAD_REQUEST"),
        (CSV, csv({**ROW, "task": "refuse"}), "INVALID_PARAMETER_VALUE"),
    ],
    ids=["short path", "MLflow's JSON", "MLflow's CSV"],
)
def test_a_refusal_by_the_model_is_told_with_its_code_and_its_words_alone(
    served: Served, caplog: pytest.LogCaptureFixture, content_type: str, body: bytes, code: str
) -> None:
    answer = served.ours.post(body, content_type)
    assert (answer.status, answer.code, answer.message) == (400, code, "say so")
    assert served.mlflow.post(body, content_type).code == code
    assert [record for record in caplog.records if record.name.startswith("model_server")] == []


async def outside(acquire: Callable[..., bool], timeout: float) -> bool:
    """Wait in a thread that is none of the server's."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, partial(acquire, timeout=timeout))


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_what_is_too_much_is_refused_at_once_and_health_is_answered(
    served: Served, content_type: str
) -> None:
    async def fill(client: Client) -> tuple[list[Answer], Answer, Answer]:
        first = asyncio.create_task(client.predict(told("wait", content_type), content_type))
        await outside(server.python_model.begun.acquire, timeout=30)
        others = [await client.predict(split(ROW)), await client.predict(csv(ROW), CSV)]
        health = await client.ask("GET", "/health", headers={})
        server.python_model.gate.set()
        return others, health, await first

    with served.with_settings(queue=1) as server:
        refused, health, answered = server.ours.run(fill(server.ours))
        assert [(answer.status, answer.code) for answer in refused] == [(503, "TEMPORARILY_UNAVAILABLE")] * 2
        assert [answer.headers["retry-after"] for answer in refused] == ["1", "1"]
        assert refused[0].message == "too many requests wait already; try again later"
        assert health.status == 200
        assert answered.status == 200
        assert server.ours.post(split(ROW)).status == 200


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_no_more_threads_than_are_set_work_at_the_same_time(served: Served, content_type: str) -> None:
    async def two(client: Client) -> list[bool]:
        both = [
            asyncio.create_task(client.predict(told("wait", content_type), content_type)) for _ in range(2)
        ]
        begun = server.python_model.begun
        have_begun = [await outside(begun.acquire, timeout=seconds) for seconds in (30, 0.3)]
        server.python_model.gate.set()
        await asyncio.gather(*both)
        return have_begun

    with served.with_settings(threads=1) as server:
        assert server.ours.run(two(server.ours)) == [True, False]


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_null_is_answered_where_the_model_answers_nan(served: Served, content_type: str) -> None:
    answer = served.ours.post(told("no number", content_type), content_type)
    assert (answer.status, answer.body) == (200, b'{"predictions": [null]}')
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert served.mlflow.post(told("no number", content_type), content_type).body == b'{"predictions": [NaN]}'


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_predict_may_run_an_event_loop_of_its_own(served: Served, content_type: str) -> None:
    for _ in range(50):
        answer = served.ours.post(told("loop", content_type), content_type)
        assert json.loads(answer.body) == {"predictions": ["looped"]}


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_what_predict_sets_in_its_context_does_not_reach_the_next_request(
    served: Served, content_type: str
) -> None:
    with served.with_settings(threads=1) as server:
        answers = [server.ours.post(told("context", content_type), content_type) for _ in range(2)]
        assert [json.loads(answer.body)["predictions"] for answer in answers] == [["set: False"]] * 2


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_predict_finds_mlflows_prediction_context(served: Served, content_type: str) -> None:
    answer = served.ours.post(told("prediction context", content_type), content_type)
    assert json.loads(answer.body) == {"predictions": ["Context"]}


def test_work_that_nobody_waits_for_any_more_still_counts_until_it_ends(served: Served) -> None:
    with served.with_settings(timeout=1, threads=1, queue=1) as server:
        assert server.ours.post(told("wait", JSON)).status == 504
        assert server.ours.post(split(ROW)).status == 503
        app = server.ours.app
        assert isinstance(app, Application)
        wait_until(lambda: None if app.is_stuck else "not stuck", timeout=30)
        server.python_model.gate.set()
        wait_until(lambda: "stuck" if app.is_stuck else None, timeout=30)
        assert server.ours.post(split(ROW)).status == 200


@pytest.mark.parametrize("content_type", [JSON, CSV])
def test_a_prediction_that_takes_too_long_is_given_up(served: Served, content_type: str) -> None:
    with served.with_settings(timeout=1) as server:
        answer = server.ours.post(told("wait", content_type), content_type)
        assert not server.python_model.has_ended
        server.python_model.gate.set()
        assert (answer.status, answer.code) == (504, "DEADLINE_EXCEEDED")
        assert answer.message == "the model took longer than 1 s"
        assert server.ours.post(split(ROW)).status == 200


def padded(size: int) -> bytes:
    body = split(ROW)
    return body + b" " * (size - len(body))


def test_the_longest_body_is_read_and_a_longer_one_is_not(served: Served) -> None:
    limit = served.settings.max_body
    assert served.ours.post(padded(limit)).status == 200
    for parts in ([padded(limit + 1)], [padded(limit), b" "], [b" " * limit, b" " * limit]):
        for headers in ({"content-length": str(sum(map(len, parts)))}, {"transfer-encoding": "chunked"}):
            sent = served.ours.ask("POST", "/invocations", *parts, headers={**headers, "content-type": JSON})
            answer = served.ours.run(sent)
            assert (answer.status, answer.message) == (413, f"the body is too large: at most {limit} bytes")
            assert answer.code == "CONTENT_TOO_LARGE"
            assert answer.headers["connection"] == "close"


def half_sent(size: int) -> tuple[Message, Callable[[], Awaitable[Message]], asyncio.Event]:
    """Return a request whose body breaks off after so many bytes, and what ends it."""
    gone = asyncio.Event()
    parts: list[Message] = [{"type": "http.request", "body": b" " * size, "more_body": True}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    return scope_of("POST", "/invocations", {"content-type": JSON}), receive, gone


def test_bodies_that_break_off_are_held_up_to_a_bound_and_others_answered_meanwhile(served: Served) -> None:
    async def fill(client: Client) -> tuple[list[int], Answer, Answer, Answer]:
        statuses: list[int] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        halves = [half_sent(limit // 2) for _ in range(20)]
        tasks = [asyncio.create_task(client.app(scope, receive, send)) for scope, receive, _ in halves]
        await asyncio.sleep(0)
        small, large = await client.predict(split(ROW)), await client.predict(padded(limit))
        for _, _, gone in halves:
            gone.set()
        await asyncio.gather(*tasks)
        return statuses, small, large, await client.predict(padded(limit))

    limit = served.settings.max_body
    with served.with_settings(queue=4) as server:
        statuses, small, large, afterwards = server.ours.run(fill(server.ours))
    assert statuses == [503] * 4
    assert (small.status, large.status) == (200, 503)
    assert large.message == "too many large bodies wait already; try again later"
    assert afterwards.status == 200


def test_a_body_in_parts_is_put_together(served: Served) -> None:
    body = split(ROW)
    sent = served.ours.ask("POST", "/invocations", body[:9], b"", body[9:], headers={"content-type": JSON})
    assert json.loads(served.ours.run(sent).body) == {"predictions": ["old"]}


def test_a_request_that_breaks_off_is_not_answered(served: Served) -> None:
    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        pytest.fail(f"sent {message}")

    messages: list[Message] = [
        {"type": "http.request", "body": csv(ROW), "more_body": True},
        {"type": "http.disconnect"},
    ]
    application = served.ours.app
    served.ours.run(application(scope_of("POST", "/invocations", {"content-type": CSV}), receive, send))
    assert messages == []


def test_a_missing_content_type_is_refused_where_mlflow_fails(served: Served) -> None:
    answer = served.ours.post(split(ROW), None)
    assert answer.status == 415
    assert answer.message == (
        "there is no Content-Type: send one of text/csv, application/json, application/vnd.apache.parquet"
    )
    assert served.mlflow.post(split(ROW), None).status == 500


@pytest.mark.parametrize("status", [400, 403, 404, 408, 413, 415, 499, 500, 503, 504])
def test_a_status_has_the_name_that_mlflow_has_for_it_or_else_that_of_http(status: int) -> None:
    names = {name for name, of in ERROR_CODE_TO_HTTP_STATUS.items() if of == status}
    names = names or {HTTPStatus(status).name, "CONTENT_TOO_LARGE"}
    assert json.loads(refusal(status, "a message").body)["error_code"] in names


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br", ""])
def test_an_encoded_body_is_refused_with_what_to_send(served: Served, encoding: str) -> None:
    headers = {"content-type": JSON, "content-encoding": encoding}
    sent = served.ours.ask("POST", "/invocations", gzip.compress(split(ROW)), headers=headers)
    answer = served.ours.run(sent)
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.message.endswith("none is decoded here: send it as it is, without one")
    assert answer.headers["accept-encoding"] == "identity"


def test_identity_is_no_encoding(served: Served) -> None:
    headers = {"content-type": JSON, "content-encoding": "Identity"}
    sent = served.ours.ask("POST", "/invocations", split(ROW), headers=headers)
    assert served.ours.run(sent).status == 200


HOSTS = {
    "localhost": True,
    "LOCALHOST:5002": True,
    "127.0.0.1:5002": True,
    "127.1.2.3": True,
    "[::1]:5002": True,
    "192.168.0.1:8080": True,
    "[fd00::2]": True,
    "serving.example.com": True,
    "Serving.example.com:80": True,
    "evil.example.com": False,
    "serving.example.com.evil.com": False,
    "localhost.evil.com:5002": False,
    "127.0.0.1.evil.com": False,
    "192.168.0.1.evil.com:80": False,
    "2130706433": False,
    "": False,
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_a_host_that_is_known_is_answered(served: Served, host: str) -> None:
    for method, path, body in (
        ("GET", "/health", b""),
        ("POST", "/invocations", split(ROW)),
        ("GET", "/x", b""),
    ):
        headers = {"host": host, "content-type": JSON}
        answer = served.ours.run(served.ours.ask(method, path, body, headers=headers))
        assert (answer.status != 403) == HOSTS[host], path
        if answer.status == 403:
            assert answer.code == "PERMISSION_DENIED"
            assert answer.message.startswith("the Host of the request is neither localhost nor a name")


def test_all_hosts_are_answered_if_asked_for(served: Served) -> None:
    with served.with_settings(allowed_hosts=frozenset("*")) as server:
        sent = server.ours.ask("GET", "/health", headers={"host": "evil.example.com"})
        assert server.ours.run(sent).status == 200


def test_no_request_is_logged_by_default(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.ours.post(split(ROW))
    served.ours.post(b"")
    assert capsys.readouterr().out == ""


def test_each_request_is_logged_in_one_line_if_asked_for(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with served.with_settings(request_log=True) as server:
        server.ours.post(split(ROW))
        server.ours.post(as_json(inputs="zebra42"))
        server.ours.get("/health")
    written = capsys.readouterr().out
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["status"] for line in lines] == [200, 400]
    assert lines[0]["request_bytes"] == len(split(ROW))
    assert lines[0]["milliseconds"] > 0
    assert "zebra42" not in written


def test_a_server_that_is_to_stop_closes_its_connections(served: Served) -> None:
    with served.with_settings() as server:
        assert "connection" not in server.ours.post(split(ROW)).headers
        application = server.ours.app
        assert isinstance(application, Application)
        application.draining = True
        answer = server.ours.post(split(ROW))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert server.ours.get("/ping").headers["connection"] == "close"


ORIGIN = "https://app.example.com"


def asked_from(client: Client, origin: str, method: str, path: str, *body: bytes, **headers: str) -> Answer:
    """Ask as a browser does for a page of another origin."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.run(client.ask(method, path, *body, headers={"origin": origin, **named}))


def preflight(client: Client, origin: str) -> Answer:
    headers = {"access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    return asked_from(client, origin, "OPTIONS", "/invocations", **headers)


def test_pages_of_the_origins_that_are_set_may_ask_and_others_may_not(served: Served) -> None:
    with served.with_settings(cors_origins=frozenset({ORIGIN})) as server:
        allowed, refused = preflight(server.ours, ORIGIN), preflight(server.ours, "https://evil.example.com")
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert allowed.headers["access-control-allow-headers"] == "content-type"
        assert refused.status == 400
        assert "access-control-allow-origin" not in refused.headers
        for origin in (ORIGIN, "https://evil.example.com"):
            answer = asked_from(server.ours, origin, "POST", "/invocations", split(ROW), content_type=JSON)
            assert answer.status == 200
            assert answer.headers.get("access-control-allow-origin") == (ORIGIN if origin == ORIGIN else None)


def test_a_refusal_can_be_read_by_a_page_that_may_ask(served: Served) -> None:
    large = b" " * (served.settings.max_body + 1)
    with served.with_settings(cors_origins=frozenset({ORIGIN})) as server:
        for status, body, headers in (
            (400, b"", {"content_type": JSON}),
            (403, split(ROW), {"content_type": JSON, "host": "evil.example.com"}),
            (413, large, {"content_type": JSON}),
            (415, split(ROW), {}),
            (500, told("fail", JSON), {"content_type": JSON}),
        ):
            answer = asked_from(server.ours, ORIGIN, "POST", "/invocations", body, **headers)
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert asked_from(server.ours, ORIGIN, "GET", "/nowhere").headers["access-control-allow-origin"]


def test_pages_of_all_origins_may_ask_if_asked_for(served: Served) -> None:
    with served.with_settings(cors_origins=frozenset("*")) as server:
        answer = asked_from(server.ours, "null", "POST", "/invocations", split(ROW), content_type=JSON)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert preflight(server.ours, "null").headers["access-control-allow-origin"] == "*"


def test_no_page_of_another_origin_may_ask_by_default(served: Served) -> None:
    answer = preflight(served.ours, ORIGIN)
    assert (answer.status, answer.headers) == (405, preflight(served.mlflow, ORIGIN).headers)
    assert "access-control-allow-origin" not in served.ours.post(split(ROW)).headers

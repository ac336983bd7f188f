import errno
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

import stack.doctor.machine
from stack.doctor.checks import check_python, find
from stack.doctor.engine import (
    Answer,
    Docker,
    Publisher,
    ask,
    check_compose,
    check_engine,
    check_socket,
    look_at_docker,
)
from stack.doctor.finding import Finding, fix
from stack.doctor.machine import (
    check_clock,
    check_disk,
    check_docker_disk,
    check_engine_clock,
    check_home_disk,
    check_port,
    newest_change,
    who_listens,
)
from stack.doctor.network import (
    check_engine_proxy,
    check_shell_proxy,
    check_tracking,
    judge_answer,
)
from stack.doctor.state import (
    check_docker_database,
    check_home,
    check_names,
    check_native_database,
    judge_database,
    known_revisions,
    known_settings,
    left_over,
    own_processes,
)
from stack.modes.preflight import MARKER
from stack.modes.processes import Process
from tests.conftest import put_docker

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
DOCKER = Docker(
    command="Docker version 28.2.2",
    endpoint="unix:///var/run/docker.sock",
    version={"Server": {"Components": [{"Name": "Engine"}]}},
    info={"ServerVersion": "26.1.5+dfsg1", "Architecture": "x86_64", "OperatingSystem": "Debian"},
    compose=Answer("2.26.1-4"),
)
PROXY = "http://proxy.invalid:3128"


def told(finding: Finding, state: str, *parts: str) -> bool:
    """Whether the finding is of that state, and says all these things."""
    return finding.state == state and all(part in finding.text for part in parts)


def with_info(**values: str) -> Docker:
    return replace(DOCKER, info={**DOCKER.info, **values})


def test_a_finding_is_one_line_whatever_it_quotes() -> None:
    assert str(fix("it said:\n  no\n")) == "fix   it said: no"


def test_a_check_that_fails_itself_says_so() -> None:
    def check() -> Finding:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert told(find("the disk", check), "-", "the disk: could not be checked", "Permission denied")


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10), "fix"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fix")]
)
def test_python_must_be_one_that_the_lock_holds_for(version: tuple[int, int], state: str) -> None:
    assert check_python(version).state == state


# Docker


@pytest.mark.parametrize("version", ["25.0.0", "26.1.5+dfsg1", "29.0"])
def test_an_engine_that_is_new_enough_is_named(version: str) -> None:
    assert check_engine(with_info(ServerVersion=version)) == Finding("ok", f"Docker engine {version}")


@pytest.mark.parametrize("version", ["24.0.9", "20.10.24+dfsg1", "1.13"])
def test_an_old_engine_is_to_be_upgraded(version: str) -> None:
    assert told(check_engine(with_info(ServerVersion=version)), "fix", f"{version} is too old", "25 or newer")


def test_an_engine_whose_version_says_nothing_is_not_judged() -> None:
    assert told(check_engine(with_info(ServerVersion="dev")), "-", "can't be read from 'dev'")


def test_no_docker_at_all_is_wrong_only_where_it_is_wanted() -> None:
    assert told(check_engine(Docker()), "-", "./scripts/up --native works")
    assert told(check_engine(Docker(), is_wanted=True), "fix", "install Docker Engine")


def test_an_engine_that_does_not_answer_is_to_be_started() -> None:
    docker = replace(DOCKER, error="Cannot connect to the Docker daemon at unix:///nonexistent.", info={})
    assert told(check_engine(docker), "fix", "unix:///nonexistent", "start it", "./scripts/up --native")


def test_a_user_who_may_not_use_the_engine_is_told_how_to() -> None:
    error = "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock"
    assert told(check_engine(replace(DOCKER, error=error)), "fix", "usermod -aG docker")


@pytest.mark.parametrize(
    "podman",
    [
        replace(DOCKER, command="podman version 4.9.3", info={}),
        replace(DOCKER, version={"Server": {"Components": [{"Name": "Podman Engine"}]}}),
    ],
)
def test_podman_is_known_by_its_command_and_behind_dockers(podman: Docker) -> None:
    assert told(check_engine(podman), "fix", "Podman")
    assert not podman.is_usable


@pytest.mark.parametrize("version", ["2.24.0", "v2.26.1", "2.40.3-desktop.1", "5.0.1"])
def test_a_compose_that_is_new_enough_is_named(version: str) -> None:
    assert check_compose(replace(DOCKER, compose=Answer(version))) == Finding("ok", f"Compose {version}")


@pytest.mark.parametrize("version", ["2.23.3", "2.20.2", "1.29.2"])
def test_an_old_compose_is_to_be_upgraded(version: str) -> None:
    found = check_compose(replace(DOCKER, compose=Answer(version)))
    assert told(found, "fix", f"{version} is too old", "2.24.0")


def test_docker_without_compose_is_told() -> None:
    docker = replace(DOCKER, compose=Answer("", "docker: 'compose' is not a docker command."))
    assert told(check_compose(docker), "fix", "install Docker's Compose plugin")


def test_a_compose_whose_version_says_nothing_is_not_judged() -> None:
    assert check_compose(replace(DOCKER, compose=Answer("dev"))).state == "-"


ROOTLESS = replace(DOCKER, endpoint="unix:///run/user/1000/docker.sock")


@pytest.mark.parametrize(
    ("docker", "setting"),
    [
        (DOCKER, None),
        (DOCKER, "/var/run/docker.sock"),
        (ROOTLESS, "/run/user/1000/docker.sock"),
        (replace(DOCKER, endpoint="tcp://127.0.0.1:2375"), None),
    ],
)
def test_the_engines_own_socket_is_right(docker: Docker, setting: str | None) -> None:
    assert check_socket(docker, setting).state == "ok"


def test_a_link_to_the_engines_socket_is_right(tmp_path: Path) -> None:
    link = tmp_path / "docker.sock"
    link.symlink_to("/var/run/docker.sock")
    assert check_socket(replace(DOCKER, endpoint=f"unix://{link}"), None).state == "ok"


@pytest.mark.parametrize(
    ("docker", "setting", "socket"),
    [
        (ROOTLESS, None, "/run/user/1000/docker.sock"),
        (DOCKER, "/run/user/1000/docker.sock", "/var/run/docker.sock"),
    ],
)
def test_a_socket_that_is_not_the_engines_is_told_with_the_setting(
    docker: Docker, setting: str | None, socket: str
) -> None:
    assert told(check_socket(docker, setting), "fix", f"set DOCKER_SOCKET={socket} in .env")


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.7:2376", "ssh://me@build.invalid"])
def test_an_engine_on_another_machine_will_not_do(endpoint: str) -> None:
    docker = replace(DOCKER, endpoint=endpoint)
    assert told(check_socket(docker, None), "fix", endpoint, "unset DOCKER_HOST")
    assert not docker.is_local


def test_a_socket_in_a_virtual_machine_is_not_judged() -> None:
    desktop = replace(with_info(OperatingSystem="Docker Desktop"), endpoint="unix:///home/me/.docker/d.sock")
    assert check_socket(desktop, None).state == "-"
    assert not desktop.is_local


def answers(**given: Answer) -> Docker:
    """Look at a Docker that answers its commands, known by their first words, like this."""
    usual = {
        "--version": Answer(DOCKER.command),
        "compose": DOCKER.compose,
        "context": Answer(DOCKER.endpoint),
        "info": Answer(json.dumps(DOCKER.info)),
        "version": Answer(json.dumps(DOCKER.version)),
    }
    return look_at_docker(lambda *words: (usual | given)[words[0]])


def test_what_docker_answers_is_brought_together() -> None:
    found = answers()
    assert replace(found, asked=DOCKER.asked, answered=DOCKER.answered) == DOCKER
    assert found.asked <= found.answered


@pytest.mark.parametrize(
    "info", [Answer("", "Cannot connect"), Answer(json.dumps({"ServerErrors": ["Cannot connect"]}))]
)
def test_an_engine_that_does_not_answer_is_known_also_from_a_command_that_succeeds(info: Answer) -> None:
    found = answers(info=info)
    assert (found.error, found.is_usable) == ("Cannot connect", False)


def test_an_engine_that_answers_nonsense_is_not_judged() -> None:
    assert check_engine(answers(info=Answer("<html>"))).state == "-"


def test_of_what_a_failed_docker_command_prints_the_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '#!/bin/sh\nprintf "WARNING: old\\nunknown flag: $1\\n\\nUsage: docker\\n" >&2; exit 125\n'
    put_docker(tmp_path, monkeypatch, text)
    assert ask("--nonsense") == Answer("", "unknown flag: --nonsense")


def test_a_machine_without_docker_has_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_at_docker() == Docker()


# The machine


def port_finding(port: int, container: Publisher | None = None, own: tuple[int, ...] = ()) -> Finding:
    return check_port("SERVING_PORT", port, container=container, project="mine", own=own)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def _linux() -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("only where there is /proc is known who listens")


def test_a_free_port_is_fine(free_ports: tuple[int, int]) -> None:
    assert port_finding(free_ports[0]) == Finding("ok", f"port {free_ports[0]} is free (SERVING_PORT)")


@pytest.mark.usefixtures("_linux")
def test_a_taken_port_is_told_with_the_process_and_the_setting(taken: int) -> None:
    name = Path("/proc/self/comm").read_text().strip()
    found = port_finding(taken)
    assert told(found, "fix", f"port {taken} is taken by process {os.getpid()} ({name})", "set SERVING_PORT")


@pytest.mark.usefixtures("_linux")
def test_a_port_of_the_stacks_own_process_is_fine(taken: int) -> None:
    assert told(port_finding(taken, own=(os.getpid(),)), "ok", "is used by this stack")


def test_a_port_of_a_container_is_told_with_its_name(free_ports: tuple[int, int]) -> None:
    other, own = Publisher("web-1", "web"), Publisher("mine-serving-1", "mine")
    assert told(port_finding(free_ports[0], other), "fix", "container web-1", "docker stop web-1")
    assert told(port_finding(free_ports[0], own), "ok", "is used by this stack (container mine-serving-1)")


def test_a_port_that_is_taken_by_who_knows_whom_is_told(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.doctor.machine, "who_listens", lambda _: None)
    assert told(port_finding(taken), "fix", f"port {taken} is taken", "lsof")


def test_a_port_that_a_user_may_not_have_is_not_judged(
    free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(stack.doctor.machine, "port_error", lambda _: error)
    assert told(port_finding(free_ports[0]), "-", "Permission denied")


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0
   1: 0100007F:138A 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4343 1 0
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Make a /proc of two processes; the first has the socket that listens on port 5000."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TABLE)
    for pid, inode in (("7", 4242), ("8", 4343)):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd" / "3").symlink_to(f"socket:[{inode}]")
    return tmp_path


def test_who_listens_is_read_from_the_kernels_tables(proc: Path) -> None:
    listener = who_listens(5000, proc)
    assert listener is not None
    assert (listener.pids, listener.user) == ((7,), 1000)
    assert who_listens(5002, proc) is None  # a connection, nobody who listens


def test_the_process_of_another_user_is_known_by_the_user(
    proc: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (proc / "7" / "fd" / "3").unlink()
    listener = who_listens(5000, proc)
    assert listener is not None
    assert (listener.pids, listener.user) == ((), 1000)
    monkeypatch.setattr(stack.doctor.machine, "who_listens", lambda _: replace(listener, user=0))
    assert told(port_finding(taken), "fix", "a process of user root")


def test_a_disk_is_judged_where_the_directory_will_be_made(tmp_path: Path) -> None:
    wanted = tmp_path / "not" / "yet"
    assert told(check_home_disk(wanted), "ok", str(wanted), "free")
    assert told(check_disk("it", wanted, 2**60, "make room"), "fix", "nearly full", "make room")


def test_a_disk_that_is_not_this_machines_is_not_judged(tmp_path: Path) -> None:
    assert check_docker_disk(str(tmp_path), is_local=False).state == "-"
    assert check_docker_disk(str(tmp_path / "none"), is_local=True).state == "-"
    assert told(check_docker_disk(str(tmp_path), is_local=True), "ok", str(tmp_path))


def test_a_clock_before_what_has_happened_is_behind() -> None:
    assert check_clock(NOON, (NOON - timedelta(days=1), "the last commit was made")).state == "ok"
    found = check_clock(NOON, (NOON + timedelta(days=1), "the last commit was made"))
    assert told(found, "fix", "2026-01-02 12:00:00", "the last commit was made at 2026-01-03 12:00:00")


def test_the_newest_change_is_a_file_or_the_last_commit(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "new").touch()
    (tmp_path / "leads nowhere").symlink_to(tmp_path / "none")
    os.utime(tmp_path / "leads nowhere", (2, 2), follow_symlinks=False)
    os.utime(tmp_path / "old", (1, 1))
    os.utime(tmp_path / "new", (100, 100))
    assert newest_change(tmp_path) == (datetime.fromtimestamp(100, UTC), f"{tmp_path / 'new'} was changed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=me", "-c", "user.email=me@invalid"]
    later = {**os.environ, "GIT_COMMITTER_DATE": "4000000000 +0000"}
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "Later"], check=True, env=later)
    assert newest_change(tmp_path) == (datetime.fromtimestamp(4000000000, UTC), "the last commit was made")


@pytest.mark.parametrize(("off", "told_as"), [(-60, "60 s behind"), (61, "60 s ahead of")])
def test_an_engine_whose_clock_has_drifted_is_told(off: int, told_as: str) -> None:
    asked, answered = NOON, NOON + timedelta(seconds=1)
    assert told(check_engine_clock(asked, NOON + timedelta(seconds=off), answered), "fix", told_as)


def test_an_engine_that_took_long_to_answer_has_not_drifted() -> None:
    assert check_engine_clock(NOON, NOON, NOON + timedelta(seconds=60)).state == "ok"


# The network


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_PROXY": ""},
        {"HTTPS_PROXY": PROXY},
        {"HTTP_PROXY": PROXY, "NO_PROXY": "localhost,127.0.0.1"},
        {"http_proxy": PROXY, "no_proxy": "localhost,127.0.0.0/8"},
        {"ALL_PROXY": PROXY, "NO_PROXY": "*"},
    ],
)
def test_a_proxy_that_the_stack_is_exempt_from_is_fine(environ: dict[str, str]) -> None:
    assert check_shell_proxy(environ).state == "ok"


@pytest.mark.parametrize(
    ("environ", "remedy"),
    [
        ({"HTTP_PROXY": PROXY}, "export NO_PROXY=localhost,127.0.0.1"),
        ({"all_proxy": PROXY, "no_proxy": "localhost"}, "export no_proxy=localhost,127.0.0.1"),
    ],
)
def test_a_proxy_that_gets_the_stacks_requests_is_told(environ: dict[str, str], remedy: str) -> None:
    assert told(check_shell_proxy(environ), "fix", remedy)


def test_the_proxys_address_is_not_shown() -> None:
    assert PROXY not in check_shell_proxy({"HTTP_PROXY": PROXY}).text


@pytest.mark.parametrize(
    ("environ", "info", "has_base_image", "state"),
    [
        ({}, {"HttpProxy": ""}, False, "ok"),
        ({"HTTPS_PROXY": PROXY}, {"HttpProxy": ""}, True, "ok"),
        ({"HTTPS_PROXY": PROXY}, {"HttpsProxy": PROXY}, False, "ok"),
        ({"HTTPS_PROXY": PROXY}, {"HttpProxy": ""}, False, "fix"),
    ],
)
def test_an_engine_that_must_pull_needs_a_proxy_where_the_shell_does(
    environ: dict[str, str], info: dict[str, str], has_base_image: bool, state: str
) -> None:
    assert check_engine_proxy(environ, info, has_base_image=has_base_image).state == state


class Server(BaseHTTPRequestHandler):
    """Healthy for everyone; its API is for one host only, as MLflow's is."""

    def do_GET(self) -> None:
        allowed = self.path == "/health" or self.headers["Host"].startswith("127.0.0.1:")
        self.send_response(200 if allowed else 403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tracking_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_tracking_server_is_asked_as_its_clients_ask_it(
    tracking_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert check_tracking(tracking_url, is_own=True).state == "ok"
    refused = check_tracking(tracking_url, is_own=True, host="tracking:5000")
    assert told(
        refused, "fix", "refuses requests to tracking:5000 (403)", "add tracking:* to the MLFLOW_SERVER_"
    )


def test_a_proxy_between_a_client_and_a_healthy_server_is_told(
    tracking_url: str, free_ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports[0]}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert told(check_tracking(tracking_url, is_own=True), "fix", "is healthy", "ProxyError", "NO_PROXY")


def test_a_tracking_server_that_is_down_is_wrong_only_if_another_was_named(
    free_ports: tuple[int, int],
) -> None:
    url = f"http://127.0.0.1:{free_ports[0]}"
    assert told(check_tracking(url, is_own=True), "-", "is not running")
    assert told(check_tracking(url, is_own=False, remedy="correct IT"), "fix", "correct IT")


@pytest.mark.parametrize(
    ("status", "host", "remedy"),
    [
        (401, "mlflow.invalid", "MLFLOW_TRACKING_USERNAME"),
        (403, "mlflow.invalid", "add mlflow.invalid to"),
        (403, "mlflow.invalid:5000", "add mlflow.invalid:* to"),
        (502, "mlflow.invalid", "status 502"),
    ],
)
def test_each_refusal_of_a_tracking_server_has_its_remedy(status: int, host: str, remedy: str) -> None:
    assert told(judge_answer("it", status, host), "fix", remedy)


# Settings and state


def test_the_names_that_something_reads_are_those_of_the_example_and_of_the_compose_files(
    tmp_path: Path,
) -> None:
    assert {"TRACKING_PORT", "DOCKER_SOCKET", "STACK_HOME"} <= known_settings()
    (tmp_path / ".env.example").write_text("# ONE=1\nA sentence, TWO=2\n")
    (tmp_path / "docker-compose.override.yml").write_text("ports: ['${MY_PORT:-1}:1']\n")
    assert known_settings(tmp_path) == {"ONE", "MY_PORT"}


@pytest.mark.parametrize(
    "names", [[], ["TRACKING_PORT"], ["COMPOSE_FILE", "DOCKER_HOST", "MY_OWN"], ["https_proxy", "NO_PROXY"]]
)
def test_names_that_are_right_or_not_the_stacks_are_fine(names: list[str]) -> None:
    assert told(check_names(names, known_settings()), "ok", *names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("TRACKNG_PORT", "TRACKNG_PORT (is TRACKING_PORT meant?)"),
        ("model_name", "model_name (is MODEL_NAME meant?)"),
        ("SERVER_COLOUR", "SERVER_COLOUR"),
        ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_ALLOWED_HOSTS (is SERVER_ALLOWED_HOSTS meant?)"),
    ],
)
def test_a_misspelt_name_is_told(name: str, said: str) -> None:
    assert told(check_names(["TRACKING_PORT", name], known_settings()), "fix", f"nothing reads: {said}:")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    (directory / MARKER).touch()
    return directory


def test_a_state_directory_that_is_the_stacks_is_fine(home: Path) -> None:
    assert told(check_home(home), "ok", str(home))
    assert told(check_home(home / "none"), "ok", "will be made")
    assert not (home / "none").exists()


def test_a_state_directory_of_somebody_elses_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    assert told(check_home(tmp_path), "fix", "holds other files", "STACK_HOME")
    assert told(check_home(tmp_path / "notes"), "fix", "can't be written to")


def test_a_bake_that_was_cut_short_is_told_unless_it_is_still_at_work(home: Path) -> None:
    partial = home / "models" / "iris" / "3.partial"
    partial.mkdir(parents=True)
    assert told(check_home(home), "fix", f"{partial}: delete it")
    with Process(home, "up").claim(), Process(home, "switch").claim():
        assert check_home(home).state == "ok"


SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_part_that_runs_without_its_supervisor_is_left_over(home: Path) -> None:
    tracking = Process(home, "tracking")
    child = tracking.start(SLEEP, os.environ, home)
    try:
        assert told(check_home(home), "fix", "was killed: tracking", "./scripts/down")
        assert child.pid in own_processes(home)
        with Process(home, "up").claim():
            assert left_over(home) == []
            assert own_processes(home) == {child.pid, os.getpid()}
    finally:
        tracking.stop()
        child.wait()
    assert check_home(home).state == "ok"


REVISIONS: dict[str, str | None] = {"first": None, "second": "first"}


def make_database(home: Path, revision: str) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.commit()


@pytest.mark.parametrize(
    ("revision", "state", "said"),
    [
        ("second", "ok", "has the revision"),
        ("first", "ok", "older"),
        ("third", "fix", "newer"),
    ],
)
def test_a_database_must_be_of_the_installed_mlflows_revision(
    home: Path, revision: str, state: str, said: str
) -> None:
    make_database(home, revision)
    assert told(check_native_database(home, REVISIONS), state, said, str(home / "mlflow.db"))
    assert told(check_docker_database("mine_mlflow", Answer(revision), REVISIONS), state, said, "mine_mlflow")


def test_how_to_go_on_with_another_mlflows_database_is_told() -> None:
    assert told(judge_database("it", "third", REVISIONS, "DELETE"), "fix", "lock/", "DELETE")
    assert told(judge_database("it", "first", REVISIONS, "DELETE"), "ok", "./scripts/up migrates it")


def test_no_database_is_fine_and_a_broken_one_is_told(home: Path) -> None:
    assert told(check_native_database(home, REVISIONS), "-", "not there yet")
    assert not (home / "mlflow.db").exists()
    (home / "mlflow.db").write_text("not a database, but long enough to be taken for one" * 100)
    assert told(check_native_database(home, REVISIONS), "fix", "can't be read", "not a database")


def test_a_volume_without_a_database_or_that_can_not_be_read_is_not_judged() -> None:
    assert told(check_docker_database("v", Answer(""), REVISIONS), "-", "not there yet")
    assert told(check_docker_database("v", Answer("", "no space left"), REVISIONS), "-", "no space left")


def test_the_installed_mlflows_revisions_form_one_chain_to_the_newest() -> None:
    known = known_revisions()
    assert len(known) > 50
    assert len([revision for revision in known if revision not in known.values()]) == 1
    assert {before for before in known.values() if before} <= set(known)

"""A Spark cluster as the user names it: what is asked of it, what Spark is told, what its errors come to."""

import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scorer.job import Job, Part, ScoringError, Written
from scorer.output import commit, staging
from scorer.spark import _answers, _as_its_parent
from scorer.spark.cluster import Cluster
from scorer.spark.driver import Driver
from scorer.spark.errors import refusal, told
from scorer.spark.shipping import search_path, ship, shipped_model
from scorer.spark.task import Answers, Task

from stack.__main__ import parser
from stack.cluster import Cluster as Named
from stack.cluster import addresses, find_cluster
from stack.config import load_config
from stack.errors import StackError
from stack.modes import docker_spark, native_spark
from stack.modes.docker import scoring_command
from stack.modes.docker_environment import Fetching
from stack.modes.mode import ScoredPaths
from tests.unit.test_docker import an_image

CONFIG = load_config({"COMPOSE_PROJECT_NAME": "mine"}, Path("/nonexistent/.env"))
MASTER = "spark://one:7077"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def master() -> Iterator[str]:
    """Listen as a master does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"spark://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Listen where no connection comes about: the queue of those that nobody accepts is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield f"spark://127.0.0.1:{server.getsockname()[1]}"
        for each in waiting:
            each.close()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_master_that_answers_says_from_where_it_was_reached(master: str) -> None:
    assert find_cluster(master, None, None).driver_host == "127.0.0.1"


def test_one_of_several_masters_that_answers_is_enough(master: str) -> None:
    both = f"spark://{closed_port()},{master.removeprefix('spark://')}"
    assert find_cluster(both, None, None).driver_host == "127.0.0.1"


def test_a_master_that_is_not_there_is_told() -> None:
    with pytest.raises(StackError, match=r"no Spark master answers at spark://\S+ \(Connection refused\)"):
        find_cluster(f"spark://{closed_port()}", None, None)


def test_a_master_that_never_answers_is_told_within_seconds(
    black_hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.cluster._ANSWERS_WITHIN", 0.2)
    with pytest.raises(StackError, match="no Spark master answers at"):
        find_cluster(black_hole, None, None)


@pytest.mark.parametrize("master", ["local", "local[*]", "local[2]", "yarn"])
def test_where_no_address_says_nothing_is_asked(master: str) -> None:
    assert find_cluster(master, None, None).driver_host == ""


@pytest.mark.parametrize(
    "master",
    [
        "",
        "one:7077",
        "spark://one",
        "spark://one:port",
        "local[0]",
        "local-cluster[2,1,1024]",
        "http://one:1",
    ],
)
def test_what_is_no_address_of_spark_is_refused(master: str) -> None:
    with pytest.raises(StackError, match="--master is no address of Spark"):
        find_cluster(master, None, None)


@pytest.mark.parametrize(
    ("master", "found"),
    [
        ("spark://one:7077,[::1]:7078", [("one", 7077), ("::1", 7078)]),
        ("k8s://https://api", [("api", 443)]),
        ("k8s://http://api:8001", [("api", 8001)]),
        ("k8s://api:6443", [("api", 6443)]),
        ("yarn", []),
    ],
)
def test_the_places_where_a_master_may_answer(master: str, found: list[tuple[str, int]]) -> None:
    assert addresses(master) == found


def test_a_port_that_there_is_not_is_refused() -> None:
    with pytest.raises(StackError, match="--master has no port from 1 to 65535 in spark://one:70777"):
        addresses("spark://one:70777")


def test_the_settings_of_the_user_go_along_and_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("spark.authenticate.secret hush\n")
    found = find_cluster("local", None, file)
    assert found.request(CONFIG)["properties"] == "spark.authenticate.secret hush\n"
    assert "hush" not in str(found)
    assert "hush" not in str(Cluster(**found.request(CONFIG)))


def test_settings_that_can_not_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"can't read .*; correct --properties"):
        find_cluster("local", None, tmp_path / "none.conf")


def test_the_settings_of_the_user_override_ours_but_not_the_master() -> None:
    mine = "spark.driver.host 10.0.0.1\nspark.master yarn\nspark.app.name a \\"
    lines = Cluster(MASTER, "127.0.0.1", properties=mine).settings("/code").splitlines()
    assert lines.index("spark.driver.host=127.0.0.1") < lines.index("spark.driver.host 10.0.0.1")
    assert lines[-1] == "spark.master=spark\\://one\\:7077"
    assert lines[-3:-1] == ["", "spark.executorEnv.PYTHONPATH=/code"]  # an empty one ends a line that goes on


def test_executors_search_what_is_shipped_then_where_the_user_says() -> None:
    mine = "spark.executorEnv.PYTHONPATH=/old\nspark.executorEnv.PYTHONPATH /opt/a:\\\n  /opt/b \n"
    lines = Cluster(MASTER, properties=mine).settings("/code").splitlines()
    assert lines[-2] == "spark.executorEnv.PYTHONPATH=/code\\:/opt/a:/opt/b"


def test_executors_leave_no_byte_code_in_what_is_shipped() -> None:
    assert "spark.executorEnv.PYTHONDONTWRITEBYTECODE=1" in Cluster(MASTER).settings("/code").splitlines()


@pytest.mark.parametrize(
    ("master", "told_spark"),
    [("local", "local[1,4]"), ("local[*]", "local[*,4]"), ("local[2]", "local[2,4]"), ("yarn", "yarn")],
)
def test_in_one_process_too_a_task_that_is_killed_is_tried_again(master: str, told_spark: str) -> None:
    assert Cluster(master).settings("").splitlines()[-1] == f"spark.master={told_spark}"


def test_a_python_in_the_properties_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("spark.pyspark.python.x 1\nspark.pyspark.python /opt/python\n")
    with pytest.raises(StackError, match=r"spark.pyspark.python in \S+ would say .* use --python"):
        find_cluster("local", None, file)


def test_the_log_says_why_the_context_was_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.spark.errors._release", lambda: "4.3.0")
    log = "26/11/29 10:00:00 ERROR StandaloneSchedulerBackend: All masters are unresponsive! Giving up."
    assert f"{MASTER} does not take" in told("java.lang.IllegalStateException: stopped", Cluster(MASTER), log)


def test_values_are_written_as_java_reads_them() -> None:
    own = {"KEY": "a b=c:d#\\e\nf"}
    lines = Cluster(MASTER, "::1", environment=own).settings("/a b:/c").splitlines()
    assert "spark.executorEnv.KEY=a\\ b\\=c\\:d\\#\\\\e\\nf" in lines
    assert "spark.executorEnv.PYTHONPATH=/a\\ b\\:/c" in lines
    assert "spark.driver.host=[\\:\\:1]" in lines


def test_only_a_cluster_without_packages_gets_them() -> None:
    assert Cluster(MASTER).lacks_packages
    assert Cluster(MASTER).executors_python == f"python{OWN}"
    assert not Cluster(MASTER, python="/opt/python").lacks_packages
    assert not Cluster("local[2]").lacks_packages
    assert Cluster("local[2]").executors_python == sys.executable


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "org.apache.spark.api.python.PythonException: ModuleNotFoundError: No module named 'scorer'",
            "an executor does not see the directory of OUTPUT, or may not read it",
        ),
        (
            "[PYTHON_VERSION_MISMATCH] different version: 3.9 than that in driver: 3.13,",
            f"the executors' python{OWN} is Python 3.9, and the model runs on {OWN}",
        ),
        (
            'java.io.IOException: Cannot run program "python3.13": error=2, No such file',
            "an executor has no python3.13",
        ),
        ("All masters are unresponsive! Giving up.", f"{MASTER} does not take the application"),
        ("Master removed our application: FAILED", f"{MASTER} has ended the application"),
        ("SparkException: Python worker exited unexpectedly (crashed)", "was killed again and again"),
        ("java.lang.IllegalStateException: Expected SaslMessage", "the secrets don't agree"),
        (
            "WARNING: Using incubator modules: jdk.incubator.vector\n"
            "26/11/29 10:00:00 WARN Utils: x: java.net.UnknownHostException: y\n"
            'Exception in thread "main" org.apache.spark.SparkException: Cannot load it.\n\tat z',
            "Spark failed: Cannot load it",
        ),
        (
            "WARNING: Using incubator modules\nError: Unrecognized option: -x",
            "failed: Unrecognized option: -x",
        ),
        ("x\nCaused by: java.io.IOException: No space left on device\n\tat y", "Spark failed: No space left"),
        ("", "Spark failed: it says nothing"),
    ],
)
def test_what_spark_says_is_told_in_a_sentence(
    said: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.spark.errors._release", lambda: "4.3.0")
    assert sentence in told(said, Cluster(MASTER))
    assert "\n" not in told(said, Cluster(MASTER))


def test_a_log_without_a_refusal_says_nothing() -> None:
    assert (
        refusal("26/11/29 WARN NativeCodeLoader: Unable to load native-hadoop library", Cluster(MASTER)) == ""
    )


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a caller wait for the job."""
    monkeypatch.setattr("scorer.spark.shipping.check_caller", lambda: None)


@pytest.mark.usefixtures("caller")
def test_what_is_shipped_can_be_read_by_all_and_its_source_stays_as_it_is(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "inner").mkdir(parents=True)
    (model / "inner" / "file").write_text("a")
    (model / "inner" / "file").chmod(0o600)
    (model / "inner").chmod(0o700)
    ship(str(model), tmp_path / "shared", packages=False)
    shipped = shipped_model(tmp_path / "shared") / "inner"
    assert [path.stat().st_mode & 0o777 for path in (shipped, shipped / "file")] == [0o755, 0o644]
    assert (model / "inner" / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("caller")
def test_no_room_for_what_is_shipped_is_told_at_the_first_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copy2", full)
    (tmp_path / "MLmodel").touch()
    with pytest.raises(ScoringError, match="there is no room for the model, the code and the packages"):
        ship(str(tmp_path), tmp_path / "shared", packages=False)


@pytest.mark.usefixtures("caller")
def test_executors_get_the_model_the_code_and_the_packages(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("a: 1")
    shared = tmp_path / "shared"
    ship(str(model), shared, packages=False)
    assert (shipped_model(shared) / "MLmodel").read_text() == "a: 1"
    code = "import scorer.spark.task, sys; sys.exit('mlflow' in sys.modules)"
    searched = {**os.environ, "PYTHONPATH": search_path(shared)}
    subprocess.run([sys.executable, "-P", "-c", code], env=searched, cwd=tmp_path, check=True)


def test_answers_add_up_in_their_order() -> None:
    assert Answers().addInPlace(Answers().zero([]), ["one", "two"]) == ["one", "two"]


def test_a_machine_without_java_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(StackError, match="Spark needs Java, and the PATH has none; install Java 17 or newer"):
        native_spark.check_java()


@pytest.mark.parametrize(
    ("said", "refused"),
    [('openjdk version "17.0.15"', ""), ('java version "1.8.0_402"', "Java 8"), ("what?", "no Java")],
)
def test_a_java_that_is_too_old_is_told(
    said: str, refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if not refused:
        native_spark.check_java()
        return
    with pytest.raises(StackError, match=f"Spark can't run on {java}, which is {refused}; install Java 17"):
        native_spark.check_java()


def test_with_docker_the_driver_of_a_cluster_has_this_machines_network() -> None:
    paths = ScoredPaths("/data/in.csv", Path("/data/out"))
    for master, network in ((None, "none"), ("local[2]", "none"), ("spark://one:7077", "host")):
        cluster = Named(master, properties="spark.authenticate.secret hush") if master else None
        command = scoring_command(CONFIG, "image", "1000:1000", Path("/model"), paths, cluster)
        assert f"--network={network}" in command
        assert "hush" not in str(command)
        assert ("target=/etc/passwd" in str(command)) == (master is not None)


def test_with_docker_the_user_has_a_name() -> None:
    assert docker_spark.users("1000:100").splitlines()[1:] == ["user:x:1000:100::/:/bin/sh"]
    assert len(docker_spark.users("0:0").splitlines()) == 1


def test_with_docker_spark_is_put_on_the_models_own_image() -> None:
    fetching = Fetching({"HTTP_PROXY": "http://me:hush@proxy"}, "host", "ca.pem")
    on = an_image("sha256:base", "1", platform="linux/arm64")
    command = docker_spark.build_command(CONFIG, "name", "mine-environment:key", on, "made", fetching)
    assert command[:2] == ["docker", "build"]
    assert {"--target=score-spark", "--platform=linux/arm64", "--network=host", "--tag=name"} <= set(command)
    assert "--build-context=base=docker-image://mine-environment:key" in command
    assert "--label=com.docker.compose.project=mine" in command
    assert "hush" not in str(command)


def test_a_path_that_executors_can_not_search_is_told(tmp_path: Path) -> None:
    job = Job("model", str(tmp_path), "iris", "1", b"", b"")
    driver = Driver(job, [], Cluster(MASTER), tmp_path / "a:b")
    with pytest.raises(ScoringError, match="because that path has a colon; choose another OUTPUT"):
        driver.start()
    driver.end()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--workers", "2", "--master", "local"], "--workers is for this machine"),
        (["--python", "python3"], "--python and --properties are for a cluster of Spark"),
        (["--properties", "spark.conf"], "--python and --properties are for a cluster of Spark"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    options: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = parser().parse_args(["score", "in.csv", "out", *options])
    with pytest.raises(SystemExit) as ended:
        arguments.run(arguments)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


class Added:
    """Takes the answers of tasks as an accumulator does."""

    def __init__(self) -> None:
        self.answers: list[Written | str] = []

    def add(self, more: list[Written | str]) -> None:
        self.answers += more


def not_loaded() -> ScoringError:
    error = ScoringError("the model can't be loaded (MlflowException, see above)")
    error.__cause__ = RuntimeError()
    error.__cause__.__context__ = ModuleNotFoundError("x", name="scipy")
    return error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ScoringError("the model fails"), "the model fails"),
        (ModuleNotFoundError("x", name="scipy"), "/opt/python of the executor on .* lacks the module scipy"),
        (not_loaded(), "/opt/python of the executor on .* lacks the module scipy; install it there, or omit"),
        (ScoringError("not loaded (see above)"), r"not loaded \(see the stderr of the executor on .*\)"),
        (ValueError("4242"), r"scoring failed \(ValueError\); the log of the executor on"),
    ],
    ids=["told", "no module", "no module of the model", "above", "unknown"],
)
def test_what_no_repetition_helps_against_is_an_answer_without_data(
    error: Exception, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("scorer.scoring.score_part", fail)
    file = tmp_path / "in.csv"
    file.touch()
    added = Added()
    Task(Job("model", str(tmp_path), "iris", "1", b"", b""), "/opt/python", added)(Part(0, str(file)))
    [told] = added.answers
    assert isinstance(told, str)
    assert re.match(answer, told)
    assert "4242" not in told


def test_an_executor_that_does_not_see_input_says_so(tmp_path: Path) -> None:
    added = Added()
    Task(Job("model", str(tmp_path), "iris", "1", b"", b""), "", added)(Part(0, "/nowhere/in.csv"))
    assert "does not see /nowhere/in.csv; all machines must see it" in str(added.answers)


@pytest.mark.parametrize(("directory", "use"), [("in", "read"), ("out", "write")])
def test_an_executor_that_may_not_use_a_path_says_so(
    directory: str, use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    refused, added = str(tmp_path / directory), Added()
    monkeypatch.setattr("os.access", lambda path, _mode: str(path) != refused)  # root may do all
    job = Job("model", str(tmp_path / "out"), "iris", "1", b"", b"")
    Task(job, "", added)(Part(0, str(tmp_path / "in")))
    assert f"as the user with the id {os.getuid()}, may not {use} {refused}; run" in str(added.answers)


def test_meanwhile_those_may_write_who_may_write_beside_output(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    staging = tmp_path / ".out.scoring"
    staging.mkdir(mode=0o755)
    with _as_its_parent(staging):
        assert staging.stat().st_mode & 0o777 == 0o777
    assert staging.stat().st_mode & 0o777 == 0o755


def test_what_an_executor_leaves_and_nobody_may_remove_harms_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied", str(path / "a.pyc"))

    output = tmp_path / "out"
    with staging(output) as directory:
        (directory / "_spark-1").mkdir()
        with monkeypatch.context() as patched:
            patched.setattr("shutil.rmtree", refuse)
            assert commit(directory, output, [], None, {})["rows"] == 0
    left = tmp_path / ".next.scoring" / "_spark-1"
    left.mkdir(parents=True)
    monkeypatch.setattr("shutil.rmtree", refuse)
    with (
        pytest.raises(ScoringError, match=rf"can't remove {left}/a.pyc, which a former run has left: Permis"),
        staging(tmp_path / "next"),
    ):
        pass


class Idle:
    """A driver whose executors are at work or not, as a script says: one letter for each look."""

    is_registered = True

    def __init__(self, script: str) -> None:
        self._left = list(script)

    def is_over(self, within: float) -> bool:  # noqa: ARG002
        return not self._left

    def new_answers(self) -> list[Written | str]:
        return []

    def is_at_work(self) -> bool:
        return bool(self._left) and self._left.pop(0) == "w"


def test_each_time_that_no_executor_is_at_work_it_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 10))  # seconds
    monkeypatch.setattr("scorer.spark.check_caller", lambda: None)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    notes: list[str] = []
    driver: Any = Idle("----w--w----w")
    assert list(_answers(driver, Cluster(MASTER), notes.append)) == []
    assert len(notes) == 3
    assert "no executor of spark://one:7077 is at work" in notes[0]
    driver = Idle("----")
    driver.is_registered = False
    assert list(_answers(driver, Cluster(MASTER), notes.append)) == []
    assert "has not answered the application yet" in notes[-1]
    assert len(notes) == 4
    driver = Idle("")
    assert list(_answers(driver, Cluster("local[2]"), notes.append)) == []


def test_a_container_that_can_not_be_the_driver_is_told() -> None:
    docker_spark.check(Named("local[2]"), "[name=rootless]")
    docker_spark.check(Named(MASTER), "[name=seccomp]")
    with pytest.raises(StackError, match=r"rootless, so executors can't connect .* use --native"):
        docker_spark.check(Named(MASTER), "[name=rootless]")
    with pytest.raises(StackError, match="settings of Hadoop that yarn needs; use --native"):
        docker_spark.check(Named("yarn"), "")


def test_another_spark_of_the_user_does_not_count() -> None:
    mine = {"SPARK_HOME": "/opt", "PYSPARK_PYTHON": "python2", "JAVA_HOME": "/java"}
    assert native_spark.without_sparks(mine) == {"JAVA_HOME": "/java"}


def test_spark_is_installed_once_and_one_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "spark"
    for name in ("0ld", "killed.1"):
        (places / name).mkdir(parents=True)
    installed: list[str] = []

    def install(command: list[str], *_: object, **_settings: object) -> SimpleNamespace:
        with (places / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(command[-1]).mkdir()
        installed.append(command[-1])
        return SimpleNamespace(how="")

    monkeypatch.setattr("stack.modes.aside.run_interruptibly", install)
    assert native_spark.prepare(tmp_path) == native_spark.prepare(tmp_path)
    assert len(installed) == 1
    assert {each.name for each in places.iterdir()} == {"0ld", "lock", native_spark.prepare(tmp_path).name}

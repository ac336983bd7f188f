import os
from pathlib import Path

import pytest
from model_server.settings import SettingError, Settings, available_cpus, load_settings

_HOSTS = "names of hosts without a port, with commas between them, or *"
_ORIGINS = "origins such as https://example.com, with commas between them, or *"
MODEL = {"__pyfunc_model_path__": "/opt/ml/model"}


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def quota_v2(directory: Path, text: str) -> Path:
    (directory / "cpu.max").write_text(text)
    return directory


def quota_v1(directory: Path, quota: str) -> Path:
    (directory / "cpu").mkdir()
    (directory / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (directory / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    return directory


def test_every_setting_but_the_model_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.settings.available_cpus", lambda: 2)
    assert load_settings(MODEL) == Settings(
        model_path="/opt/ml/model",
        host="127.0.0.1",
        port=8080,
        own_port=0,
        workers=2,
        preload=None,
        threads=1,
        blas_threads=1,
        queue=64,
        max_body=16 * 1024 * 1024,
        timeout=60,
        request_log=False,
        strict=True,
        allowed_hosts=frozenset(),
        cors_origins=frozenset(),
        model_config={},
        name="unknown",
        version="unknown",
        image_id="unknown",
    )


def test_every_setting_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.settings.available_cpus", lambda: 6)
    settings = {
        "SERVING_MODEL_CONFIG": '{"depth": 2}',
        "SERVER_CORS_ORIGINS": "https://App.example.com, http://[::1]:3000,",
        "SERVER_HOST": "0.0.0.0",  # noqa: S104
        "SERVER_PORT": "5002",
        "SERVER_OWN_PORT": "5003",
        "SERVER_WORKERS": "3",
        "SERVER_PRELOAD": "false",
        "SERVER_THREADS": "3",
        "SERVER_QUEUE": "2",
        "SERVER_MAX_BODY_MB": "1",
        "SERVER_TIMEOUT": "5",
        "SERVER_REQUEST_LOG": "True",
        "SERVER_STRICT": "false",
        "SERVER_ALLOWED_HOSTS": " A.example.com,*,",
        "SERVER_SERVICE_NAMES": "serving,mine-trial",
        "MODEL_NAME": "iris",
        "MODEL_VERSION": "3",
        "IMAGE_ID": "sha256:1",
    }
    assert load_settings(MODEL | settings) == Settings(
        model_path="/opt/ml/model",
        host="0.0.0.0",  # noqa: S104
        port=5002,
        own_port=5003,
        workers=3,
        preload=False,
        threads=3,
        blas_threads=2,
        queue=2,
        max_body=1024 * 1024,
        timeout=5,
        request_log=True,
        strict=False,
        allowed_hosts=frozenset({"serving", "mine-trial", "a.example.com", "*"}),
        name="iris",
        version="3",
        image_id="sha256:1",
        cors_origins=frozenset({"https://app.example.com", "http://[::1]:3000"}),
        model_config={"depth": 2},
    )


def test_an_empty_value_is_none_as_for_compose() -> None:
    empty = dict.fromkeys(("SERVER_PORT", "SERVER_WORKERS", "SERVER_REQUEST_LOG", "MODEL_NAME"), "")
    assert load_settings(MODEL | empty) == load_settings(MODEL)


@pytest.mark.parametrize("environ", [{}, {"__pyfunc_model_path__": ""}])
def test_a_missing_model_is_told_with_what_to_set(environ: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"^__pyfunc_model_path__ is not set; set it to the directory"):
        load_settings(environ)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SERVER_PORT", "0", "a whole number, 1 to 65535"),
        ("SERVER_PORT", "65536", "a whole number, 1 to 65535"),
        ("SERVER_PORT", "http", "a whole number, 1 to 65535"),
        ("SERVER_PORT", "\N{ARABIC-INDIC DIGIT FIVE}", "a whole number, 1 to 65535"),
        ("SERVER_WORKERS", "0", "a whole number, 1 or more"),
        ("SERVER_WORKERS", "-1", "a whole number, 1 or more"),
        ("SERVER_WORKERS", "auto", "a whole number, 1 or more"),
        ("SERVER_THREADS", "1.5", "a whole number, 1 or more"),
        ("SERVER_QUEUE", "0", "a whole number, 1 or more"),
        ("SERVER_MAX_BODY_MB", "0", "a whole number, 1 or more"),
        ("SERVER_MAX_BODY_MB", "16M", "a whole number, 1 or more"),
        ("SERVER_TIMEOUT", "0", "a whole number, 1 or more"),
        ("SERVER_TIMEOUT", "60s", "a whole number, 1 or more"),
        ("SERVER_TIMEOUT", " ", "a whole number, 1 or more"),
        ("SERVER_REQUEST_LOG", "on", "true or false"),
        ("SERVER_PRELOAD", "auto", "true or false"),
        ("SERVER_STRICT", "0", "true or false"),
        ("SERVER_ALLOWED_HOSTS", "localhost:80", _HOSTS),
        ("SERVER_ALLOWED_HOSTS", "http://a", _HOSTS),
        ("SERVER_ALLOWED_HOSTS", "*.a", _HOSTS),
        ("SERVER_CORS_ORIGINS", "app.example.com", _ORIGINS),
        ("SERVER_CORS_ORIGINS", "https://app.example.com/", _ORIGINS),
        ("SERVER_CORS_ORIGINS", "https://*.example.com", _ORIGINS),
        ("SERVER_CORS_ORIGINS", "null", _ORIGINS),
    ],
)
def test_a_bad_value_is_told_with_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingError) as error:
        load_settings(MODEL | {name: value})
    assert str(error.value) == f"{name}: expected {expected}, found {value!r}; change it"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("depth: 2", "no JSON (Expecting value: line 1 column 1 (char 0))"),
        (
            "{'depth': 2}",
            "no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        ),
        ('"config.yml"', "other JSON"),
        ("[1]", "other JSON"),
    ],
)
def test_a_model_config_that_is_none_is_told_without_what_it_holds(value: str, found: str) -> None:
    with pytest.raises(SettingError) as error:
        load_settings(MODEL | {"SERVING_MODEL_CONFIG": value})
    assert str(error.value) == f"SERVING_MODEL_CONFIG: expected a JSON object, found {found}; change it"


def test_there_are_no_more_than_eight_workers_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.settings.available_cpus", lambda: 64)
    settings = load_settings(MODEL)
    assert (settings.workers, settings.blas_threads) == (8, 8)
    assert load_settings(MODEL | {"SERVER_WORKERS": "100"}).workers == 100


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("25000 50000\n", 1),
        ("9999999 100000\n", 8),
        ("", 8),
        ("nonsense\n", 8),
    ],
)
def test_the_quota_of_cgroup_v2_is_heeded(tmp_path: Path, quota: str, cpus: int) -> None:
    assert available_cpus(quota_v2(tmp_path, quota)) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1\n", 8), ("300000\n", 3), ("10000\n", 1)])
def test_the_quota_of_cgroup_v1_is_heeded(tmp_path: Path, quota: str, cpus: int) -> None:
    assert available_cpus(quota_v1(tmp_path, quota)) == cpus


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none") == 8


def test_without_an_affinity_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cpus(tmp_path) == 5
    assert available_cpus(quota_v2(tmp_path, "100000 100000")) == 1

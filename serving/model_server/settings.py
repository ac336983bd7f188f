"""The model server's settings: no other module of it reads the environment."""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")
_MOST_WORKERS = 8
_HOST = re.compile(r"[a-z0-9_.-]+")
# What a browser sends as the Origin: https://www.rfc-editor.org/rfc/rfc6454.html#section-6.2
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:\d+)?")


class SettingError(Exception):
    """A setting that can't be used: what was expected, and what was found."""


@dataclass(frozen=True)
class Settings:
    """Every setting, checked; `.env.example` says what each is for.

    ``queue`` counts requests for predictions, for each worker; ``max_body`` is in bytes, ``timeout`` in
    seconds. ``preload`` says whether the workers share one loaded model; None if that depends on the model.
    ``strict`` is whether values that MLflow would change are refused. ``allowed_hosts`` are names that a
    request may ask for, besides this machine's own; ``cors_origins`` are origins whose pages may ask from a
    browser. ``model_config`` replaces values of the model's own. ``own_port`` is a second port; with it,
    another server may share ``port``. 0 if there is none. ``name``, ``version`` and ``image_id`` say which
    model this is, where that is known. ``gateway_secret`` is what a gateway shows with each request, if only
    one may ask.
    """

    model_path: str
    host: str
    port: int
    own_port: int
    workers: int
    preload: bool | None
    threads: int
    blas_threads: int
    queue: int
    max_body: int
    timeout: int
    request_log: bool
    strict: bool
    allowed_hosts: frozenset[str]
    cors_origins: frozenset[str]
    model_config: dict[str, Any]
    name: str
    version: str
    image_id: str
    gateway_secret: bytes = b""


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; an empty value counts as not set, as for Compose.

    Raises:
        SettingError: if one can't be used.

    """
    values = {name: value for name, value in environ.items() if value}
    if "__pyfunc_model_path__" not in values:
        raise SettingError("__pyfunc_model_path__ is not set; set it to the directory of a model")
    cpus = available_cpus()
    workers = _number(values, "SERVER_WORKERS", min(cpus, _MOST_WORKERS), 1)
    return Settings(
        model_path=values["__pyfunc_model_path__"],
        host=values.get("SERVER_HOST", "127.0.0.1"),
        port=_number(values, "SERVER_PORT", 8080, 1, 65535),
        own_port=_number(values, "SERVER_OWN_PORT", 0, 0, 65535),
        workers=workers,
        preload=_boolean(values, "SERVER_PRELOAD", "true") if "SERVER_PRELOAD" in values else None,
        threads=_number(values, "SERVER_THREADS", 1, 1),
        blas_threads=max(1, cpus // workers),
        queue=_number(values, "SERVER_QUEUE", 64, 1),
        max_body=_number(values, "SERVER_MAX_BODY_MB", 16, 1) * 1024 * 1024,
        timeout=_number(values, "SERVER_TIMEOUT", 60, 1),
        request_log=_boolean(values, "SERVER_REQUEST_LOG", "false"),
        strict=_boolean(values, "SERVER_STRICT", "true"),
        allowed_hosts=_hosts(values, "SERVER_ALLOWED_HOSTS") | _hosts(values, "SERVER_SERVICE_NAMES"),
        cors_origins=_list(values, "SERVER_CORS_ORIGINS", _ORIGIN, "origins such as https://example.com"),
        model_config=_object(values, "SERVING_MODEL_CONFIG"),
        name=values.get("MODEL_NAME", "unknown"),
        version=values.get("MODEL_VERSION", "unknown"),
        image_id=values.get("IMAGE_ID", "unknown"),
        gateway_secret=values.get("GATEWAY_SECRET", "").encode(),
    )


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the number of CPUs that this process may use, by its affinity and its cgroup's quota.

    In a container, `docker run --cpus` sets the quota. Its files are described in
    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files or are those of its predecessor.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        if float(quota) > 0:
            cpus = min(cpus, math.ceil(float(quota) / float(period)))
    except (OSError, ValueError):  # no cgroup, or no quota ("max")
        pass
    return max(1, cpus)


def _boolean(values: Mapping[str, str], name: str, default: str) -> bool:
    text = values.get(name, default)
    if text.lower() not in ("true", "false"):
        raise SettingError(f"{name}: expected true or false, found {text!r}; change it")
    return text.lower() == "true"


def _hosts(values: Mapping[str, str], name: str) -> frozenset[str]:
    return _list(values, name, _HOST, "names of hosts without a port")


def _list(values: Mapping[str, str], name: str, form: re.Pattern[str], what: str) -> frozenset[str]:
    parts = [part.strip().lower() for part in values.get(name, "").split(",")]
    for part in filter(None, parts):
        if part != "*" and not form.fullmatch(part):
            raise SettingError(
                f"{name}: expected {what}, with commas between them, or *, found {part!r}; change it"
            )
    return frozenset(filter(None, parts))


def _object(values: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found = json.loads(values.get(name, "{}"))
    except ValueError as error:
        raise SettingError(f"{name}: expected a JSON object, found no JSON ({error}); change it") from None
    if not isinstance(found, dict):
        raise SettingError(f"{name}: expected a JSON object, found other JSON; change it")
    return found


def _number(values: Mapping[str, str], name: str, default: int, least: int, most: int | None = None) -> int:
    text = values.get(name, str(default))
    bounds = f"{least} or more" if most is None else f"{least} to {most}"
    if not (text.isascii() and text.isdigit()) or int(text) < least or (most and int(text) > most):
        raise SettingError(f"{name}: expected a whole number, {bounds}, found {text!r}; change it")
    return int(text)

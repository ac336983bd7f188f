"""What the templates of a kustomize base are filled in with, as YAML."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap

from stack.config import SERVER_SETTINGS
from stack.errors import StackError
from stack.export.service import Service
from stack.export.version import Version
from stack.export.writing import cpu_quantity, listed, literal, mapping, memory_quantity, one_line

_BEFORE_STOP = 5  # seconds
# A worker that hangs so much longer than SERVER_TIMEOUT is replaced by the server itself.
_HUNG_FOR = 30  # seconds
_LIVENESS_PERIOD = 10  # seconds
LEAST_MEMORY = 1024**3
"""The limit of a server's memory where nothing says how much it needs [bytes]."""
_CPUS = 2
# A Service's name is a host's, too: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.1. KServe adds to it.
_LONGEST_NAME = 50
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_CLOSED = "# As with SERVING_NETWORK=closed, the model reaches nothing.\negress: []"


@dataclass(frozen=True)
class Wanted:
    """What to write: a ServiceMonitor too; an InferenceService in place of what KServe makes by itself."""

    service_monitor: bool = False
    kserve: bool = False


def name_in_cluster(model: str) -> str:
    """Name the objects of a model; StackError if that would be too long."""
    name = re.sub(r"[._-]+", "-", model)
    name = name if name[0].isalpha() else f"model-{name}"
    if len(name) > _LONGEST_NAME:
        raise StackError(
            f"MODEL_NAME is too long for a cluster: expected at most {_LONGEST_NAME} characters, found"
            f" {name}; register the model under a shorter name"
        )
    return name


def secret_name(model: str) -> str:
    """Name the Secret with the variables of the user's own model, which the user makes."""
    return f"{name_in_cluster(model)}-model-env"


def values_for(version: Version, service: Service, memory: int, wanted: Wanted) -> dict[str, str]:
    """Return the value of each placeholder; see `kubernetes_files`."""
    name = name_in_cluster(version.model)
    return {
        "name": one_line(name),
        **_of_version(version, name),
        **_of_container(service),
        **_of_resources(service, memory),
        "environment": "\n".join(_environment(version, service, wanted)),
        "container": "kserve-container" if wanted.kserve else "model-server",
        "settings": one_line(f"{name}-settings"),
        "known": " ".join(SERVER_SETTINGS),
        "given": "\n".join(f"{key}={value}" for key, value in service.settings.items()),
        "configurations": "configurations: [name-references.yaml]" if wanted.kserve else "",
        "left_out": _comment_on(service.left_out),
    }


def _of_version(version: Version, name: str) -> dict[str, str]:
    os, architecture = version.platform.split("/")[:2]
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/version": version.number,
        "app.kubernetes.io/part-of": "pyfunc-stack",
        "pyfunc-stack/model": version.model,
        "pyfunc-stack/run-id": version.run_id,
    }
    annotations = {
        "pyfunc-stack/model": version.model,
        "pyfunc-stack/version": version.number,
        "pyfunc-stack/run-id": version.run_id,
        "pyfunc-stack/image-id": version.image_id,
        "pyfunc-stack/replay": version.replay,
    }
    # By both, since another program of that name may be in the namespace.
    selector = {key: labels[key] for key in ("app.kubernetes.io/name", "app.kubernetes.io/part-of")}
    return {
        "model": version.model,
        "version": version.number,
        "image": one_line(version.image.name),
        "pull_policy": "Always" if version.image.may_change else "IfNotPresent",
        "os": one_line(os),
        "architecture": one_line(architecture),
        "labels": mapping({key: value for key, value in labels.items() if _LABEL.fullmatch(value)}),
        "selector": mapping(selector),
        "annotations": mapping(annotations),
    }


def _of_container(service: Service) -> dict[str, str]:
    return {
        "command": one_line(list(map(literal, service.command))),
        "arguments": f"args: {one_line(list(map(literal, service.arguments)))}" if service.arguments else "",
        "port": str(service.port),
        "user": str(service.user),
        "group": f"runAsGroup: {service.group}" if service.group is not None else "",
        "read_only": one_line(service.is_read_only),
        "mounts": listed("volumeMounts", map(_mount, service.tmpfs)),
        "volumes": listed("volumes", starmap(_volume, service.tmpfs.items())),
        "before_stop": str(_BEFORE_STOP),
        "grace": str(_BEFORE_STOP + service.grace),
        "liveness_period": str(_LIVENESS_PERIOD),
        "liveness_failures": str(math.ceil((service.timeout + _HUNG_FOR) / _LIVENESS_PERIOD) + 1),
        "egress": _CLOSED if service.is_closed else "egress: [{}]",
    }


def _of_resources(service: Service, memory: int) -> dict[str, str]:
    limit = service.memory or max(LEAST_MEMORY, 2 * memory)
    cpus = service.cpus or service.workers or _CPUS
    return {
        "cpu_requested": cpu_quantity(cpus / 2),
        "cpu_limit": cpu_quantity(cpus),
        "memory_requested": memory_quantity(limit // 2),
        "memory_limit": memory_quantity(limit),
    }


def _environment(version: Version, service: Service, wanted: Wanted) -> Iterator[str]:
    name = name_in_cluster(version.model)
    for key, value in service.environment.items():
        yield f"- {{ name: {key}, value: {one_line(literal(value))} }}"
    yield "# Requests for these names, localhost and addresses are answered. SERVER_ALLOWED_HOSTS adds names."
    yield "- { name: SERVER_NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }"
    hosts = [name, f"{name}-predictor"] if wanted.kserve else [name]
    ends = ("", ".$(SERVER_NAMESPACE)", ".$(SERVER_NAMESPACE).svc", ".$(SERVER_NAMESPACE).svc.cluster.local")
    names = ",".join(host + end for host in hosts for end in ends)
    yield f"- {{ name: SERVER_SERVICE_NAMES, value: {one_line(names)} }}"
    if service.private:
        yield "# Their values may be secret, so they are not written here."
    for key in service.private:
        of = f"secretKeyRef: {{ name: {one_line(secret_name(version.model))}, key: {one_line(key)} }}"
        yield f"- {{ name: {one_line(key)}, valueFrom: {{ {of} }} }}"


def _mount(path: str) -> str:
    return f"{{ name: {one_line(_volume_name(path))}, mountPath: {one_line(path)} }}"


def _volume(path: str, size: str) -> str:
    limit = f", sizeLimit: {size}" if size else ""
    return f"{{ name: {one_line(_volume_name(path))}, emptyDir: {{ medium: Memory{limit} }} }}"


def _volume_name(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")


def _comment_on(left_out: tuple[str, ...]) -> str:
    if not left_out:
        return ""
    return f"# The Compose files also set {', '.join(left_out)} on serving, which nothing here stands for."

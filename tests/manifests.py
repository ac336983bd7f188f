"""Reads and checks what a cluster is told: by the schemas of Kubernetes, and by what those do not catch."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
KINDS = {
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
}
# Of kinds that Kubernetes itself does not have.
FOREIGN = ("ServiceMonitor", "InferenceService")
# What the model server gives the requests in flight.
DRAIN = 10
# When it replaces a worker that holds Python's lock, with the default of SERVER_TIMEOUT.
HUNG = 60 + 30
# The fields of a predictor that are no pod's: ComponentExtensionSpec of KServe's API, as far as it is used.
_OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "labels"}
# By the name alone, pods of another program would count as ours.
_OURS = ("app.kubernetes.io/name", "app.kubernetes.io/part-of")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|[KMGTPE]i?)?")
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3} | {
    f"{prefix}{i}": float(base**power)
    for power, prefix in enumerate("KMGTPE", 1)
    for i, base in (("", 1000), ("i", 1024))
}

Manifest = dict[str, Any]


def kustomized(directory: Path) -> list[Manifest]:
    """Return the objects that kubectl builds of a kustomization."""
    kubectl = Path(sys.executable).with_name("kubectl")
    built = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def of_kind(objects: list[Manifest], kind: str) -> Manifest:
    """Return the only object of that kind."""
    (found,) = (it for it in objects if it["kind"] == kind)
    return found


def as_deployment(service: Manifest) -> Manifest:
    """Return the Deployment that KServe makes of an InferenceService."""
    predictor = service["spec"]["predictor"]
    name, labels = f"{service['metadata']['name']}-predictor", predictor["labels"]
    pod = {key: value for key, value in predictor.items() if key not in _OF_KSERVE}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "strategy": predictor["deploymentStrategy"],
            "selector": {"matchLabels": {key: labels[key] for key in _OURS}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def with_deployment(objects: list[Manifest]) -> list[Manifest]:
    """Return the objects of Kubernetes that there will be, with what KServe makes."""
    return [as_deployment(it) if it["kind"] == "InferenceService" else it for it in objects]


def validate(objects: list[Manifest], version: str) -> None:
    """Raise if an object breaks the schema of that version of Kubernetes, or has an unknown field or kind."""
    for each in with_deployment(objects):
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


def problems(objects: list[Manifest], secrets: tuple[str, ...] = ()) -> list[str]:
    """Return what is wrong with a base beyond the schemas; the ``secrets`` are there already."""
    unknown = [f"kind {it['apiVersion']} {it['kind']}" for it in objects if _kind(it) not in KINDS]
    if unknown:
        return unknown
    found = with_deployment(objects)
    deployment = of_kind(found, "Deployment")
    return [
        *_of_kserve(objects),
        *_of_names(found),
        *_of_selectors(found, deployment),
        *_of_ports(found, deployment),
        *_of_references(found, deployment, secrets),
        *_of_security(deployment),
        *_of_the_container(deployment),
    ]


def _kind(it: Manifest) -> tuple[str, str]:
    return it["apiVersion"], it["kind"]


def _pod(deployment: Manifest) -> Manifest:
    pod: Manifest = deployment["spec"]["template"]["spec"]
    return pod


def _container(deployment: Manifest) -> Manifest:
    (container,) = _pod(deployment)["containers"]
    return dict(container)


def _of_kserve(objects: list[Manifest]) -> Iterator[str]:
    """Yield what KServe's own webhook would refuse (inference_service_validation.go, env_policy.go)."""
    for it in (it for it in objects if it["kind"] == "InferenceService"):
        annotations, predictor = it["metadata"]["annotations"], it["spec"]["predictor"]
        modes = [annotations.get(f"serving.kserve.io/{key}") for key in ("deploymentMode", "autoscalerClass")]
        if modes != ["Standard", "hpa"]:
            yield "KServe takes no strategy and no CPU in this mode"
        (container,) = predictor["containers"]
        if container["name"] != "kserve-container":
            yield "KServe does not know the container"
        if any(of["name"] == "PYTHONPATH" for of in container["env"]):
            yield "KServe refuses PYTHONPATH"


def _of_names(objects: list[Manifest]) -> Iterator[str]:
    names = [(it["kind"], it["metadata"]["name"]) for it in objects]
    yield from (f"two of {name}" for name in set(names) if names.count(name) > 1)
    yield from (f"name {name}" for _, name in names if not _NAME.fullmatch(name))
    for it in objects:
        labels = it["metadata"].get("labels", {})
        yield from (f"label {value}" for value in labels.values() if not _LABEL.fullmatch(value))


def _of_selectors(objects: list[Manifest], deployment: Manifest) -> Iterator[str]:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {"Deployment": deployment["spec"]["selector"]["matchLabels"]}
    for it in objects:
        spec = it.get("spec", {})
        match it["kind"]:
            case "Service":
                selectors["Service"] = spec["selector"]
            case "PodDisruptionBudget":
                selectors["PodDisruptionBudget"] = spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                selectors["NetworkPolicy"] = spec["podSelector"].get("matchLabels", {})
            case "HorizontalPodAutoscaler":
                target = spec["scaleTargetRef"]
                wanted = (deployment["apiVersion"], "Deployment", deployment["metadata"]["name"])
                if (target["apiVersion"], target["kind"], target["name"]) != wanted:
                    yield "the autoscaler scales something else"
            case "ServiceMonitor":
                wanted = spec["selector"]["matchLabels"].items()
                if not wanted <= of_kind(objects, "Service")["metadata"]["labels"].items():
                    yield "the ServiceMonitor selects another Service"
    for number, spread in enumerate(_pod(deployment).get("topologySpreadConstraints", [])):
        selectors[f"spread {number}"] = spread["labelSelector"]["matchLabels"]
    for whose, selector in selectors.items():
        if not set(_OURS) <= selector.keys() or not selector.items() <= labels.items():
            yield f"selector of {whose}"


def _of_ports(objects: list[Manifest], deployment: Manifest) -> Iterator[str]:
    container = _container(deployment)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    asked = {probe: container[probe]["httpGet"]["port"] for probe in probes if probe in container}
    yield from (f"no {probe}" for probe in probes if probe not in container)
    for it in objects:
        if it["kind"] == "Service":
            asked |= {f"Service {port['name']}": port["targetPort"] for port in it["spec"]["ports"]}
        if it["kind"] == "NetworkPolicy":
            asked |= {f"NetworkPolicy {number}": port["port"] for number, port in enumerate(_allowed(it))}
        if it["kind"] == "ServiceMonitor":
            names = {port["name"] for port in of_kind(objects, "Service")["spec"]["ports"]}
            yield from ("port of ServiceMonitor" for of in it["spec"]["endpoints"] if of["port"] not in names)
    yield from (f"port of {what}" for what, port in asked.items() if port not in {*ports, *ports.values()})
    [server] = [of["value"] for of in container["env"] if of["name"] == "SERVER_PORT"]
    if ports.get("http") != int(server):
        yield "the server listens elsewhere"


def _allowed(policy: Manifest) -> Iterator[Manifest]:
    """Yield the ports that may be asked."""
    yield from (port for rule in policy["spec"]["ingress"] for port in rule["ports"])


def _of_references(objects: list[Manifest], deployment: Manifest, secrets: tuple[str, ...]) -> Iterator[str]:
    container, pod = _container(deployment), _pod(deployment)
    maps = {it["metadata"]["name"]: it.get("data") or {} for it in objects if it["kind"] == "ConfigMap"}
    used = {source["configMapRef"]["name"] for source in container.get("envFrom", [])}
    yield from (f"no ConfigMap {name}" for name in used - maps.keys())
    yield from (f"nothing uses ConfigMap {name}" for name in maps.keys() - used)
    known = {name for map_name in used & maps.keys() for name in maps[map_name]}
    for variable in container["env"]:
        name = variable["name"]
        if name in known:
            yield f"variable {name} is there twice"
        for other in re.findall(r"(?<!\$)\$\(([^)]*)\)", variable.get("value", "")):
            if other not in known:
                yield f"variable {name} names {other}"
        known.add(name)
        secret = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
        if secret and secret not in secrets:
            yield f"no Secret {secret}"
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
    yield from (f"volume {name}" for name in volumes ^ mounts)


def _of_security(deployment: Manifest) -> Iterator[str]:
    pod, container = _pod(deployment), _container(deployment)
    whole, own = pod.get("securityContext", {}), container.get("securityContext", {})
    both = whole | own
    if not both.get("runAsNonRoot") or not both.get("runAsUser"):
        yield "it may be root"
    if both.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccomp"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield "privileges"
    if own.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "it writes to its root"
    if pod.get("automountServiceAccountToken") is not False:
        yield "it has a token"
    if pod.get("enableServiceLinks") is not False:
        yield "it has variables of other Services"
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "it is in the host's namespaces"


def _of_the_container(deployment: Manifest) -> Iterator[str]:
    container = _container(deployment)
    resources = container["resources"]
    for kind in ("cpu", "memory"):
        sizes = [quantity(resources[of][kind]) for of in ("requests", "limits")]
        if None in sizes:
            yield f"quantity of {kind}"
        elif not 0 < (sizes[0] or 0) <= (sizes[1] or 0):
            yield f"more {kind} requested than allowed"
    liveness = container.get("livenessProbe", {})
    if liveness.get("periodSeconds", 10) * (liveness.get("failureThreshold", 3) - 1) < HUNG:
        yield "a model that computes is killed"
    waited = container["lifecycle"]["preStop"]["exec"]["command"]
    if _pod(deployment)["terminationGracePeriodSeconds"] <= int(waited[-1]) + DRAIN:
        yield "it is killed before it has drained"
    strategy = deployment["spec"]["strategy"].get("rollingUpdate", {})
    if strategy.get("maxUnavailable") != 0:
        yield "a rollout takes pods away"
    if not strategy.get("maxSurge"):
        yield "a rollout can't start"


def quantity(text: str) -> float | None:
    """Return the number that a quantity of Kubernetes is; None if it is none."""
    parts = _QUANTITY.fullmatch(str(text))
    return float(parts[1]) * _FACTORS[parts[2] or ""] if parts else None

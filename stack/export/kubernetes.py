"""Makes the text of a kustomize base, a file for each object: of templates/ and the values for them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

from stack.export.service import Service
from stack.export.values import Wanted, values_for
from stack.export.version import Version

_TEMPLATES = Path(__file__).parent / "templates"
FILES = {path.name for path in _TEMPLATES.iterdir()} - {"pod.yaml"}
"""The names that the files of a base can have."""


def kubernetes_files(version: Version, service: Service, memory: int, wanted: Wanted) -> dict[str, str]:
    """Return the text of each file; ``memory`` is what one server holds here [bytes], 0 if unknown.

    Raises:
        StackError: if the model has a name that none in a cluster can have.

    """
    workload = ["inference-service"] if wanted.kserve else ["autoscaler", "deployment", "service"]
    monitor = ["service-monitor"] if wanted.service_monitor else []
    names = [f"{name}.yaml" for name in (*workload, "disruption-budget", "network-policy", *monitor)]
    others = ["kustomization.yaml", "settings.env", *(["name-references.yaml"] if wanted.kserve else [])]
    values = values_for(version, _for_kserve(service) if wanted.kserve else service, memory, wanted)
    values["resources"] = "\n".join(f"- {name}" for name in sorted(names))
    values["pod"] = _filled("pod.yaml", values).rstrip("\n")
    return {name: _filled(name, values) for name in (*names, *others)}


def _for_kserve(service: Service) -> Service:
    """Let the command set PYTHONPATH, which KServe refuses as a variable (its env_policy.go)."""
    others = dict(service.environment)
    path = others.pop("PYTHONPATH", None)
    if path is None:
        return service
    return replace(service, command=("env", f"PYTHONPATH={path}", *service.command), environment=others)


def _filled(name: str, values: Mapping[str, str]) -> str:
    """Fill in a template. A value of several lines is indented as its place is; a line left empty goes."""
    lines = []
    for line in (_TEMPLATES / name).read_text("utf-8").splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        indented = {key: value.replace("\n", f"\n{indent}") for key, value in values.items()}
        lines.append(Template(line).substitute(indented))
    return "\n".join(line for line in lines if line.strip()) + "\n"

"""The verb `export`: finds out what runs, and writes the files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stack.config import SERVER_SETTINGS, Config
from stack.errors import StackError
from stack.export.directory import check_is_free, write_whole
from stack.export.kubernetes import kubernetes_files
from stack.export.service import Service, read_service
from stack.export.values import LEAST_MEMORY, Wanted, secret_name
from stack.export.version import Version, checked_version
from stack.interruption import Interruption
from stack.modes.choice import choose_mode
from stack.modes.docker import Docker, image
from stack.release.commands import open_registry


def export_kubernetes(
    config: Config, number: str | None, output: Path, reference: str | None, wanted: Wanted
) -> None:
    """Write a kustomize base for a version, by default the champion, and say what is left to do.

    Raises:
        StackError: if the version has not passed, what runs can't be exported, or ``output`` holds anything
            but an earlier export.

    """
    check_is_free(output)
    mode = choose_mode(config)
    if not isinstance(mode, Docker):
        raise StackError(
            "the stack runs without Docker here, so its versions have no images to export; run"
            " ./scripts/down, and then ./scripts/up --docker"
        )
    mode.check()
    with open_registry(config) as registry:
        version = checked_version(registry, mode, number, reference)
    service = read_service(mode.files_for(version.number))
    was_tried = check_served(mode, version, service)
    memory = mode.memory_served() if was_tried else 0
    files = kubernetes_files(version, service, memory, wanted)
    interruption = Interruption()  # from here on, a signal waits until all is written
    write_whole(output, files)
    interruption.check()
    print(f"version {version.number} of {version.model} is written to {output}: {version.replay}")
    if not was_tried:
        print("no model server runs it here with today's settings and limits, so nothing has tried these")
    if not (service.memory or memory):
        print(f"nothing says how much memory it needs, so its limit is {LEAST_MEMORY // 1024**2} MiB")
    for told in _left_to_do(version, service, image(config, version.number)):
        print(told)


def check_served(mode: Docker, version: Version, service: Service) -> bool:
    """Return whether the version is served as it is exported.

    Raises:
        StackError: if a deployment would serve it anew, or try to.

    """
    served = mode.served()
    if served is None or (served.model_name, served.version) != (version.model, version.number):
        return False
    if served.image_id != version.image_id or not served.is_healthy or not mode.is_current():
        raise StackError(
            f"version {version.number} of {version.model} is not exported: it is served, but does not answer,"
            " or not with today's image, settings and Compose files; run ./scripts/deploy first"
        )
    return _runs_so(mode.container_served(), service)


def _runs_so(container: Mapping[str, Any], service: Service) -> bool:
    """Whether a container has these settings and limits: `is_current` may know of .env's settings only."""
    given = dict(pair.partition("=")[::2] for pair in container["Config"]["Env"])
    settings = {name: given[name] for name in SERVER_SETTINGS if given.get(name)}
    limits = container["HostConfig"]["Memory"], container["HostConfig"]["NanoCpus"]
    return settings == service.settings and limits == (
        service.memory or 0,
        round((service.cpus or 0) * 1e9),
    )


def _left_to_do(version: Version, service: Service, local: str) -> Iterator[str]:
    """Say what a cluster needs besides."""
    if tagged := version.image.tagged:
        then = "" if version.image.is_pinned else "; after that, an export names it by its digest"
        yield f"to push its image: docker tag {local} {tagged} && docker push {tagged}{then}"
    else:
        yield f"its image {local} is on this machine only; docs/kubernetes.md says how a cluster gets it"
    if service.private:
        secret = secret_name(version.model)
        yield f"the cluster needs the Secret {secret} with {', '.join(service.private)}: docs/kubernetes.md"
    if service.left_out:
        yield f"not exported, of what the Compose files set on serving: {', '.join(service.left_out)}"

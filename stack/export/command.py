"""The verb `export`: finds out what runs, and writes the files."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.config import Config
from stack.errors import StackError
from stack.export.kubernetes import kubernetes_files
from stack.export.service import Service, read_service
from stack.export.values import Wanted, secret_name
from stack.export.version import Version, checked_version
from stack.modes.choice import choose_mode
from stack.modes.docker import Docker, image
from stack.release.commands import open_registry


def export_kubernetes(
    config: Config, number: str | None, output: Path, reference: str | None, wanted: Wanted
) -> None:
    """Write a kustomize base for a version, by default the champion, and say what is left to do.

    Raises:
        StackError: if the version has not passed, what runs can't be exported, or ``output`` holds anything.

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
    served = mode.served()
    memory = mode.memory_served() if served and served.image_id == version.image_id else 0
    write_whole(output, kubernetes_files(version, service, memory, wanted))
    print(f"version {version.number} of {version.model} is written to {output}: {version.replay}")
    for told in _left_to_do(version, service, image(config, version.number)):
        print(told)


def _left_to_do(version: Version, service: Service, local: str) -> Iterator[str]:
    """Say what a cluster needs besides."""
    if version.image == local:
        yield f"its image {local} is on this machine only; docs/kubernetes.md says how a cluster gets it"
    elif not version.is_pinned:
        tag, push = f"docker tag {local} {version.image}", f"docker push {version.image}"
        yield f"to push its image: {tag} && {push}; after that, an export names it by its digest"
    if service.private:
        secret = secret_name(version.model)
        yield f"the cluster needs the Secret {secret} with {', '.join(service.private)}: docs/kubernetes.md"
    if service.left_out:
        yield f"not exported, of what the Compose files set on serving: {', '.join(service.left_out)}"


def check_is_free(directory: Path) -> None:
    """Raise StackError if there is anything in the directory, or it is none."""
    try:
        is_free = not directory.exists() or not any(directory.iterdir())
    except OSError as error:
        raise _can_not_write(directory, error) from error
    if not is_free or directory.is_symlink():
        raise StackError(f"{directory} exists already; remove it, or name another directory with --output")


def write_whole(directory: Path, files: Mapping[str, str]) -> None:
    """Write the files into a new directory, which appears with all of them or not at all."""
    try:
        with _beside(directory) as made:
            for name, text in files.items():
                (made / name).write_text(text)
            made.rename(directory)  # over an empty one, but over no other
    except OSError as error:
        check_is_free(directory)
        raise _can_not_write(directory, error) from error


@contextmanager
def _beside(directory: Path) -> Iterator[Path]:
    """Make a directory beside the other one, readable as that would be; remove what is left at the end."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        made = scratch / directory.name
        made.mkdir()
        yield made
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _can_not_write(directory: Path, error: OSError) -> StackError:
    why = os.strerror(error.errno) if error.errno else str(error)
    return StackError(f"can't write {directory} ({why}); name another directory with --output")

"""The private part of MLflow that the control plane replaces. No other module of `stack` touches one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

PRIVATE = ("mlflow.models.docker_utils:build_image_from_context",)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""


@contextmanager
def building_by(build: Callable[[str, str, str | None], None]) -> Iterator[None]:
    """Let the last step of `mlflow.models.build_docker` be this one, which gets the context and a name.

    Why: MLflow's own step, `build_image_from_context`, always asks for --platform linux/amd64, so that other
    machines emulate; and it leaves the network on, so that a bake may fetch what nobody has pinned. An
    argument ``platform`` of `mlflow.models.build_docker`, and one for further options of `docker build`,
    would do instead.
    """
    from mlflow.models import docker_utils

    mlflows = docker_utils.build_image_from_context
    docker_utils.build_image_from_context = build  # type: ignore[assignment]
    try:
        yield
    finally:
        docker_utils.build_image_from_context = mlflows

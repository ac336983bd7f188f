"""The private part of MLflow that the control plane replaces. No other module of `stack` uses one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

PRIVATE = ("mlflow.models.docker_utils:build_image_from_context",)
"""As module:name. tests/unit/test_mlflow_internals.py names the one that a new MLflow has moved."""


@contextmanager
def building_by(build: Callable[[str, str, str | None], None]) -> Iterator[None]:
    """Replace the last step of `mlflow.models.build_docker`; ``build`` gets the context and the image's name.

    Why: MLflow's own step, `build_image_from_context`, always passes --platform linux/amd64, so other
    machines must emulate it. It also leaves the network on, so a bake may fetch packages that nobody has
    pinned. An argument ``platform`` of `mlflow.models.build_docker`, and one for further options of `docker
    build`, would do instead.
    """
    from mlflow.models import docker_utils

    mlflows = docker_utils.build_image_from_context
    docker_utils.build_image_from_context = build  # type: ignore[assignment]
    try:
        yield
    finally:
        docker_utils.build_image_from_context = mlflows

"""What images take on the disk, each layer that they share counted once."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

Layers = Mapping[tuple[str, ...], int]
"""The size of each layer [bytes], by the steps that made it and all those below it."""


def layers(history: Sequence[Mapping[str, Any]]) -> Layers:
    """Read what `docker history` says of one image, the newest layer first.

    What makes a layer the same one is how it was made, and on what.
    """
    rows = list(reversed(history))
    steps = [f"{row['CreatedAt']} {row['CreatedBy']}" for row in rows]
    return {tuple(steps[: number + 1]): int(row["Size"]) for number, row in enumerate(rows)}


def together(images: Sequence[Layers]) -> float:
    """Return what images take together, in MB."""
    return sum({steps: size for image in images for steps, size in image.items()}.values()) / 1e6


def added(image: Layers, before: Layers) -> float:
    """Return what an image takes besides another one that is there already, in MB."""
    return sum(size for steps, size in image.items() if steps not in before) / 1e6


def image_layers(name: str) -> Layers:
    """Return the layers of an image."""
    options = ["--no-trunc", "--human=false", "--format", "{{json .}}"]
    history = subprocess.run(
        ["docker", "history", *options, name], capture_output=True, text=True, check=True
    )
    return layers([json.loads(line) for line in history.stdout.splitlines()])

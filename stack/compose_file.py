"""Which files of compose/ the settings choose, by COMPOSE_FILE, in both modes."""

import os
from collections.abc import Mapping
from pathlib import Path


def is_chosen(file: str, values: Mapping[str, str], checkout: Path) -> bool:
    """Whether COMPOSE_FILE names a file, which is given from the checkout on."""
    named = values.get("COMPOSE_FILE", "").split(values.get("COMPOSE_PATH_SEPARATOR", os.pathsep))
    return any((checkout / name).resolve() == checkout / file for name in named if name)

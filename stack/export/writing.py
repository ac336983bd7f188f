"""Writes values as YAML, and as Kubernetes reads them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_MEBI = 1024**2


def one_line(value: Any) -> str:  # noqa: ANN401 - JSON
    """Write a value on one line. JSON is YAML, and needs no rules for what must be quoted."""
    return json.dumps(value, ensure_ascii=False)


def mapping(values: Mapping[str, str]) -> str:
    """Write a line for each key."""
    return "\n".join(f"{key}: {one_line(value)}" for key, value in values.items())


def listed(key: str, items: Iterable[str]) -> str:
    """Write a line for each item, which is YAML already, under a key; nothing if there are none."""
    lines = [f"  - {item}" for item in items]
    return "\n".join([f"{key}:", *lines]) if lines else ""


def literal(text: str) -> str:
    """Keep Kubernetes from taking a part of a value for another variable."""
    return text.replace("$", "$$")


def cpu_quantity(cpus: float) -> str:
    """Write a number of CPUs as a quantity."""
    return one_line(f"{round(cpus * 1000)}m" if cpus % 1 else str(int(cpus)))


def memory_quantity(size: int) -> str:
    """Write a number of bytes, rounded up, as a quantity."""
    return f"{-(-size // _MEBI)}Mi"

"""Writes values as YAML, and as Kubernetes reads them."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from stack.errors import StackError

_MEBI = 1024**2
# Of what JSON leaves as it is: https://yaml.org/spec/1.2.2/#51-character-set.
_UNWRITTEN = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def one_line(value: Any) -> str:  # noqa: ANN401 - JSON
    """Write a value on one line. JSON is YAML, and needs no rules for what must be quoted.

    Raises:
        StackError: if it has a character that kustomize can't read again when it has written it.

    """
    written = json.dumps(value, ensure_ascii=False)
    if _UNWRITTEN.search(written):
        raise StackError(f"a control character can't be exported, so change what sets {json.dumps(value)}")
    return written


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

"""One text for a value, the same in each process: for what parameters and cells of a table may hold."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Set
from types import FunctionType
from typing import Any

import numpy as np

_PLAIN = {bool, bytes, float, int, str, type(None)}


def canonical(value: Any, inside: tuple[int, ...] = ()) -> str:  # noqa: ANN401
    """Return a text that is equal for equal values, whatever the addresses and the order of sets.

    A function or class is known by its name: its code lies in the model's files, which are looked at anyway.
    ``inside`` holds the ids of the objects that ``value`` is in, for those that hold themselves.
    """
    if type(value) in _PLAIN:  # first, because a table may hold millions
        return repr(value)
    if id(value) in inside:
        return "itself"
    text = functools.partial(canonical, inside=(*inside, id(value)))
    if isinstance(value, np.generic):
        return text(value.item())
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"array({value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{text(key)}: {text(item)}' for key, item in value.items()))}}}"
    if isinstance(value, Set):
        return f"set({', '.join(sorted(map(text, value)))})"
    if isinstance(value, list | tuple | np.ndarray):
        return f"{'list' if isinstance(value, list) else 'tuple'}({', '.join(map(text, value))})"
    if isinstance(value, functools.partial):
        return f"partial({text(value.func)}, {text(value.args)}, {text(value.keywords)})"
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{text(type(value))}({text(fields)})"
    if _has_no_repr(value):
        return f"{text(type(value))}({text(getattr(value, '__dict__', {}))})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _has_no_repr(value: object) -> bool:
    (definer,) = [kind for kind in type(value).__mro__ if "__repr__" in vars(kind)][:1]
    return definer is object

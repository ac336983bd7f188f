"""What is served while a stack starts, before its tracking server can be asked."""

import sys

from stack.errors import StackError
from stack.mode import Mode


def serve_last(mode: Mode) -> None:
    """Serve again what was served last, if nothing is served; that this fails is told, not raised."""
    mode.clean_up()
    version = mode.last_served() if mode.served() is None else None
    if version is None:
        return
    print(f"serving version {version} meanwhile, which was served last", flush=True)
    try:
        mode.serve(version)
    except StackError as error:
        print(f"version {version} can't be served meanwhile: {error}", file=sys.stderr, flush=True)

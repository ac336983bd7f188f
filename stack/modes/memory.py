"""How much memory there is on this machine, and how much processes take."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")


def is_free(needed: int, proc: Path = _PROC) -> bool:
    """Whether so many bytes are free without swapping; true if the kernel gives no estimate."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text(), re.MULTILINE)
    except OSError:  # not on macOS
        return True
    return found is None or int(found[1]) * 1024 >= needed


def held_by(pids: Iterable[int], proc: Path = _PROC) -> int:
    """Return how many bytes processes hold together: their proportional set size; 0 if unknown."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, is another user's, or this is not Linux
            rollup = (proc / str(pid) / "smaps_rollup").read_text()
            kilobytes += sum(map(int, re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)))
    return kilobytes * 1024

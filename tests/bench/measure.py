"""What the benchmarks have in common: memory, how repeated measurements are shown, and what was aimed at."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path


def memory(pids: list[int]) -> float:
    """Return the proportional set size of the processes together, in MB (/proc/PID/smaps_rollup)."""
    kilobytes = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kilobytes += sum(int(size) for size in re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE))
    return kilobytes / 1024


def container_processes(name: str) -> list[int]:
    """Return the processes in a container, by their ids outside of it."""
    command = ["docker", "top", name, "-eo", "pid"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(pid) for pid in listed.stdout.split()[1:]]


def machine(load: float) -> str:
    """Say what the numbers are found on; ``load`` is the average from before."""
    found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found[1] if found else platform.machine()
    python = platform.python_version()
    return f"{os.cpu_count()} cores ({processor}), Python {python}; load average before: {load:.1f}"


def spread(values: list[float]) -> str:
    """Return the median, and the range in brackets if there is one, with three digits that say something."""
    if len(values) == 1:
        return shown(values[0])
    return f"{shown(statistics.median(values))} ({shown(min(values))} to {shown(max(values))})"


def shown(value: float) -> str:
    """Return a number as a table shows it: at least three digits, with commas from a thousand on."""
    decimals = next((n for n, limit in enumerate((100, 10, 1)) if value >= limit), 3)
    return f"{value:,.{decimals}f}"


def table(heads: list[str], lines: list[list[str]]) -> Iterator[str]:
    """Yield a Markdown table, and an empty line."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(line)} |" for line in lines)
    yield ""


def wanted(bound: float, *, at_least: bool) -> str:
    """Say a bound in words."""
    return f"{'at least' if at_least else 'at most'} {bound:g}"


def verdict(found: list[float], bound: float, *, at_least: bool) -> str:
    """Say whether the median of what was found meets the bound; if not, by how much of it that is missed."""
    ratio = statistics.median(found) / bound
    is_met = ratio >= 1 if at_least else ratio <= 1
    return "met" if is_met else f"missed by {abs(ratio - 1):.0%}"

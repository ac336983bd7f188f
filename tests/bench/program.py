"""A benchmark as a program: its command line and its exit status."""

import argparse
import signal
from collections.abc import Callable

from stack.errors import exit_status


def parse_runs(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; it may also say how often everything is measured."""
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (default 3)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("expected at least one run")
    return arguments


def status_of(compare: Callable[[], None]) -> int:
    """Measure; return the exit status. On SIGTERM, too, all is stopped and removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return exit_status("bench", compare)

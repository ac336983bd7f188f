"""A benchmark as a program: its command line and its exit status."""

import argparse
import signal
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from stack.errors import exit_status

Item = TypeVar("Item")


class Named(Protocol):
    """What is measured, by the name that the command line has for it."""

    @property
    def name(self) -> str: ...


OneNamed = TypeVar("OneNamed", bound=Named)


def turned(items: list[Item], number: int) -> list[Item]:
    """Return them in another order for each number, so that none always comes first."""
    first = number % len(items)
    return items[first:] + items[:first]


def named(names: str, among: Sequence[OneNamed]) -> list[OneNamed]:
    """Return those of these names, which have commas between them; as argparse's types raise."""
    known = {item.name: item for item in among}
    if unknown := set(names.split(",")) - set(known):
        wanted = ", ".join(known)
        raise argparse.ArgumentTypeError(f"expected some of {wanted}, found {', '.join(sorted(unknown))}")
    return [item for name, item in known.items() if name in names.split(",")]


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

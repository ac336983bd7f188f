"""What a check finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line: "ok", or "fix" and what to do, or "-" and why it was not checked."""

    state: Literal["ok", "fix", "-"]
    text: str

    def __str__(self) -> str:
        """Write it as one line, even if the text quotes several lines of a program."""
        return f"{self.state:<5} {' '.join(self.text.split())}"


def ok(text: str) -> Finding:
    """Say that all is well."""
    return Finding("ok", text)


def fix(text: str) -> Finding:
    """Say what is wrong, and what to do."""
    return Finding("fix", text)


def skip(text: str) -> Finding:
    """Say what was not checked, and why."""
    return Finding("-", text)

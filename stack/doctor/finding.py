"""What a check finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line: it is fine, or what to do about it; "-" where there was nothing to check, and why."""

    state: Literal["ok", "fix", "-"]
    text: str

    def __str__(self) -> str:
        """Write it as one line, also where the text quotes what a program said in several."""
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

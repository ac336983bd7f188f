"""Whether the packages that a model needs are installed here: what is, is the lock, as in the images."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from stack.errors import StackError


def check_requirements(model: Path, what: str) -> None:
    """Raise StackError if the model in a directory needs packages that are not installed here."""
    if missing := unmet_requirements(model / "requirements.txt"):
        raise StackError(
            f"{what} needs packages that the lock lacks: {', '.join(missing)}; add them to pyproject.toml,"
            " and run ./scripts/upgrade PACKAGE"
        )


def unmet_requirements(file: Path) -> list[str]:
    """Return a model's pip requirements for which no version that they allow is installed here."""
    unmet: list[str] = []
    if not file.exists():
        return unmet
    for line in file.read_text().splitlines():
        text = line.partition(" #")[0].rstrip("\\ ").strip()
        if not text or text.startswith(("#", "-")):  # a comment, or an option of pip
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            unmet.append(f"{text} (not in the form NAME==VERSION)")
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = installed_version(wanted.name)
        except PackageNotFoundError:
            found = ""
        if not found or not wanted.specifier.contains(found, prereleases=True):
            unmet.append(f"{text} ({found or 'not'} installed)")
    return unmet

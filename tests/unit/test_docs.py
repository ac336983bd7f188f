"""What README.md, ARCHITECTURE.md and docs/ say can be found, called and set as they say."""

import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
import yaml

from stack.__main__ import parser
from stack.config import CHECKOUT

README = CHECKOUT / "README.md"
ARCHITECTURE = CHECKOUT / "ARCHITECTURE.md"
DOCS = sorted((CHECKOUT / "docs").glob("*.md"))
PAGES = [README, ARCHITECTURE, CHECKOUT / "CHANGELOG.md", CHECKOUT / "vendor" / "README.md", *DOCS]
SCRIPTS = {path.name for path in (CHECKOUT / "scripts").iterdir() if path.suffix == ""}
SERVICES = set(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]) | {"gateway"}
# The commands of Compose that take names of services and no other words.
ON_SERVICES = {"up", "build", "logs", "restart", "start", "stop", "wait"}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a reader makes.
TO_BE_MADE = {"examples/mine"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))


def prose(page: Path) -> str:
    """Return a page without its blocks of code and output."""
    return FENCED.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return the targets of a page's links to this checkout."""
    return [link for link in re.findall(r"\]\(([^)]+)\)", prose(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def sh_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command in a page's blocks of shell."""
    for language, block in FENCED.findall(page.read_text()):
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                yield shlex.split(line, comments=True)


def inline(page: Path) -> Iterator[list[str]]:
    """Yield the words of each piece of code in a page's text that names a script or Compose."""
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        if code.startswith(("./scripts/", "docker compose ")):
            yield re.sub(r"[][]", "", code).split()


@cache
def usage(script: str) -> str:
    return subprocess.run(
        [CHECKOUT / "scripts" / script, "-h"], capture_output=True, text=True, check=True
    ).stdout


def wrong_with(words: list[str]) -> str:
    """Say what is wrong with a command of this project's, or of Compose's; nothing if it is fine."""
    if words[:2] == ["docker", "compose"]:
        named = [word for word in words[2:] if not word.startswith("-")]
        unknown = set(named[1:]) - SERVICES if named and named[0] in ON_SERVICES else set()
        return f"no services: {', '.join(unknown)}" if unknown else ""
    if not words or not words[0].startswith("./scripts/"):
        return ""
    script, arguments = words[0].removeprefix("./scripts/"), words[1:]
    if script not in SCRIPTS:
        return f"no script {script}"
    if f"usage: ./scripts/{script}" in usage(script):  # argparse's, of `python -m stack`
        told = io.StringIO()
        try:
            with redirect_stderr(told), redirect_stdout(told):
                parser().parse_args([script, *arguments])
        except SystemExit as ended:
            return told.getvalue() if ended.code else ""
        return ""
    return wrong_by_usage(usage(script), script, arguments)


def wrong_by_usage(text: str, script: str, arguments: list[str]) -> str:
    """Compare arguments with the comment that is a script's usage: each form has a line of its own."""
    if script == "bench":
        what = arguments[0] if arguments else "nothing"
        text = "\n".join(re.findall(rf"^.*\./scripts/bench {what}\b.*$", text, re.MULTILINE))
        if not text:
            return f"it does not measure {what}"
    flags = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    unknown = [flag for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", text)]
    return f"not in its usage: {', '.join(unknown)}" if unknown else ""


def test_the_pages_that_are_read_first_are_short() -> None:
    assert len(README.read_text().splitlines()) <= 150
    assert len(ARCHITECTURE.read_text().splitlines()) <= 200


def test_every_page_is_found_from_the_readme() -> None:
    linked = {(CHECKOUT / link.partition("#")[0]).resolve() for link in links(README)}
    assert {ARCHITECTURE, CHECKOUT / "CHANGELOG.md", *DOCS} <= linked


def test_every_script_is_named_in_the_readme() -> None:
    assert set(re.findall(r"\./scripts/([a-z]+)", README.read_text())) == SCRIPTS


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_every_script_that_is_named_exists(page: Path) -> None:
    assert set(re.findall(r"\./scripts/([a-z]+)", page.read_text())) <= SCRIPTS


@every_page
def test_every_command_is_one_that_can_be_called(page: Path) -> None:
    # In a text, a script may also be named without what it takes.
    commands = [*sh_lines(page), *(words for words in inline(page) if len(words) > 1)]
    wrong = {" ".join(words): why for words in commands if (why := wrong_with(words))}
    assert wrong == {}


@pytest.mark.parametrize(
    "command",
    [
        "./scripts/no-such",
        "./scripts/up --no-such",
        "./scripts/promote",
        "./scripts/status FILE",
        "./scripts/lint --no-such",
        "./scripts/test --no-such",
        "./scripts/upgrade --no-such",
        "./scripts/bench no-such",
        "./scripts/bench serving --empty-build-cache",
        "docker compose up --detach no-such",
    ],
)
def test_a_command_that_can_not_be_called_is_seen(command: str) -> None:
    assert wrong_with(command.split())


@every_page
def test_every_path_that_is_named_exists(page: Path) -> None:
    first = "stack|serving|trainer|tracking|tests|lock|examples|docs|scripts"
    named = {path.rstrip("./") for path in re.findall(rf"(?<![\w/.-])(?:{first})/[\w./-]*", prose(page))}
    assert [path for path in named - TO_BE_MADE if not (CHECKOUT / path).exists()] == []


@every_page
def test_every_setting_that_is_named_is_in_the_example(page: Path) -> None:
    known = set(re.findall(r"^# ([A-Z_]+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    ours = "TRACKING|SERVING|MODEL|GATE|SERVER|COMPOSE|STACK"
    others = {"COMPOSE_FILE", "SERVING_MODEL_CONFIG"}  # Compose's and MLflow's own
    assert set(re.findall(rf"`((?:{ours})_[A-Z_]+)[`=]", prose(page))) - others <= known


def test_the_readmes_request_is_the_example() -> None:
    compact = "".join((CHECKOUT / "trainer" / "example.json").read_text().split())
    assert compact in "".join(README.read_text().split())

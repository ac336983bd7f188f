"""The settings and what earlier runs left: .env, the state directory, the database."""

import importlib.util
import os
import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path

from stack.config import CHECKOUT, Config
from stack.doctor.engine import Answer
from stack.doctor.finding import Finding, fix, ok, skip
from stack.errors import StackError
from stack.modes.owner import OwnerError, check_owner
from stack.modes.parts import STOP_ORDER
from stack.modes.preflight import MARKER, check_home_owner, check_home_tracking, holds_others
from stack.modes.processes import Process

_OURS = ("STACK_", "TRACKING_", "SERVING_", "SERVER_", "MODEL_", "GATE_", "MLFLOW_")
_REVISION = "SELECT version_num FROM alembic_version"
# It runs in a container, whose user can read the volume. It prints nothing if there is no database yet.
_READ_REVISION = f"""
import pathlib, sqlite3, sys
if pathlib.Path("/mlflow/mlflow.db").exists():
    try:
        database = sqlite3.connect("file:/mlflow/mlflow.db?mode=ro", uri=True)
        print(database.execute("{_REVISION}").fetchone()[0])
    except sqlite3.Error as error:
        sys.exit(str(error))
"""


def known_settings(checkout: Path = CHECKOUT) -> set[str]:
    """Return the names that something reads, from .env.example and the Compose files, overrides too."""
    example = (checkout / ".env.example").read_text()
    known = set(re.findall(r"^#? ?([A-Za-z0-9_]+)=", example, re.MULTILINE))
    for file in (
        *checkout.glob("docker-compose*.y*ml"),
        *checkout.glob("compose*.y*ml"),
        *checkout.glob("compose/*"),
    ):
        known |= set(re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", file.read_text()))
    return known


def check_names(names: Collection[str], known: set[str]) -> Finding:
    """Whether something reads each name in .env: a misspelt name would be ignored silently."""
    unread = []
    for name in names:
        # Compose's own COMPOSE_FILE looks like a misspelt COMPOSE_PROFILES.
        if name in known or name == "COMPOSE_FILE" or name.lower().endswith("_proxy"):
            continue
        if meant := get_close_matches(name.upper(), known, 1, 0.85):
            unread.append(f"{name} (is {meant[0]} meant?)")
        elif name.startswith(_OURS):
            unread.append(name)
    if unread:
        listed = ", ".join(unread)
        return fix(
            f".env sets names that nothing reads: {listed}: .env.example has the right names,"
            " and options of MLflow's server go into tracking.env"
        )
    return ok(f"settings: .env sets {', '.join(names)}" if names else "settings: .env sets nothing")


def own_processes(home: Path) -> set[int]:
    """Return the ids of all processes of the stack without Docker that has its state there."""
    found = set()
    for name in ("up", *STOP_ORDER):
        process = Process(home, name)
        found |= set(process.members())
        if process.is_running() and (pid := process.pid()):
            found.add(pid)
    return found


def left_over(home: Path) -> list[str]:
    """Return the names of the parts that still run although the process that started them has ended."""
    names = []
    watched = Process(home, "up").is_running()
    for name in STOP_ORDER:
        process = Process(home, name)
        is_running = process.is_running()
        if (is_running or process.members()) and not (watched and is_running):
            names.append(name)
    return names


def check_home(home: Path) -> Finding:
    """Whether the state directory is the stack's, and whether a killed run left something there."""
    if not home.exists():
        return ok(f"the state directory {home} will be made by ./scripts/up --native")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return fix(
            f"the state directory {home} can't be written to: make it writable, or set STACK_HOME to another"
        )
    if not (home / MARKER).exists() and holds_others(home):
        return fix(f"the state directory {home} holds other files: set STACK_HOME to an empty directory")
    try:
        check_home_owner(home)
    except OwnerError as error:
        return fix(str(error))
    if names := left_over(home):
        return fix(
            f"still running after ./scripts/up was killed: {', '.join(names)}: run ./scripts/up to go on,"
            " or ./scripts/down"
        )
    partial = sorted(home.glob("models/*/*.partial"))
    if partial and not Process(home, "switch").is_running():
        return fix(f"a killed deployment has left {', '.join(map(str, partial))}: delete it")
    return ok(f"the state directory is {home}")


def check_home_server(config: Config) -> Finding:
    """Whether the tracking server that runs in the state directory, if one does, is that of the settings."""
    try:
        check_home_tracking(config)
    except StackError as error:
        return fix(str(error))
    return ok("no other tracking server than that of the settings runs in the state directory")


def check_project(config: Config) -> Finding:
    """Whether the stack of this name in Docker, if there is one, is this checkout's."""
    try:
        check_owner(config)
    except OwnerError as error:
        return fix(str(error))
    return ok(f"no other checkout has a stack {config.project} in Docker")


def known_revisions(migrations: Path | None = None) -> dict[str, str | None]:
    """Return each revision of the database that the installed MLflow knows, with the one before it.

    They are read from its files, because importing MLflow takes seconds.
    """
    if migrations is None:
        found = importlib.util.find_spec("mlflow")
        if found is None or found.origin is None:
            return {}
        migrations = Path(found.origin).parent / "store" / "db_migrations" / "versions"
    revisions: dict[str, str | None] = {}
    for file in migrations.glob("*.py"):
        text = file.read_text()
        names = dict(re.findall(r"^(revision|down_revision) = ['\"](\w+)['\"]", text, re.MULTILINE))
        if "revision" in names:
            revisions[names["revision"]] = names.get("down_revision")
    return revisions


def judge_database(what: str, revision: str, known: dict[str, str | None], delete: str) -> Finding:
    """Whether the database has the revision that the installed MLflow needs, or can be migrated to it."""
    if not known:
        return skip(f"{what}: the installed MLflow's migrations were not found")
    if revision not in known:
        return fix(
            f"{what} was made by an MLflow newer than this checkout's {version('mlflow')}: go back to the"
            f" lock/ that made it, or delete all runs and models: {delete}"
        )
    if revision in known.values():
        return ok(
            f"{what} was made by an MLflow older than {version('mlflow')}: ./scripts/up migrates it, and"
            " keeps the old one"
        )
    return ok(f"{what} has the revision that MLflow {version('mlflow')} needs")


def check_native_database(home: Path, known: dict[str, str | None]) -> Finding:
    """Look at the database in the state directory; it is opened read-only."""
    file = home / "mlflow.db"
    what = f"the database {file}"
    if not file.exists():
        return skip(f"{what}: not there yet")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            row = connection.execute(_REVISION).fetchone()
    except sqlite3.Error as error:
        return fix(f"{what} can't be read ({error}): restore it, or delete all: ./scripts/down --volumes")
    return judge_database(what, str(row and row[0]), known, "./scripts/down --volumes")


def read_command(volume: str, image: str) -> list[str]:
    """Build the arguments of the docker command that prints a volume's database revision."""
    confined = ("--rm", "--pull=never", "--network=none", "--read-only", "--cap-drop=ALL")
    return [
        "run",
        *confined,
        f"--volume={volume}:/mlflow:ro",
        "--entrypoint=python",
        image,
        "-c",
        _READ_REVISION,
    ]


def check_docker_database(volume: str, answer: Answer, known: dict[str, str | None]) -> Finding:
    """Judge the database in a volume by what ``read_command`` printed."""
    what = f"the database in the volume {volume}"
    if answer.error:
        return skip(f"{what} can't be read ({answer.error})")
    if not answer.output:
        return skip(f"{what}: not there yet")
    return judge_database(what, answer.output, known, "docker compose down -v")

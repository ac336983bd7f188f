"""The data of another MLflow, in both modes: an older one's are migrated, a newer one's are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stacks import Stack, new_stack, removed

pytestmark = pytest.mark.thorough
# What they are given: the database, and how many migrations to undo, or the revision to write.
_DOWNGRADE = """
import sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
command.downgrade(_get_alembic_config("sqlite:///" + sys.argv[1]), sys.argv[2])
"""
_STAMP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.execute("UPDATE alembic_version SET version_num = ?", sys.argv[2:])
"""


@pytest.fixture(params=["native", "docker"])
def mode(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("docker")
    return str(request.param)


def change_database(stack: Stack, code: str, argument: str) -> None:
    """Run Python on the database of a stack that is down, where the stack's tracking server would run."""
    project = stack.settings["COMPOSE_PROJECT_NAME"]
    if stack.mode == "docker":
        command = ["docker", "run", "--rm", f"--volume={project}_mlflow:/mlflow", "--network=none"]
        command += ["--entrypoint=python", f"{project}-base", "-c", code, "/mlflow/mlflow.db", argument]
    else:
        command = [
            sys.executable,
            "-c",
            code,
            str(Path(stack.settings["STACK_HOME"]) / "mlflow.db"),
            argument,
        ]
    subprocess.run(command, check=True, capture_output=True)


def test_an_older_mlflows_data_are_migrated_and_a_newer_ones_refused(mode: str, home: Path) -> None:
    stack = new_stack(mode, home)
    with removed(stack):
        stack.up()
        stack.down()
        change_database(stack, _DOWNGRADE, "-3")
        told = stack.script("up", f"--{mode}", "--detach").stdout
        assert "an older MLflow made the database" in told
        assert "the old one is kept as" in told
        stack.assert_settled("1")
        assert stack.versions() == ["1"]

        stack.down()
        change_database(stack, _STAMP, "ffffffffffff")
        refused = stack.script("up", f"--{mode}", "--detach", check=False)
        assert refused.returncode == 1
        assert "was made by an MLflow newer than" in refused.stderr
        assert "go back to the lock/ that made it" in refused.stderr
        assert "still runs" not in refused.stderr

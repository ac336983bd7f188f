"""Spark without Docker: pyspark in the state directory, for every Python; Java is the machine's own."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError
from stack.modes.aside import Aside
from stack.modes.build_error import spark_error

_SPARK = Aside("Spark", "spark", "about 20 s; it fetches 456 MB", spark_error)
_OLDEST_JAVA = 17


def check_java() -> None:
    """Raise StackError if this machine lacks the Java that runs Spark."""
    advice = f"install Java {_OLDEST_JAVA} or newer, set JAVA_HOME to it, or use --docker"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if java is None:
        raise StackError(f"Spark needs Java, and {f'{home}/bin' if home else 'the PATH'} has none; {advice}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if not found or int(found[1]) < _OLDEST_JAVA:
        release = f"Java {found[1]}" if found else "no Java"
        raise StackError(f"Spark can't run on {java}, which is {release}; {advice}")


def prepare(home: Path) -> Path:
    """Install the locked pyspark, if it is not there; return the directory for the search path of modules.

    Raises:
        StackError: if it can't be installed, with what uv says.

    """
    return _SPARK.prepare(home)


def variables(directory: Path, temporary: Path) -> dict[str, str]:
    """Return what pyspark reads from its environment, besides the search path.

    Its temporary files hold secrets: the next run clears that place, should this one be killed.
    """
    return {"SPARK_HOME": str(directory / "pyspark"), "TMPDIR": str(temporary)}


def without_sparks(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what another Spark of the user's is set by."""
    return {name: value for name, value in environment.items() if not name.startswith(("SPARK_", "PYSPARK_"))}

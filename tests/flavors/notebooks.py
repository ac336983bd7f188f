"""The environments of notebooks, and what is logged in them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.config import CHECKOUT
from tests.bench.tutorial_way import pythons
from tests.e2e.stacks import can_not_run

WHEELS = Path("/opt/wheels")
_TORCH = "2.13.0+cpu"
_UV = str(Path(sys.executable).with_name("uv"))
_LOCK = f"--requirements={CHECKOUT / 'lock' / 'runtime.txt'}"

# What uv installs for each.
NOTEBOOKS = {
    "lock": [_LOCK],
    "boosting": [_LOCK, "xgboost==3.2.0", "lightgbm==4.7.0", "statsmodels==0.15.0"],
    "torch": [_LOCK, f"--find-links={WHEELS}", f"torch=={_TORCH}"],
    "old": ["mlflow==2.22.5", "scikit-learn==1.5.2", "pandas==2.2.3", "numpy==1.26.4", "pip"],
}


@dataclass(frozen=True)
class Logged:
    """A model that a notebook has logged: its URI, a request, and its own answers to that."""

    uri: str
    request: str
    answers: list[Any]


def python_of(version: str) -> str:
    """Return a Python of that minor version."""
    return next(pythons(version), None) or can_not_run(f"Python {version} is not installed")


def make(notebook: str, version: str, home: Path) -> Path:
    """Make the notebook's environment for that Python, once; return its Python."""
    made = home / f"{notebook}-{version}"
    if notebook == "torch" and not list(WHEELS.glob(f"torch-{_TORCH}-*.whl")):
        can_not_run(f"{WHEELS} has no PyTorch {_TORCH}")
    if not made.exists():
        subprocess.run([_UV, "venv", "--quiet", f"--python={python_of(version)}", made], check=True)
        install = [_UV, "pip", "install", "--quiet", f"--python={made}"]
        subprocess.run([*install, *NOTEBOOKS[notebook]], check=True)
    return made / "bin" / "python"


def log(python: Path, flavors: Iterable[str], tracking_url: str, **more: str) -> dict[str, Logged]:
    """Run the notebook's script in that Python; return what it has logged, by flavor."""
    script = Path(__file__).with_name("notebook.py")
    done = subprocess.run(
        [python, script, *flavors],
        env=os.environ | {"MLFLOW_TRACKING_URI": tracking_url, "MLFLOW_DISABLE_TELEMETRY": "true"} | more,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"flavor"')]
    return {line.pop("flavor"): Logged(**line) for line in lines}

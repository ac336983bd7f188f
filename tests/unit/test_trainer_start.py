"""How a train.py is run: where it works, and what of the checkout it may use."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack.config import CHECKOUT, load_config


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout that holds what a training needs of it."""
    target = tmp_path.resolve() / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "trainer", target / "trainer", ignore=ignored)
    (target / "lock").mkdir()
    (target / "lock" / "runtime.txt").write_text("")
    (target / "models" / "mine").mkdir(parents=True)
    return target


def run(checkout: Path, code: str, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run that train.py as the stack does; ``files`` lie in the directory above its own.

    It imports what a Training needs, so no server is asked before it runs.
    """
    for name, text in {"mine/train.py": f"from workflow import main\n{code}", **files}.items():
        file = checkout / "models" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (checkout / "tmp").mkdir()
    return subprocess.run(
        [sys.executable, "-P", "-m", "workflow", checkout / "models" / "mine" / "train.py", "--force"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(checkout / "trainer"),
            "TMPDIR": str(checkout / "tmp"),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        cwd=checkout,
        capture_output=True,
        text=True,
    )


def files_in(directory: Path) -> set[str]:
    found = (file for file in directory.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(directory)) for file in found}


WORKS = """
import os, sys
from pathlib import Path
import features
for name in ("plot.png", "data/rows.csv"):
    open(name, "w").write("which nobody keeps")
print(__name__, Path(__file__).parent == Path(features.__file__).parent, sys.argv[1:], sorted(os.listdir()))
sys.exit(3)
"""


def test_a_train_py_works_in_a_copy_that_is_removed_and_finds_the_modules_beside_it(checkout: Path) -> None:
    files = {"mine/features.py": "", "mine/data/rows.csv": "of mine", "mine/.hidden": ""}
    done = run(checkout, WORKS, files)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "__main__ True [] ['data', 'features.py', 'plot.png', 'train.py']\n"
    assert files_in(checkout / "models") == {"mine/train.py", *files}
    assert (checkout / "models" / "mine" / "data" / "rows.csv").read_text() == "of mine"
    assert list((checkout / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "files", "told"),
    [
        (
            "open('rows.csv')",
            {},
            "{missing} 'rows.csv'; see the trace",
        ),
        (
            "from pathlib import Path; Path(__file__).parents[1].joinpath('rows.csv').read_text()",
            {},
            "{missing} '{models}/rows.csv'; with"
            " Docker, of the checkout only the model's directory is there, so move the file into it; see the",
        ),
        (
            "raise OSError(30, 'Read-only file system', __file__ + '.png')",
            {},
            "train.py raised OSError: [Errno 30] Read-only file system: '{models}/mine/train.py.png';"
            " write into the working directory, by a relative path; see the trace",
        ),
        (
            "import os, sys; sys.path.append(os.path.dirname(os.path.dirname(__file__))); import common",
            {"common.py": ""},
            "train.py imports common from {models}/common.py, which is not in the model's directory: with"
            " Docker it is not there, and a change in it would make no new version; move it into"
            " {models}/mine",
        ),
        (
            "import custom_code",  # of the iris model
            {},
            "train.py imports custom_code from {models}/../trainer/custom_code.py, which is not in",
        ),
        (
            "from workflow import Data",
            {"mine/workflow.py": "Data = None"},
            "{models}/mine holds a module workflow, which is the name of one of the stack's; give it"
            " another name",
        ),
        (
            "from workflow import Data",
            {"mine/model_server/__init__.py": ""},
            "{models}/mine holds a module model_server, which is the name of one of the stack's",
        ),
        (
            "import mlflow; mlflow.set_tracking_uri('http://127.0.0.1:1')\n"
            "from workflow import Data, Gate, Training, main\n"
            "raise SystemExit(main(Training('.', {}, Gate('a', 0, 0), *[None] * 4)))",
            {},
            "train.py has set the tracking server to http://127.0.0.1:1, expected http://127.0.0.1:9",
        ),
        (
            "from pathlib import Path\nfrom workflow import Data, Gate, Training, main\n"
            "raise SystemExit(main(Training(Path(), {}, Gate('a', 0, 0), *[None] * 4)))",
            {},
            "Training(directory=...) must be the directory of train.py, found {models}/../tmp/training-",
        ),
    ],
    ids=[
        "a file that is nowhere",
        "a file beside the directory",
        "written into the directory",
        "a module beside the directory",
        "a module of another model",
        "a module called workflow",
        "a package called model_server",
        "another server, set before the import",
        "another directory",
    ],
)
def test_what_a_train_py_can_not_use_is_told_in_one_sentence(
    checkout: Path, code: str, files: dict[str, str], told: str
) -> None:
    done = run(checkout, code, files)
    assert done.returncode == 1
    missing = "train.py raised FileNotFoundError: [Errno 2] No such file or directory:"
    told = told.format(models=checkout / "models", missing=missing).replace("models/../", "")
    assert done.stderr.splitlines()[-1].startswith(f"train.py: {told}")


@pytest.mark.parametrize(
    "name", ["run", "gate", "answers", "server", "definition", "fingerprint", "own_code", "program", "script"]
)
def test_a_helper_may_have_the_name_of_a_module_inside_workflow(checkout: Path, name: str) -> None:
    code = (
        f"import {name}; from workflow.{name} import __doc__ as ours; print({name}.MINE, bool(ours)); exit(3)"
    )
    done = run(checkout, code, {f"mine/{name}.py": "MINE = 'mine'"})
    assert (done.stdout, done.stderr) == ("mine True\n", "")


def test_both_modes_start_the_trainer_in_the_same_way() -> None:
    arguments = load_config({"MODEL_DIR": "examples/diabetes"}, Path("/nonexistent")).trainer_arguments(
        "--wait"
    )
    assert arguments == ["-P", "-m", "workflow", f"{CHECKOUT}/examples/diabetes/train.py", "--wait"]
    (docker,) = re.findall(
        r'^CMD .* exec python (.*train\.py.*)"\]$', (CHECKOUT / "Dockerfile").read_text(), re.M
    )
    assert docker == "-P -m workflow train.py --wait"

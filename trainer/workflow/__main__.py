"""Run a model's train.py.

python -P -m workflow PATH/train.py [--force] [--wait]

The working directory is a new one, removed at the end. So a training can write there, in both modes, and what
it writes is not taken for the model's code.
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path

from workflow.definition import TrainingError
from workflow.own_code import own_code


def main() -> None:
    """Run the file as a program, in a working directory of its own, and exit as it does."""
    named, *arguments = sys.argv[1:]
    file = Path(named).resolve()
    sys.argv[:] = [str(file), *arguments]
    sys.path.insert(0, str(file.parent))
    with tempfile.TemporaryDirectory(prefix="training-") as directory:
        os.chdir(directory)
        try:
            with own_code("train.py", file.parent):
                runpy.run_path(str(file), run_name="__main__")
        except TrainingError as error:
            sys.exit(f"train.py: {error}")
        finally:
            os.chdir(file.parent)


if __name__ == "__main__":
    main()

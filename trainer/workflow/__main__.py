"""Run a model's train.py, which describes a Training, or is a plain script.

python -P -m workflow PATH/train.py [--force] [--wait]
"""

import argparse
import sys
from pathlib import Path

from workflow.program import CALL, add_options, status_of
from workflow.script import run


def main() -> int:
    """Run the file as a program; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -P -m workflow")
    parser.add_argument("file", type=Path)
    add_options(parser)
    arguments = parser.parse_args()
    CALL.force, CALL.wait = arguments.force, arguments.wait
    file = arguments.file.resolve()
    sys.argv[:] = [str(file)]
    sys.path.insert(0, str(file.parent))
    return status_of(lambda: run(file))


if __name__ == "__main__":
    sys.exit(main())

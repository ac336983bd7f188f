"""Send a file to the model server and print its answer.

python -m serving.predict [FILE]
"""

import argparse
import sys
from pathlib import Path

from serving.client import ask
from stack.config import load_config
from stack.errors import StackError, exit_status


def predict(url: str, file: Path) -> str:
    """Post a request, as JSON or as CSV, to the model server at ``url``; return the body of its answer.

    Raises:
        StackError: if the file can't be read, nothing answers, or the server refuses the request.

    """
    try:
        body = file.read_bytes()
    except OSError as error:
        raise StackError(f"can't read {file} ({error.strerror}); name a file that exists") from error
    answer = ask(url, body, "text/csv" if file.suffix == ".csv" else "application/json")
    if not answer.ok:
        raise StackError(f"the model server refused {file} with status {answer.status_code}: {answer.text}")
    return answer.text


def main() -> int:
    """Print one answer; return the exit status."""
    parser = argparse.ArgumentParser(prog="predict", description="Send a file to the model server.")
    parser.add_argument("file", type=Path, nargs="?", help="default: example.json of the model")
    file = parser.parse_args().file

    def command() -> None:
        config = load_config()
        print(predict(config.serving_url, file or config.model_dir / "example.json"))

    return exit_status("predict", command)


if __name__ == "__main__":
    sys.exit(main())

"""Send a file to the model server and print its answer.

python -m serving.predict FILE
"""

import argparse
import sys
from pathlib import Path

import requests

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
    content_type = "text/csv" if file.suffix == ".csv" else "application/json"
    session = requests.Session()
    session.trust_env = False  # a proxy that the environment names can't reach this machine's own ports
    try:
        answer = session.post(
            f"{url}/invocations", data=body, headers={"Content-Type": content_type}, timeout=60
        )
    except requests.RequestException as error:
        raise StackError(f"nothing answers at {url} ({type(error).__name__}); run: ./scripts/up") from error
    if not answer.ok:
        raise StackError(f"the model server refused {file} with status {answer.status_code}: {answer.text}")
    return answer.text


def main() -> int:
    """Print one answer; return the exit status."""
    parser = argparse.ArgumentParser(prog="predict", description="Send a file to the model server.")
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    return exit_status("predict", lambda: print(predict(load_config().serving_url, file)))


if __name__ == "__main__":
    sys.exit(main())

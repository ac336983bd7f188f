"""Waits for a tracking server that starts at the same time as the trainer."""

import time

import requests

from workflow.definition import TrainingError

_WITHIN = 120


def wait_for_server(uri: str, within: float = _WITHIN) -> None:
    """Return when there is an answer at ``uri``, whatever it is; ``within`` is in seconds.

    Raises:
        TrainingError: if there is none by then.

    """
    deadline = time.monotonic() + within
    while True:
        try:
            requests.get(f"{uri}/health", timeout=5)
        except requests.RequestException as error:
            if time.monotonic() >= deadline:
                raise TrainingError(
                    f"the tracking server {uri} did not answer within {within:.0f} s ({error}); see its log"
                ) from error
            time.sleep(0.1)
        else:
            return

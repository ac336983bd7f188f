"""The verbs for versions: deploy, promote, rollback, status.

The import of MLflow takes seconds, so all that does not need it comes first.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from stack.config import Config, load_config
from stack.errors import LockedError, StackError
from stack.interruption import Interruption
from stack.modes.choice import choose_mode
from stack.modes.door import trust
from stack.modes.mode import Mode
from stack.release.deploy import deploy, resume, serve_last
from stack.tracking import no_answer, remedy, seconds_to_wait, stores_away
from stack.tracking_settings import CLIENT_SETTINGS
from stack.wait import wait_until

if TYPE_CHECKING:
    from stack.release.canary import Canary
    from stack.release.registry import Registry

# After so many seconds of training, other deployments may run.
_LOCKED_FOR = 10
# A deployment may take so long: a large model is baked and replayed.
_OTHERS_WITHIN = 600

ChooseVersion = Callable[["Registry", Mode], str | None]


def release(
    config: Config,
    named_mode: str | None,
    choose: ChooseVersion,
    *,
    wait: bool = False,
    unchecked: bool = False,
    canary: "Canary | None" = None,
) -> None:
    """Serve the version that ``choose`` returns; if it returns None, the candidate or the champion.

    ``wait`` is for a tracking server and a training that `up` has started at the same time. ``unchecked`` and
    ``canary`` as in `deploy`.

    Raises:
        StackError: if it is not served at the end; see `deploy`.

    """
    interruption = Interruption()
    mode = choose_mode(config, named_mode)
    mode.check()
    if canary:
        mode.check_split()
    if not wait and config.elsewhere and (reason := no_answer(config)):
        # MLflow's client would try for minutes, and keep the lock.
        raise _not_answering(config, reason, "this again")
    with ExitStack() as lock:
        if wait:
            _start_up(config, mode, interruption, lock)
        else:
            lock.enter_context(mode.exclusive())
        with open_registry(config) as registry:
            version = choose(registry, mode)
            served = deploy(registry, mode, version, interruption.check, unchecked=unchecked, canary=canary)
    print(f"version {served} of {config.model_name} is served at {config.serving_url}/invocations")


def watch(config: Config, named_mode: str | None) -> None:
    """Deploy whatever `candidate` and `champion` are moved to, until Ctrl-C.

    Raises:
        SystemExit: if .env comes to name another model or tracking server.

    """
    interruption = Interruption()

    def todays_mode() -> Mode:
        today = load_config()  # settings may have changed since the last deployment
        if (today.model_name, today.tracking_url) != (config.model_name, config.tracking_url):
            raise SystemExit(
                "deploy: MODEL_NAME or the tracking server has changed; run ./scripts/deploy --watch again"
            )
        mode = choose_mode(today, named_mode)
        mode.check()
        return mode

    todays_mode()
    with open_registry(config) as registry, suppress(KeyboardInterrupt):
        from stack.release.watch import Watch

        Watch(registry, todays_mode).follow(interruption.check)


def show_status(config: Config, *, json_wanted: bool) -> None:
    """Print what runs and what is served; StackError if something is wrong."""
    with open_registry(config) as registry:
        from stack.release import status

        status.show(config, registry, json_wanted=json_wanted)


def _start_up(config: Config, mode: Mode, interruption: Interruption, lock: ExitStack) -> None:
    """Serve what was served last, wait for tracking and training, and return with the lock held."""
    with ThreadPoolExecutor() as pool:
        served = pool.submit(_serve_last, mode, lock)
        # Until then, no import here slows down those of tracking and trainer.
        _wait_for_tracking(config, interruption)
        with open_registry(config) as registry:
            is_locked = served.result()
            if is_locked:
                resume(registry, mode, interruption.check)
    since = time.monotonic()

    def meanwhile() -> None:
        nonlocal is_locked
        interruption.check()
        if is_locked and time.monotonic() - since > _LOCKED_FOR:
            is_locked = False
            lock.close()

    mode.wait_for_training(meanwhile)
    if not is_locked:
        _lock_after_others(mode, interruption, lock)


def _lock_after_others(mode: Mode, interruption: Interruption, lock: ExitStack) -> None:
    """Take the lock; another deployment may have it, such as that of `deploy --watch`."""

    def held_by_another() -> str | None:
        try:
            lock.enter_context(mode.exclusive())
        except LockedError as error:
            return str(error)
        return None

    wait_until(held_by_another, timeout=_OTHERS_WITHIN, on_wait=interruption.check, interval=1)


def _serve_last(mode: Mode, lock: ExitStack) -> bool:
    """If no other deployment runs, take the lock and serve what was served last; return whether it did."""
    try:
        lock.enter_context(mode.exclusive())
    except LockedError:
        return False
    serve_last(mode)
    return True


def _wait_for_tracking(config: Config, interruption: Interruption) -> None:
    try:
        wait_until(lambda: no_answer(config), timeout=seconds_to_wait(config), on_wait=interruption.check)
    except StackError as error:
        if config.elsewhere:
            raise _not_answering(config, str(error), "./scripts/up again") from error
        raise StackError(f"the tracking server fails to start: {error}; see its log") from error


def _not_answering(config: Config, reason: str, again: str) -> StackError:
    return StackError(f"the tracking server does not answer: {reason}; {remedy(config)}, then run {again}")


@contextmanager
def open_registry(config: Config) -> Iterator["Registry"]:
    """Import MLflow, and yield the registered model."""
    for name, value in (("HTTP_REQUEST_MAX_RETRIES", "2"), ("ENABLE_ARTIFACTS_PROGRESS_BAR", "false")):
        os.environ.setdefault(f"MLFLOW_{name}", value)
    for name in CLIENT_SETTINGS:  # to MLflow's client, an empty path of a certificate means to check none
        os.environ.pop(name, None)
    trust(config)
    os.environ.update(config.client)
    import mlflow
    from mlflow import MlflowClient

    from stack.release.registry import Registry

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # this process prints what it does
    mlflow.set_tracking_uri(config.tracking_url)
    yield Registry(MlflowClient(), config.model_name, lambda: stores_away(config))

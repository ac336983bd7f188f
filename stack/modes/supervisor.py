"""Start the stack without Docker, watch its parts, and stop it."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

from stack.config import Config
from stack.errors import StackError
from stack.interruption import Interruption
from stack.modes import native_gateway
from stack.modes.parts import Parts
from stack.modes.preflight import (
    check_home_owner,
    check_home_tracking,
    check_machine,
    delete_data,
    prepare_home,
)
from stack.modes.processes import Process, write_pid
from stack.modes.report import begin_text, failed_text, up_text
from stack.wait import Progress, wait_until

_STOPPING = "stopping"  # the note of a supervisor that stops the stack


def up(config: Config, *, detach: bool) -> None:
    """Bring the stack up; return when asked to stop or, with ``detach``, when it answers.

    If it is already up, train and deploy what has changed. A healthy model server is not restarted, even if
    the `up` that started it was killed. A stack with other settings of the gateway is stopped first.

    Raises:
        StackError: if the training or the deployment failed: then the stack stays up, and serves the
            champion if there is one. If a server can't be started or ended by itself: then nothing runs.

    """
    interruption = Interruption()
    progress = Progress()
    print(begin_text(config, "without Docker"), flush=True)

    def on_wait() -> None:
        interruption.check()
        progress.tick()

    parts = Parts(config, on_wait)
    supervisor = parts.process("up")
    config.stores.check_native()
    prepare_home(config)
    check_home_tracking(config)
    if supervisor.is_running() and supervisor.note() == _STOPPING:
        _step(progress, "waiting for the stack to stop", lambda: _wait_while_stopping(supervisor, on_wait))
    gateway = native_gateway.chosen(config)
    if supervisor.is_running() and supervisor.note() == gateway:
        _follow_up(parts, progress, supervisor)
        return
    if supervisor.is_running():
        what = "stopping the stack, which was started with other settings of the gateway"
        _step(progress, what, lambda: _stop(parts, supervisor, on_wait))
    with supervisor.claim(gateway) as lock:
        is_serving = parts.stop_left_over()
        native_gateway.choose_ports(config, is_serving=is_serving)
        check_machine(config, is_serving=is_serving)
        caddy = native_gateway.prepare(config.home, interruption.check) if config.gateway else ""
        try:
            if parts.has_tracking:
                parts.start_tracking()
            if caddy:
                _step(progress, "starting the gateway", lambda: parts.start_gateway(caddy))
            failed = _train_and_deploy(parts, progress, is_new=True)
            watched = parts.watch(parts.needed)
            # Nothing runs that is of use: the tracking server is elsewhere.
            if failed is not None and watched <= {native_gateway.NAME}:
                raise failed
            if failed is None:
                print(up_text(config, "./scripts/down" if detach else "Ctrl-C"), flush=True)
            else:
                print(f"up: {failed_text(failed, config)}", file=sys.stderr, flush=True)
            if detach or failed is not None:
                _go_to_background(lock, supervisor, 0 if failed is None else 1)
            while not interruption.received:
                watched = parts.watch(watched)
                time.sleep(0.2)
        finally:
            with contextlib.suppress(OSError):  # no room on the disk
                write_pid(lock, os.getpid(), _STOPPING)
            parts.stop()
    print("==> stopped", flush=True)


def _wait_while_stopping(supervisor: Process, on_wait: Callable[[], None]) -> None:
    def stopping() -> str | None:
        return _STOPPING if supervisor.is_running() and supervisor.note() == _STOPPING else None

    try:
        wait_until(stopping, timeout=60, on_wait=on_wait)
    except StackError as error:
        raise StackError(f"the stack that runs here does not stop ({error}); run: ./scripts/down") from error


def _follow_up(parts: Parts, progress: Progress, supervisor: Process) -> None:
    print(f"the stack is already running (process {supervisor.pid()})", flush=True)
    if parts.config.gateway and parts.config.gateway.certificate:  # it may have been renewed
        native_gateway.reload(parts.config)
    if parts.has_tracking:
        if not parts.process("tracking").is_running():
            raise StackError(
                "the stack that runs here was started with a tracking server elsewhere, and has none of its"
                " own; run ./scripts/down, then this again"
            )
        parts.wait_for_tracking()
    failed = _train_and_deploy(parts, progress)
    if failed is not None:
        raise failed
    print(up_text(parts.config, "./scripts/down"), flush=True)


def _train_and_deploy(parts: Parts, progress: Progress, *, is_new: bool = False) -> StackError | None:
    """Train, then deploy. If the training fails, the deployment serves the champion. Return what failed.

    ``is_new`` says that the tracking server was started just now, so what it has told is shown.

    Raises:
        StackError: if the tracking server has ended by itself.

    """
    failed = []

    def tracking_answers() -> str:
        parts.wait_for_tracking()
        return parts.told_by_tracking() if is_new else ""

    def wait_for_tracking() -> None:
        if parts.has_tracking:
            _step(progress, "starting the tracking server", tracking_answers)

    with contextlib.ExitStack() as started:
        try:
            finish = started.enter_context(parts.jobs())
        except StackError as error:  # another `up` has started them
            wait_for_tracking()
            return error
        wait_for_tracking()
        for what, name in (
            ("training the model", "trainer"),
            ("baking, replaying and serving the model", "deploy"),
        ):
            try:
                _step(progress, what, partial(finish, name))
            except StackError as error:
                parts.watch(parts.needed)
                failed.append(str(error))
    return StackError("\n".join(failed)) if failed else None


def _step(progress: Progress, what: str, action: Callable[[], str | None]) -> None:
    progress.start(what)
    try:
        printed = action()
    except BaseException:
        progress.fail()
        raise
    progress.done()
    if printed:
        print(printed, flush=True)


def _go_to_background(lock: IO[str], supervisor: Process, status: int) -> None:
    """Continue in a new process, which keeps the lock; the process that the shell started ends."""
    if child := os.fork():
        write_pid(lock, child, supervisor.note())
        os._exit(status)
    os.setsid()
    with Path(os.devnull).open("rb") as nothing, supervisor.log.open("wb") as output:
        for descriptor, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), descriptor)


def down(config: Config, *, volumes: bool) -> bool:
    """Stop whatever `up` started and, with ``volumes``, delete the data; return whether anything ran."""
    check_home_owner(config.home)
    parts = Parts(config)
    was_up = parts.is_up
    if was_up:
        progress = Progress()
        progress.start("stopping the stack without Docker")
        _stop(parts, parts.process("up"), progress.tick)
        progress.done()
    if volumes:
        delete_data(config)
    return was_up


def _stop(parts: Parts, supervisor: Process, on_wait: Callable[[], None]) -> None:
    if supervisor.is_running() and (pid := supervisor.pid()):
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(StackError):  # it hangs; what it started is stopped below
            wait_until(lambda: "alive" if supervisor.is_running() else None, timeout=60, on_wait=on_wait)
    parts.stop()

"""Bring the stack without Docker up, watch over its parts, and take it down.

python -m stack.supervisor up [--detach]
python -m stack.supervisor down [--volumes]
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from stack.config import Config, load_config
from stack.errors import StackError, exit_status
from stack.interruption import Interruption
from stack.native import Native
from stack.preflight import check_machine, delete_data, prepare_home
from stack.processes import Process, write_pid
from stack.wait import Progress, wait_until

_STOPPING = "stopping"  # the note of a supervisor that takes the stack down


def up(config: Config, *, detach: bool) -> None:
    """Bring the stack up; return when it was asked to stop or, with ``detach``, when it answers.

    Where it is up already, train and deploy what has changed.

    Raises:
        StackError: if the training or the deployment failed: then the stack stays up, and serves the
            champion if there is one. If a server can't be started or ended by itself: then nothing runs.

    """
    interruption = Interruption()
    progress = Progress()

    def on_wait() -> None:
        interruption.check()
        progress.tick()

    native = Native(config, on_wait)
    supervisor = native.process("up")
    prepare_home(config)
    if supervisor.is_running() and supervisor.note() == _STOPPING:
        _step(progress, "waiting for the stack to stop", lambda: _wait_while_stopping(supervisor, on_wait))
    if supervisor.is_running():
        _follow_up(native, progress, supervisor)
        return
    with supervisor.claim() as lock:
        try:
            native.stop()  # what an `up` left behind that was killed
            check_machine(config)
            native.start_tracking()
            failed = _train_and_deploy(native, progress)
            watched = native.watch({"tracking"})
            if failed is None:
                _say_up(config, "./scripts/down" if detach else "Ctrl-C")
            else:
                _report(failed, config)
            if detach or failed is not None:
                _go_to_background(lock, supervisor.log, 0 if failed is None else 1)
            while not interruption.received:
                watched = native.watch(watched)
                time.sleep(0.2)
        finally:
            with contextlib.suppress(OSError):  # no room on the disk
                write_pid(lock, os.getpid(), _STOPPING)
            native.stop()
    print("==> stopped", flush=True)


def _wait_while_stopping(supervisor: Process, on_wait: Callable[[], None]) -> None:
    def stopping() -> str | None:
        return _STOPPING if supervisor.is_running() and supervisor.note() == _STOPPING else None

    try:
        wait_until(stopping, timeout=60, on_wait=on_wait)
    except StackError as error:
        raise StackError(f"the stack that runs here does not stop ({error}); run: ./scripts/down") from error


def _follow_up(native: Native, progress: Progress, supervisor: Process) -> None:
    print(f"the stack is running already (process {supervisor.pid()})", flush=True)
    native.wait_for_tracking()
    failed = _train_and_deploy(native, progress)
    if failed is not None:
        raise failed
    _say_up(native.config, "./scripts/down")


def _train_and_deploy(native: Native, progress: Progress) -> StackError | None:
    """Do both, the second whatever becomes of the first: then it serves the champion. Return what failed.

    Raises:
        StackError: if the tracking server has ended by itself.

    """
    failed = []
    with contextlib.ExitStack() as started:
        try:
            finish = started.enter_context(native.jobs())
        except StackError as error:  # another `up` has started them
            _step(progress, "starting the tracking server", native.wait_for_tracking)
            return error
        _step(progress, "starting the tracking server", native.wait_for_tracking)
        for what, name in (
            ("training the model", "trainer"),
            ("baking, replaying and serving the model", "deploy"),
        ):
            try:
                _step(progress, what, partial(finish, name))
            except StackError as error:
                native.watch({"tracking"})
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


def _say_up(config: Config, stop: str) -> None:
    print(
        f"==> the stack is up\n{_addresses(config)}\n    to stop it   {stop}",
        flush=True,
    )


def _report(failed: StackError, config: Config) -> None:
    print(
        f"up: {failed}\n==> the tracking server goes on running, and the champion if there is one:"
        f"\n{_addresses(config)}\n    what is served  ./scripts/status\n    to stop it      ./scripts/down",
        file=sys.stderr,
        flush=True,
    )


def _addresses(config: Config) -> str:
    return (
        f"    MLflow UI    http://localhost:{config.tracking_port}\n"
        f"    predictions  http://localhost:{config.serving_port}/invocations"
    )


def _go_to_background(lock: IO[str], log: Path, status: int) -> None:
    """Go on as a process of its own, which keeps the lock; the one that was started from the shell ends."""
    if child := os.fork():
        write_pid(lock, child)
        os._exit(status)
    os.setsid()
    with Path(os.devnull).open("rb") as nothing, log.open("wb") as output:
        for descriptor, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), descriptor)


def down(config: Config, *, volumes: bool) -> None:
    """Stop whatever `up` started and, with ``volumes``, delete the data; nothing running is no error."""
    native = Native(config)
    if native.is_up:
        progress = Progress()
        progress.start("stopping the stack without Docker")
        supervisor = native.process("up")
        if supervisor.is_running() and (pid := supervisor.pid()):
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(StackError):  # stuck: what it started is stopped below
                wait_until(
                    lambda: "alive" if supervisor.is_running() else None, timeout=60, on_wait=progress.tick
                )
        native.stop()
        progress.done()
    if volumes:
        delete_data(config)


def main() -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m stack.supervisor", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("--detach", action="store_true")
    commands.add_parser("down").add_argument("--volumes", action="store_true")
    arguments = parser.parse_args()

    def command() -> None:
        config = load_config()
        # A tracking server that the user's shell names is not the one that is started here.
        config = replace(config, tracking_url=config.own_tracking_url)
        if arguments.command == "up":
            up(config, detach=arguments.detach)
        else:
            down(config, volumes=arguments.volumes)

    return exit_status(arguments.command, command)


if __name__ == "__main__":
    sys.exit(main())

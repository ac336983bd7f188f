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
from dataclasses import replace
from pathlib import Path
from typing import IO

from stack.config import Config, load_config
from stack.errors import StackError, exit_status
from stack.interruption import Interruption
from stack.native import Native
from stack.preflight import check_machine, delete_data, prepare_home
from stack.processes import Process, write_pid
from stack.wait import Progress, not_healthy, wait_until


def up(config: Config, *, detach: bool) -> None:
    """Bring the stack up; return when it was asked to stop or, with ``detach``, when it answers.

    Raises:
        StackError: if it can't be brought up or a server ended by itself; then nothing of it runs any more.

    """
    interruption = Interruption()
    progress = Progress()

    def on_wait() -> None:
        interruption.check()
        progress.tick()

    native = Native(config, on_wait)
    supervisor = native.process("up")
    prepare_home(config)
    if supervisor.is_running():
        _report_running(config, supervisor)
        return
    with supervisor.claim() as lock:
        try:
            native.stop()  # what an `up` left behind that was killed
            check_machine(config)
            _start(native, progress)
            stopping = "./scripts/down" if detach else "Ctrl-C"
            print(f"==> the stack is up\n{_addresses(config)}\n    to stop it   {stopping}", flush=True)
            if detach:
                _go_to_background(lock, supervisor.log)
            while not interruption.received:
                native.check_servers()
                time.sleep(0.2)
        finally:
            native.stop()
    print("==> stopped", flush=True)


def _report_running(config: Config, supervisor: Process) -> None:
    if reason := not_healthy(config.serving_url):
        raise StackError(
            f"another up is at work (process {supervisor.pid()}), but does not serve yet ({reason});"
            " wait for it, or run: ./scripts/down"
        )
    print(f"the stack is running already (process {supervisor.pid()}):\n{_addresses(config)}")


def _start(native: Native, progress: Progress) -> None:
    for what, action in (
        ("starting the tracking server", native.start_tracking),
        ("training the model", native.run_trainer),
        ("baking the model and starting to serve it", native.run_deploy),
    ):
        progress.start(what)
        try:
            printed = action()
        except BaseException:
            progress.fail()
            raise
        progress.done()
        if printed:
            print(printed, flush=True)


def _addresses(config: Config) -> str:
    return (
        f"    MLflow UI    http://localhost:{config.tracking_port}\n"
        f"    predictions  http://localhost:{config.serving_port}/invocations"
    )


def _go_to_background(lock: IO[str], log: Path) -> None:
    """Go on as a process of its own, which keeps the lock; the one that was started from the shell ends."""
    if child := os.fork():
        write_pid(lock, child)
        os._exit(0)
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

"""What `up` prints at its end, the same in both modes."""

import signal

from stack.config import Config
from stack.errors import StackError

_TOLD = "tracking server: "


def told_by_tracking(log: str) -> str:
    """Return what the tracking server tells in its log, indented: of the database, and why it ended."""
    told = (line.removeprefix(_TOLD) for line in log.splitlines() if line.startswith(_TOLD))
    return "\n".join(f"    {line}" for line in told)


def begin_text(config: Config, how: str) -> str:
    """Say how the stack starts, and with which tracking server, if that is not its own."""
    return f"==> {how}" + (f", with the tracking server {config.elsewhere}" if config.elsewhere else "")


def up_text(config: Config, stop: str) -> str:
    """Say that the stack is up, where it answers, and what stops it."""
    return f"==> the stack is up\n{_addresses(config)}\n    to stop it   {stop}"


def failed_text(failed: StackError, config: Config) -> str:
    """Say what failed, and what still runs."""
    runs = "" if config.elsewhere else "the tracking server still runs, and "
    return (
        f"{failed}\n==> {runs}the champion is still served if there is one:"
        f"\n{_addresses(config)}\n    what is served  ./scripts/status\n    to stop it      ./scripts/down"
    )


def ended_text(status: int) -> str:
    """Say how a process ended: by its exit status, or by a signal, which is negative or 128 more."""
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return f"ended with status {status}"
    killed = f"was killed by {signal.Signals(number).name} (status {status})"
    if number != signal.SIGKILL:
        return killed
    return f"{killed}, usually because the memory ran out: give it more memory, or less to do"


def _addresses(config: Config) -> str:
    scheme = "https" if config.gateway else "http"
    return (
        f"    MLflow UI    {config.elsewhere or f'{scheme}://localhost:{config.tracking_port}'}\n"
        f"    predictions  {scheme}://localhost:{config.serving_port}/invocations"
    )


def size_text(count: int) -> str:
    """Write a number of bytes."""
    if count < 1e5:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"

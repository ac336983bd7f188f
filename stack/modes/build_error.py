"""Why Docker failed to build or to start something, by its output: the line that says so, and one advice."""

import re
from dataclasses import dataclass

from stack.errors import StackError
from stack.modes.mode import LOG_LINES

# What a terminal makes of a line: colours, movements, a return to its start.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
# BuildKit's number of the step, and the seconds since its start.
_NUMBER = re.compile(r"^(#\d+ )?(\d+\.\d+ )?")
_ERROR = re.compile(r"error|exception|failed|fatal|denied|\bE: ", re.IGNORECASE)
_EXITED = re.compile(r"did not complete successfully|returned a non-zero code")


@dataclass(frozen=True)
class Cause:
    """A pattern of what is printed; ``advice`` may use its groups."""

    words: str
    advice: str


# The first that fits counts. What pip and uv say last comes last: they find no distribution, whatever kept
# them from an index.
_MACHINE = (
    Cause(r"no space left on device|disk quota exceeded", "make room on that disk"),
    Cause(
        r"exit code: 137|non-zero code: 137|signal: killed",
        "usually the memory ran out: give Docker more, or less to do",
    ),
    Cause(
        r"code = Unavailable|error reading from server|cannot connect to the docker daemon"
        r"|failed to connect to the docker api",
        "the Docker engine has ended: start it, then run this again",
    ),
    Cause(r"error from sender: open (?P<file>.+): permission denied", "let this user read {file}"),
    Cause(r"no permission to read from '(?P<file>.+)'", "let this user read {file}"),
)
BAKING = (
    *_MACHINE,
    Cause(
        r"failed to resolve source metadata|pull access denied",
        "the base image is gone: run docker compose build",
    ),
)
_SETTINGS = "in .env (docs/company-wall.md)"
_FETCHING = (
    Cause(
        r"DO NOT MATCH THE HASHES|Hash mismatch",
        "the index has another file than lock/ pins: tell who runs that index",
    ),
    Cause(
        r"certificate.verif|invalid peer certificate|certificate is NOT trusted",
        f"set CA_CERTIFICATES {_SETTINGS}",
    ),
    Cause(
        r"\b40[137]  ?(Unauthorized|Forbidden|Proxy|Error|Client)|^User for ",
        f"correct the user and the password {_SETTINGS}",
    ),
    Cause(
        r"failure (in name resolution|resolving)|name or service not known|could not resolve|no such host",
        f"no name server knows that name: correct it {_SETTINGS}, or the network",
    ),
    Cause(
        r"connection refused|connection reset|timed out|network is unreachable|no route to host",
        f"nothing answers there: correct the address or the proxy {_SETTINGS}, or the network",
    ),
    Cause(
        r"not a trusted or secure host",
        f"give the index an https address {_SETTINGS}",
    ),
)
_NO_IMAGE = r"failed to do request|failed to authorize|failed to resolve source metadata|pull access denied"
_NOT_FOUND = r"No matching distribution found|not found in the (package registry|provided package locations)"
STARTING = (
    *_MACHINE,
    Cause(
        r"port is already allocated|address already in use",
        "stop what uses the port, or set TRACKING_PORT or SERVING_PORT in .env",
    ),
    Cause(
        r"bind source path does not exist",
        "correct what mounts it: DOCKER_SOCKET in .env, or your own Compose file",
    ),
    Cause(
        _NO_IMAGE,
        "the engine can't fetch an image: correct its registry settings, or run docker load --input"
        " vendor/image.tar (docs/company-wall.md)",
    ),
    *_FETCHING,
    Cause(_NOT_FOUND, "the index, or vendor/, lacks a package of the lock (docs/company-wall.md)"),
)
_MAKING = (
    *_MACHINE,
    Cause(
        _NO_IMAGE,
        "the engine can't fetch the image of that Python: correct its registry settings, or make it known by"
        " docker save, where there is a network, and docker load (docs/company-wall.md)",
    ),
    *_FETCHING,
    Cause(
        f"{_NOT_FOUND}|requirements are unsatisfiable",
        "log the model with other requirements, or set PACKAGE_INDEX to an index that has these packages"
        " (docs/company-wall.md)",
    ),
)


def environment_error(environment: object, how: str, output: str) -> StackError:
    """Return the error that says that a model's environment can't be made, with all that uv has said.

    ``how`` its making ended is told if that is nothing.
    """
    return _install_error(f"its environment ({environment}) can't be made:", how, output, _MAKING)


def spark_error(how: str, output: str) -> StackError:
    """Return the error that says that Spark can't be installed, with what uv or Docker has said."""
    return _install_error("Spark can't be installed:", how, output, STARTING)


def caddy_error(how: str, output: str) -> StackError:
    """Return the error that says that the gateway's program can't be installed, with what uv has said."""
    return _install_error(
        "Caddy, the gateway's program, can't be installed (a Caddy 2.11 or newer on the PATH would do):",
        how,
        output,
        STARTING,
    )


def _install_error(what: str, how: str, output: str, causes: tuple[Cause, ...]) -> StackError:
    lines = _told(output)[-LOG_LINES:] if output.strip() else [how]
    advice = _advice(lines, causes)
    told = "\n    ".join([what, *lines])
    return StackError(f"{told}\n{advice[1]}" if advice else told)


def _told(output: str) -> list[str]:
    """Return what the step that failed has printed, without the line that only says that it failed."""
    lines = _failed_step(_CONTROL.sub("", output))
    return [line for line in lines if not _EXITED.search(line)] or lines


def docker_error(what: str, output: str, causes: tuple[Cause, ...]) -> StackError:
    """Return the error that says what failed, why, and what to do, if the cause is known.

    The caller has printed the output.
    """
    if found := _advice(_failed_step(_CONTROL.sub("", output)), causes):
        line, advice = found
        return StackError(f"{_text(what, line)}; {advice}")
    told = _told(output)
    return StackError(_text(what, next(filter(_ERROR.search, reversed(told)), told[-1])))


def _advice(lines: list[str], causes: tuple[Cause, ...]) -> tuple[str, str] | None:
    """Return the line that tells the cause, and what to do; None if it is not known."""
    for cause in causes:
        for line in reversed(lines):
            if found := re.search(cause.words, line, re.IGNORECASE):
                return line, cause.advice.format(**found.groupdict())
    return None


def _text(what: str, line: str) -> str:
    return f"{what}: {line.strip()} (Docker's output was printed before this)"


def _failed_step(output: str) -> list[str]:
    """Return the lines of the step that failed, and the last line; all lines if no step did.

    BuildKit writes each line of a step after its number, and at the end, between two rulers, the last lines
    of the step; on a terminal, only those. A step that was stopped because another one failed is CANCELED.
    """
    lines = output.splitlines()
    if failed := re.findall(r"^#(\d+) ERROR: ", output, re.MULTILINE):
        step = re.findall(rf"^#{failed[0]} (?!\[).*", output, re.MULTILINE)
    elif ruled := re.findall(r"^-{6}\n > .*\n((?:.*\n)*?)-{6}$", output, re.MULTILINE):
        step = ruled[0].splitlines()
    else:
        step = [line for line in lines[:-1] if not re.match(r"#\d+ ", line)]
    return [_NUMBER.sub("", line) for line in (*step, *lines[-1:]) if line.strip()] or ["it printed nothing"]

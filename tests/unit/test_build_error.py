"""Each cause of a failed build or start gets its own line of Docker's output, and one advice that fits."""

import pytest

from stack.modes.build_error import BAKING, STARTING, Cause, docker_error

PROCESS = 'process "/bin/sh -c it" did not complete successfully: exit code: 1'
NO_DISTRIBUTION = (
    "ERROR: Could not find a version that satisfies the requirement cowsay==6.1 (from versions: none)\n"
    "ERROR: No matching distribution found for cowsay==6.1"
)


def numbered(step: str, lines: str) -> str:
    return "".join(f"#{step} 1.{number} {line}\n" for number, line in enumerate(lines.splitlines()))


def buildkit(lines: str, error: str = PROCESS) -> str:
    """Write what BuildKit prints to a pipe when a step fails that has printed these lines."""
    shown = "".join(f"0.1 {line}\n" for line in lines.splitlines()[-8:])
    return (
        '#0 building with "default" instance using docker driver\n\n'
        "#4 [1/3] FROM docker.io/library/mine-base:latest\n#4 CACHED\n\n"
        "#5 [2/3] RUN earlier\n#5 0.2 WARNING: connection refused, tried again\n#5 DONE 0.3s\n\n"
        f"#6 [3/3] RUN it\n{numbered('6', lines)}#6 ERROR: {error}\n"
        f"------\n > [3/3] RUN it:\n{shown}------\n"
        f"Dockerfile:2\n--------------------\n   2 | >>> RUN it\n--------------------\n"
        f"ERROR: failed to solve: {error}\n"
    )


def terminal(lines: str) -> str:
    """Write what Compose prints to a terminal when a step fails."""
    shown = "".join(f"0.1 {line}\r\n" for line in lines.splitlines())
    return (
        "\x1b[1A\x1b[0G\x1b[?25l[+] Building 0.6s (4/5)\r\n"
        "\x1b[31m => ERROR [x 2/2] RUN it                     0.6s\r\n"
        f"\x1b[0m\x1b[?25h------\r\n > [x 2/2] RUN it:\r\n{shown}------\r\nfailed to solve: {PROCESS}\r\n"
    )


def classic(lines: str) -> str:
    """Write what the builder before BuildKit prints; its last line is on standard error."""
    return (
        "Sending build context to Docker daemon  2.048kB\nStep 1/2 : FROM mine-base\n ---> 5e501366771d\n"
        f"Step 2/2 : RUN it\n ---> Running in 4e2931eeffd0\n\x1b[91m{lines}\n\x1b[0m"
        "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n\n"
        "The command '/bin/sh -c it' returned a non-zero code: 1\n"
    )


def told(output: str, causes: tuple[Cause, ...]) -> tuple[str, str]:
    """Return the line that is shown, and the advice."""
    said = str(docker_error("it failed", output, causes))
    line, _, advice = said.removeprefix("it failed: ").partition(" (Docker's output was printed before this)")
    return line, advice.removeprefix("; ")


RETRYING = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
NAME_RETRY = f"{RETRYING}Failed to resolve 'p.example.com' ([Errno -2] Name or service not known)'"
UV_DNS = """error: Failed to fetch: `https://p.example.com/simple/numpy/`
  cause: client error (Connect)
  cause: dns error
  cause: failed to lookup address information: Name or service not known"""
UV_401 = """error: No solution found when resolving dependencies
  cause: Because cowsay was not found in the package registry, your requirements are unsatisfiable.

hint: An index could not be queried due to a lack of valid authentication credentials (401 Unauthorized)"""
APT_DNS = """Err:1 http://deb.example.com/debian trixie InRelease
  Temporary failure resolving 'deb.example.com'
Reading package lists...
W: Failed to fetch http://deb.example.com/debian/InRelease  Temporary failure resolving 'deb.example.com'
W: Some index files failed to download. They have been ignored, or old ones used instead.
E: Unable to locate package nginx"""
APT_LOGIN = """Err:1 http://deb.example.com/debian trixie InRelease
  401  Unauthorized [IP: 127.0.0.1 80]
E: The repository 'http://deb.example.com/debian trixie InRelease' is not signed."""
APT_TLS = """Err:1 https://deb.example.com/debian trixie InRelease
  SSL connection failed: error:0A000086:SSL routines::certificate verify failed / Success [IP: 127.0.0.1 443]
E: The repository 'https://deb.example.com/debian trixie InRelease' is not signed."""
PULL = (
    'python:3: failed to resolve source metadata: failed to do request: Head "https://r.example.com/v2/":'
    " dial tcp: lookup r.example.com on 10.0.0.1:53: no such host"
)
PUBLISH = (
    "Error response from daemon: driver failed programming external connectivity on endpoint x (80):"
    " Bind for 127.0.0.1:5000 failed: port is already allocated"
)
MOUNT = (
    'Error response from daemon: invalid mount config for type "bind": bind source path does not exist:'
    " /var/run/none.sock"
)
SENDER = "error from sender: open /home/me/stack/trainer/data: permission denied"
BOTH = {
    "disk": (
        buildkit("OSError: [Errno 28] No space left on device"),
        "No space left on device",
        "make room on that disk",
    ),
    "memory": (
        buildkit("it grows", PROCESS.replace("code: 1", "code: 137")),
        "exit code: 137",
        "usually the memory ran out",
    ),
    "engine gone": (
        "#5 [2/2] RUN it\n"
        "ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server\n",
        "error reading from server",
        "the Docker engine has ended: start it",
    ),
    "unreadable": (
        f"#6 [x internal] load build context\n#6 ERROR: {SENDER}\n"
        f"------\n > [x internal] load build context:\n------\nfailed to solve: {SENDER}\n",
        "open /home/me/stack/trainer/data: permission denied",
        "let this user read /home/me/stack/trainer/data",
    ),
    "unreadable, classic": (
        "error checking context: no permission to read from '/home/me/secret'\n",
        "no permission to read",
        "let this user read /home/me/secret",
    ),
}
IN_A_BAKE = {
    **BOTH,
    "no base": (
        "#2 [internal] load metadata for docker.io/library/mine-base:latest\n"
        "#2 ERROR: pull access denied, repository does not exist or may require authorization\n"
        "ERROR: failed to solve: mine-base: pull access denied\n",
        "pull access denied",
        "the base image is gone: run docker compose build",
    ),
}
AT_A_START = {
    **BOTH,
    "port": (f" Container x  Starting\n{PUBLISH}\n", "port is already allocated", "stop what uses the port"),
    "mount": (f" Container x  Creating\n{MOUNT}\n", "/var/run/none.sock", "DOCKER_SOCKET in .env"),
    "registry": (
        f"#2 [x] load metadata\n#2 ERROR: {PULL}\nfailed to solve: {PULL}\n",
        "no such host",
        "docker load",
    ),
    "name of an index": (
        buildkit(f"{NAME_RETRY}\n{NO_DISTRIBUTION}"),
        "Failed to resolve 'p.example.com'",
        "no name server knows that name",
    ),
    "name of an index, terminal": (
        terminal(f"{NAME_RETRY}\n{NO_DISTRIBUTION}"),
        "Failed to resolve 'p.example.com'",
        "no name server knows that name",
    ),
    "name of an index, uv": (buildkit(UV_DNS), "failed to lookup address", "no name server knows that name"),
    "name of a mirror": (buildkit(APT_DNS), "Temporary failure resolving", "no name server knows that name"),
    "refused": (
        buildkit(f"{RETRYING}[Errno 111] Connection refused')\n{NO_DISTRIBUTION}"),
        "Connection refused",
        "nothing answers there",
    ),
    "certificate": (
        buildkit(f"{RETRYING}[SSL: CERTIFICATE_VERIFY_FAILED] self-signed')\n{NO_DISTRIBUTION}"),
        "CERTIFICATE_VERIFY_FAILED",
        "set CA_CERTIFICATES in .env",
    ),
    "certificate, uv": (
        buildkit("error: Failed to fetch\n  cause: invalid peer certificate: UnknownIssuer"),
        "invalid peer certificate",
        "set CA_CERTIFICATES in .env",
    ),
    "certificate, apt": (buildkit(APT_TLS), "certificate verify failed", "set CA_CERTIFICATES in .env"),
    "login": (
        buildkit(f"WARNING: 401 Error, Credentials not correct for https://p.example.com\n{NO_DISTRIBUTION}"),
        "401 Error",
        "correct the user and the password in .env",
    ),
    "login, pip asks": (
        buildkit(
            "User for p.example.com: Traceback (most recent call last):\nEOFError: EOF when reading a line"
        ),
        "User for p.example.com",
        "correct the user and the password in .env",
    ),
    "login, uv": (buildkit(UV_401), "401 Unauthorized", "correct the user and the password in .env"),
    "login, apt": (buildkit(APT_LOGIN), "401  Unauthorized", "correct the user and the password in .env"),
    "login, proxy": (
        buildkit(
            f"{RETRYING}Tunnel connection failed: 407 Proxy Authentication Required')\n{NO_DISTRIBUTION}"
        ),
        "407 Proxy Authentication Required",
        "correct the user and the password in .env",
    ),
    "plain http": (
        buildkit(
            f"WARNING: p.example.com is not a trusted or secure host and is being ignored.\n{NO_DISTRIBUTION}"
        ),
        "not a trusted or secure host",
        "give the index an https address",
    ),
    "hashes": (
        buildkit("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."),
        "DO NOT MATCH THE HASHES",
        "another file than lock/ pins",
    ),
    "an index that lacks it": (
        buildkit(NO_DISTRIBUTION),
        "No matching distribution",
        "lacks a package of the lock",
    ),
}


def assert_told(output: str, causes: tuple[Cause, ...], shown: str, advised: str) -> None:
    line, advice = told(output, causes)
    assert shown in line
    assert advised in advice


@pytest.mark.parametrize("cause", IN_A_BAKE)
def test_a_bake_that_fails_shows_its_cause_and_one_advice(cause: str) -> None:
    output, shown, advised = IN_A_BAKE[cause]
    assert_told(output, BAKING, shown, advised)


@pytest.mark.parametrize("cause", AT_A_START)
def test_a_start_that_fails_shows_its_cause_and_one_advice(cause: str) -> None:
    output, shown, advised = AT_A_START[cause]
    assert_told(output, STARTING, shown, advised)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (buildkit("Traceback (most recent call last):\nValueError: odd"), "ValueError: odd"),
        (buildkit("cc: fatal error: no input files\nsee the manual"), "cc: fatal error: no input files"),
        (buildkit("nothing that anybody knows"), "nothing that anybody knows"),
        (classic("ValueError: odd"), "ValueError: odd"),
        (terminal("ValueError: odd"), "ValueError: odd"),
        (buildkit(""), PROCESS),
        (
            "failed to solve: dockerfile parse error on line 2: unknown instruction: FOO\n",
            "failed to solve: dockerfile parse error on line 2: unknown instruction: FOO",
        ),
        ("", "it printed nothing"),
    ],
    ids=["traceback", "compiler", "no error", "classic", "terminal", "silent", "Dockerfile", "nothing"],
)
@pytest.mark.parametrize("causes", [BAKING, STARTING], ids=["bake", "start"])
def test_where_the_cause_is_not_known_there_is_no_advice(
    output: str, line: str, causes: tuple[Cause, ...]
) -> None:
    shown, advice = told(output, causes)
    assert shown.endswith(line)
    assert advice == ""


def test_of_two_steps_it_is_not_the_one_that_was_only_stopped() -> None:
    output = (
        "#7 [x base] RUN it\n#8 [x uv] RUN that\n#8 1.0 ValueError: odd\n"
        f"#8 ERROR: {PROCESS}\n\n#7 1.2 connection refused\n#7 CANCELED\n"
        f"------\n > [x uv] RUN that:\n1.0 ValueError: odd\n------\nfailed to solve: {PROCESS}\n"
    )
    assert told(output, STARTING) == ("ValueError: odd", "")

"""The gateway: its certificates, its users, and whether anything is open beside it."""

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.doctor.engine import ask
from stack.doctor.finding import Finding, fix, ok, skip
from stack.gateway import Gateway
from stack.modes.door import shake_hands, shown_at

_SOON = timedelta(days=14)


def checks(
    gateway: Gateway, port: int, project: str, *, has_docker: bool
) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """List the checks of the gateway at a port of this machine."""
    yield "the gateway's certificate", lambda: check_certificate(gateway, port)
    if gateway.certificate and gateway.key:
        files = gateway.certificate, gateway.key
        yield "TLS_CERTIFICATE", lambda: check_own_certificate(*files, gateway.host, datetime.now(UTC))
    if gateway.acme_email:
        yield "the certificate by ACME", lambda: check_acme_certificate(gateway, port)
    yield "the gateway's users", lambda: check_users(gateway)
    if has_docker:
        yield "ports beside the gateway", lambda: check_beside(project)


def check_certificate(gateway: Gateway, port: int) -> Finding:
    """Whether the gateway shows a certificate of its own authority for localhost."""
    name = f"the gateway at https://localhost:{port}"
    if not gateway.authority.exists():
        return skip(f"{name} has not been up yet")
    try:
        shown = shown_at(port, gateway.authority)
    except ConnectionRefusedError:
        return skip(f"{name} is not running")
    except ssl.SSLError as error:
        return fix(
            f"{name} shows a certificate that {gateway.authority} does not vouch for ({error.reason}): run"
            " ./scripts/up, which fetches that of the gateway, or starts one"
        )
    except OSError as error:
        return fix(f"{name} does not answer ({error}); see the log of the gateway")
    return ok(f"{name} has a certificate until {shown['notAfter']}, and renews it by itself")


def check_acme_certificate(gateway: Gateway, port: int) -> Finding:
    """Whether the gateway shows any certificate for its name: without one, it ends the handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whose it is, its clients check
    try:
        shake_hands(port, gateway.host, context)
    except ssl.SSLError as error:
        return fix(
            f"the gateway has no certificate for {gateway.host} ({error.reason}): the authority must reach it"
            " by that name on port 80 or 443; its log says what went wrong, docs/gateway.md what it takes"
        )
    except OSError as error:
        return skip(f"the certificate for {gateway.host}: the gateway does not answer ({error})")
    return ok(f"the gateway has a certificate for {gateway.host}, and renews it by itself")


def check_own_certificate(certificate: Path, key: Path, host: str, now: datetime) -> Finding:
    """Whether the user's own certificate is one for the gateway's name, fits its key, and will last."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        public = load_pem_private_key(key.read_bytes(), None).public_key()
    except (OSError, ValueError, TypeError) as error:
        return fix(
            f"TLS_CERTIFICATE and TLS_KEY can't be read as PEM files ({error}); give a certificate, with"
            " those that vouch for it, and its key without a password"
        )
    if found.public_key() != public:
        return fix(f"TLS_KEY {key} is not the key of {certificate}; give the one that belongs to it")
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return fix(f"TLS_CERTIFICATE names no host, and clients want {host}; give one with a SAN")
    known = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    if host not in known and f"*.{host.partition('.')[2]}" not in known:
        return fix(f"TLS_CERTIFICATE is for {', '.join(known)}, not for GATEWAY_HOST, {host}; change one")
    left = found.not_valid_after_utc - now
    if left < _SOON:
        how = "has ended" if left < timedelta() else f"ends in {left.days} days"
        return fix(f"TLS_CERTIFICATE {how}; renew {certificate}, then run ./scripts/up")
    return ok(f"TLS_CERTIFICATE for {host} is good for {left.days} days")


def check_users(gateway: Gateway) -> Finding:
    """Whether anybody may log in."""
    users = gateway.listed()
    if not users:
        return fix("nobody else may log in at the gateway yet: run ./scripts/user add NAME")
    return ok(f"may log in at the gateway: {', '.join(f'{user.name} ({user.role})' for user in users)}")


def check_beside(project: str) -> Finding:
    """Whether containers of the stack publish ports beside those of the gateway."""
    listed = ask(
        "ps",
        f"--filter=label=com.docker.compose.project={project}",
        '--format={{.Label "com.docker.compose.service"}}\t{{.Ports}}',
    ).output
    services = dict(line.partition("\t")[::2] for line in listed.splitlines())
    published = sorted(name for name, ports in services.items() if "->" in ports and name != "gateway")
    if published:
        return fix(
            f"{', '.join(published)} can be reached past the gateway: if the ports are none of your own"
            " Compose files, run ./scripts/up"
        )
    return ok("nothing of the stack is published beside the gateway")

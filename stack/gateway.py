"""The gateway's settings and users: the one door with TLS and logins, where .env chooses it.

A user is a file. Only a hash of the secret is in it.
"""

import base64
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stack.compose_file import is_chosen
from stack.errors import StackError

OVERLAY = "compose/gateway.yml"
"""Its place in COMPOSE_FILE chooses the gateway, in both modes."""
ROLES = ("predict", "train", "admin", "metrics")
OWN_USER = "stack"
"""By this one, the commands of whoever has started the stack log in."""
# The Caddyfile, the tracking server and the model server name it, too.
_SHOWN = "X-Gateway-Secret"
_LOOPBACK, _EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - only with logins
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True)
class User:
    """One who may log in, and in which role."""

    name: str
    role: str


@dataclass(frozen=True)
class Gateway:
    """The gateway of one stack: its users are those of the checkout, in ``directory``.

    ``home`` holds the state of the stack's own gateway. ``host`` is the name by which others call it,
    ``bind`` the address at which it listens. ``certificate`` and ``key`` are the user's own, for that name;
    ``acme_email`` lets ACME give one.
    """

    directory: Path
    home: Path
    host: str = "gateway"
    bind: str = _LOOPBACK
    certificate: Path | None = None
    key: Path | None = None
    acme_email: str = ""

    @property
    def users(self) -> Path:
        """The directory with a file for each user."""
        return self.directory / "users"

    @property
    def authority(self) -> Path:
        """The certificate of the gateway's own authority, which vouches for localhost."""
        return self.home / "root.crt"

    def login(self) -> tuple[str, str]:
        """Return the name and the secret of the stack's own user, who is made at the first call."""
        secret = _once(self.directory / "login", 16)
        if not self._file(OWN_USER).exists():
            self._keep(OWN_USER, "admin", secret)
        return OWN_USER, secret

    @property
    def has_login(self) -> bool:
        """Whether the stack's own user has been made."""
        return (self.directory / "login").exists() and self._file(OWN_USER).exists()

    def secret(self) -> str:
        """Return what shows the servers that the gateway asks, where they are local processes.

        It is made at the first call.
        """
        return _once(self.home / "secret", 32)

    def headers(self) -> dict[str, str]:
        """Return what lets one in at a server itself; nothing where it is no local process."""
        return {_SHOWN: self.secret()} if (self.home / "secret").exists() else {}

    def credentials(self) -> dict[str, str]:
        """Return by what MLflow's client logs in as the stack's own user."""
        name, secret = self.login()
        return {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": secret}

    def trust(self) -> dict[str, str]:
        """Return by what MLflow's client checks the certificate of localhost."""
        return {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.authority)}

    def add(self, name: str, role: str) -> str:
        """Make a user, or give a user another secret and role; return the secret, which is kept nowhere."""
        secret = secrets.token_urlsafe(16)
        self._keep(name, role, secret)
        return secret

    def _keep(self, name: str, role: str, secret: str) -> None:
        self.users.mkdir(parents=True, exist_ok=True)
        line = f"import user {name} {role} {_hashed(secret)} {_begins(name)}\n"
        partial = _written(self._file(name), line, 0o644)
        partial.rename(self._file(name))

    def remove(self, name: str) -> None:
        """Let a user in no more; StackError if there is none of that name."""
        try:
            self._file(name).unlink()
        except FileNotFoundError:
            raise StackError(f"there is no user {name}; see ./scripts/user list") from None
        except OSError as error:
            raise _can_not_write(self._file(name), error) from error

    def listed(self) -> list[User]:
        """Return all users but the stack's own, by name."""
        files = (file for file in self.users.glob("*.caddy") if file.is_file() and file.stem != OWN_USER)
        words = (file.read_text().split() for file in sorted(files))
        return [User(name, role) for _, _, name, role, *_ in words]

    def _file(self, name: str) -> Path:
        return self.users / f"{name}.caddy"


def token(name: str, secret: str) -> str:
    """Return what a client sends as a bearer token."""
    return base64.b64encode(f"{name}:{secret}".encode()).decode()


def find_gateway(values: Mapping[str, str], checkout: Path, home: Path) -> Gateway | None:
    """Return the gateway, if the settings choose it.

    Raises:
        StackError: if a setting of it can't be used, or would open the servers to others without it.

    """
    bind = values.get("BIND_ADDRESS", _LOOPBACK)
    if not is_chosen(OVERLAY, values, checkout):
        if bind != _LOOPBACK:
            raise StackError(
                f"BIND_ADDRESS is {bind}, where others could reach both servers without a login; set"
                f" COMPOSE_FILE=docker-compose.yml:{OVERLAY}, or remove BIND_ADDRESS"
            )
        return None
    if bind not in (_LOOPBACK, _EVERYWHERE):
        # This machine's own clients ask at the first, so the gateway must listen there in any case.
        raise StackError(
            f"BIND_ADDRESS must be {_LOOPBACK}, for this machine only, or {_EVERYWHERE}, for all that reach"
            f" it, found {bind!r}; change it, and let a firewall keep others out"
        )
    host = values.get("GATEWAY_HOST", "gateway")
    if not _HOST.fullmatch(host) or host in ("localhost", _LOOPBACK):
        raise StackError(
            "GATEWAY_HOST is no name of this machine in the network: expected one in lower-case letters, such"
            f" as models.example.com, found {host!r}; change it"
        )
    own = {name: checkout / values[name] for name in ("TLS_CERTIFICATE", "TLS_KEY") if name in values}
    email = values.get("ACME_EMAIL", "")
    if len(own) == 1 or (own and email):
        raise StackError(
            "TLS_CERTIFICATE and TLS_KEY belong together, and ACME_EMAIL asks for another certificate; set"
            " both of the first, or only the other, or none"
        )
    for name, file in own.items():
        if not file.is_file() and "CONTAINER_URL" not in values:  # it is another machine's, for a container
            raise StackError(f"{name} names no file: found nothing at {file}; correct or remove it")
    directory = checkout / "gateway"
    return Gateway(
        directory, home / "gateway", host, bind, own.get("TLS_CERTIFICATE"), own.get("TLS_KEY"), email
    )


def check_name(name: str) -> None:
    """Raise StackError if a user can't have that name."""
    if not _NAME.fullmatch(name) or name == OWN_USER:
        raise StackError(
            f"no user can be called {name!r}: expected lower-case letters and digits, with . _ or - between"
            f" them, at most 64, and not {OWN_USER}; choose another name"
        )


def _hashed(secret: str) -> str:
    """Return Argon2's lowest cost: 128 random bits can't be guessed, whatever a try costs.

    https://www.rfc-editor.org/rfc/rfc9106.html
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    salt = secrets.token_bytes(16)
    return Argon2id(salt=salt, length=32, iterations=1, lanes=1, memory_cost=8).derive_phc_encoded(
        secret.encode()
    )


def _begins(name: str) -> str:
    """Return how the credentials of any login by this name begin, as a regular expression.

    They are NAME:SECRET in base64, 6 bits a letter, so the last letter may depend on the secret, too.
    """
    given = f"{name}:".encode()
    bits = int.from_bytes(given)
    whole, left = divmod(len(given) * 8, 6)
    letters = [_BASE64[bits >> (left + 6 * place) & 63] for place in reversed(range(whole))]
    first = (bits & ((1 << left) - 1)) << (6 - left)
    last = f"[{_BASE64[first : first + (1 << (6 - left))]}]" if left else ""
    return "".join(letters).replace("+", r"\+") + last


def _once(file: Path, length: int) -> str:
    """Return the random text in a file that only its owner can read; whoever comes first makes it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = _written(file, secrets.token_urlsafe(length), 0o600)
        with suppress(FileExistsError):
            file.hardlink_to(partial)
        partial.unlink()
    try:
        return file.read_text()
    except OSError as error:
        raise StackError(
            f"can't read {file} ({error.strerror}); run this as the user who has started the stack"
        ) from error


def _written(file: Path, text: str, mode: int) -> Path:
    """Write a text beside a file that is to appear whole, by a name that is no user's; return where."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as new:  # noqa: PTH123
            new.write(text)
        partial.chmod(mode)
    except OSError as error:
        raise _can_not_write(file, error) from error
    return partial


def _can_not_write(file: Path, error: OSError) -> StackError:
    return StackError(f"can't write {file} ({error.strerror}); let this user write to its directory")

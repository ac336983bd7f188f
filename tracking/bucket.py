"""A bucket of an S3 server, before the tracking server has it. boto3 is imported only where there is one."""

import json
import os
from contextlib import suppress
from typing import Any

from database import StoreError

_PATIENCE = 5  # seconds
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


def check(uri: str, endpoint: str) -> None:
    """List the first key of the bucket, and begin a write, as MLflow would; it is given up, so nothing stays.

    An object, even if it were deleted, would stay in a bucket with versions, and some may not delete.

    Raises:
        StoreError: if MLflow can't use it.

    """
    import boto3
    from botocore import exceptions
    from botocore.config import Config

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    act = "list"
    server = f"the S3 server {endpoint}" if endpoint else "Amazon S3"
    config = Config(
        connect_timeout=_PATIENCE,
        read_timeout=_PATIENCE,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto")},
    )
    is_unchecked = os.environ.get("MLFLOW_S3_IGNORE_TLS", "").lower() in ("true", "1")
    try:
        client = boto3.client(
            "s3", endpoint_url=endpoint or None, config=config, verify=False if is_unchecked else None
        )
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        act = "write to"
        key = {"Bucket": bucket, "Key": f"{prefix.strip('/')}/write-check".lstrip("/")}
        begun = client.create_multipart_upload(**key, **_written_with())
        with suppress(exceptions.ClientError):
            client.abort_multipart_upload(**key, UploadId=begun["UploadId"])
    except exceptions.ClientError as error:
        said = error.response["Error"]
        other = f"refuses the bucket {{bucket}} ({said['Code']}: {said.get('Message', '')}); repair that"
        why = _CAUSES.get(said["Code"], other).replace("{act}", act).replace("{bucket}", bucket)
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        why = "wants credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    except exceptions.SSLError as error:
        why = (
            f"can't be asked by TLS ({_cause(error)}); set AWS_CA_BUNDLE to a file to check it by, or"
            " correct S3_ENDPOINT_URL"
        )
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        correct = "correct S3_ENDPOINT_URL" if endpoint else "set S3_ENDPOINT_URL, if it is another server"
        why = f"does not answer ({_cause(error)}); start it, or {correct}"
    except (exceptions.BotoCoreError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        why = f"can't be used: {said}; correct ARTIFACTS_DESTINATION, S3_ENDPOINT_URL or AWS_DEFAULT_REGION"
    else:
        return
    raise StoreError(f"{server} {why}")


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

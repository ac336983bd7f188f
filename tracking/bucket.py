"""A bucket of an S3 server, before the tracking server has it. boto3 is imported only where there is one."""

import os

from database import StoreError

_PATIENCE = 5  # seconds
_KEYS = "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# By the codes of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CAUSES = {
    "NoSuchBucket": "has no bucket {bucket}; make it there, or correct ARTIFACTS_DESTINATION",
    "404": "has no bucket {bucket}; make it there, or correct ARTIFACTS_DESTINATION",
    "InvalidAccessKeyId": f"does not know the access key; {_KEYS}",
    "SignatureDoesNotMatch": f"refuses the credentials: the secret is not that of the access key; {_KEYS}",
    "AccessDenied": "does not let these credentials use the bucket {bucket}; allow them to list, read, write"
    f" and delete there, or {_KEYS}",
    "403": f"refuses the credentials for the bucket {{bucket}}; {_KEYS}",
    "ExpiredToken": "refuses the credentials: AWS_SESSION_TOKEN has expired; set a new one",
    "InvalidToken": "refuses the credentials: AWS_SESSION_TOKEN is wrong; set a new one",
    "PermanentRedirect": "has the bucket {bucket} in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "has the bucket {bucket} in another region; set AWS_DEFAULT_REGION",
}


def check(uri: str, endpoint: str) -> None:
    """List the first key of the bucket, as MLflow would; nothing is written.

    Raises:
        StoreError: if MLflow can't use it.

    """
    import boto3
    from botocore import exceptions
    from botocore.config import Config

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
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
    except exceptions.ClientError as error:
        said = error.response["Error"]
        other = f"refuses the bucket {{bucket}} ({said['Code']}: {said.get('Message', '')}); repair that"
        why = _CAUSES.get(said["Code"], other).replace("{bucket}", bucket)
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


def _cause(error: BaseException) -> str:
    """Return the innermost error, without the names of the layers around it."""
    inside = (getattr(error, "kwargs", {}).get("error"), getattr(error, "reason", None), *error.args)
    inner = next((part for part in inside if isinstance(part, BaseException)), None)
    if inner is not None:
        return _cause(inner)
    return str(error).partition("\n")[0].rpartition(": ")[2] or type(error).__name__

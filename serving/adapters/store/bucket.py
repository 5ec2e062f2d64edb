"""How the platform speaks to S3-compatible stores, and what it says when they do not answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from polygraft.places import Bucket
from serving.adapters.store.store_errors import StoreUnavailable

# Pieces of 8 MiB, two at a time: memory stays small whatever the size of a file.
_TRANSFER = TransferConfig(max_concurrency=2, multipart_chunksize=8 * 1024**2)
_CHUNK_BYTES = 1024**2


def bucket_options(place: Bucket) -> dict[str, Any]:
    """What Django's storage for S3 is told about a bucket."""
    return {
        "bucket_name": place.bucket,
        "location": place.prefix,
        "endpoint_url": place.endpoint or None,
        "region_name": place.region,
        "access_key": place.access_key or None,
        "secret_key": place.secret_key.get_secret_value() or None,
        "file_overwrite": True,
        "transfer_config": _TRANSFER,
        "client_config": Config(
            # Stores that are not Amazon's know neither buckets as host names nor its newer checksums; ours is SHA-256.
            s3={"addressing_style": "path" if place.endpoint else "auto"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=10,
            read_timeout=30,
            retries={"max_attempts": 3, "mode": "standard"},
        ),
    }


def object_copy(
    client: Any, bucket: str, key: str, destination: Path, told: Callable[[int], None] = lambda _: None
) -> str:
    """Bring an object to a new path, in one stream; `told` hears of each piece's bytes. Returns its ETag."""
    answer = client.get_object(Bucket=bucket, Key=key)
    with destination.open("xb") as file:
        for piece in answer["Body"].iter_chunks(_CHUNK_BYTES):
            file.write(piece)
            told(len(piece))
    return str(answer["ETag"]).strip('"')


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turn what boto3 raises into StoreUnavailable, or FileNotFoundError for what is not there."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchKey", "NoSuchUpload", "NotFound"):
            raise FileNotFoundError(f"{what}: there is no such object.") from error
        raise StoreUnavailable(f"{what}: the store refused with {code}.") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreUnavailable(f"{what}: the store does not answer ({type(error).__name__}).") from error

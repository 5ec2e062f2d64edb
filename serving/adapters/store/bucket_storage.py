"""The store's files in a bucket of an S3-compatible store: an object is whole or not there."""

from datetime import datetime
from pathlib import Path
from typing import Any

from storages.backends.s3 import S3Storage

from polygraft.places import Bucket
from serving.adapters.store.bucket import answering, bucket_options, object_copy


class BucketStorage(S3Storage):  # type: ignore[misc]  # the package has no types
    """Django's storage in a bucket; whatever goes wrong there is StoreUnavailable or FileNotFoundError."""

    def __init__(self, place: Bucket) -> None:
        super().__init__(**bucket_options(place))

    def bring(self, name: str, destination: Path) -> None:
        """Have a file at a new path.

        Raises:
            FileNotFoundError: there is no such object.
            StoreUnavailable: the store does not answer, or refuses.
        """
        with answering(name):
            object_copy(self.connection.meta.client, self.bucket_name, self._normalize_name(name), destination)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with answering(name):
            return bool(super().exists(name))

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """Folders and files under a prefix; none when there is no such prefix."""
        with answering(name):
            return super().listdir(name)  # type: ignore[no-any-return]  # the package has no types

    def delete(self, name: str) -> None:
        """Delete an object; nothing happens when it is not there."""
        with answering(name):
            super().delete(name)

    def get_modified_time(self, name: str) -> datetime:
        """When an object was written."""
        with answering(name):
            return super().get_modified_time(name)  # type: ignore[no-any-return]  # the package has no types

    def unfinished_remove(self, before: datetime) -> int:
        """Remove the pieces of objects whose writing broke off before then; how many objects."""
        s3, bucket = self.connection.meta.client, self.bucket_name
        ours = self._normalize_name("")
        removed = 0
        try:
            with answering("unfinished uploads"):
                for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
                    for upload in page.get("Uploads", ()):
                        if upload["Initiated"] < before and upload["Key"].startswith(ours):
                            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
                            removed += 1
        except FileNotFoundError:
            # Some stores say so when there is none; or it has just ended.
            pass
        return removed

    def _save(self, name: str, content: Any) -> str:
        with answering(name):
            return str(super()._save(name, content))

"""The store's files in a bucket of an S3-compatible store: an object is whole or not there."""

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

    def _save(self, name: str, content: Any) -> str:
        with answering(name):
            return str(super()._save(name, content))

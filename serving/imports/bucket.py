"""A bucket of an S3-compatible store as a place to import from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3

from polygraft.places import BucketSource
from serving.adapters.store.bucket import answering, bucket_options, object_copy
from serving.imports.origin import Item, SourceProblem, is_archive, plain_path

_MOST_OBJECTS = 1000


class BucketOrigin:
    """What lies under a prefix, or one archive, in a bucket that a setting names."""

    def __init__(self, name: str, place: BucketSource, path: str) -> None:
        self._name = name
        self._bucket = place.bucket
        self._path = plain_path(path)
        self._key = "/".join(part for part in (place.prefix, self._path) if part)
        options = bucket_options(place)
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=options["endpoint_url"],
            region_name=options["region_name"],
            aws_access_key_id=options["access_key"],
            aws_secret_access_key=options["secret_key"],
            config=options["client_config"],
        )
        self._tags: dict[str, str] = {}

    def items(self) -> Sequence[Item]:
        """The objects right under the prefix."""
        try:
            with answering(self._name):
                found = [self._archive()] if is_archive(self._path) else self._listed()
        except FileNotFoundError as error:
            raise SourceProblem(f"There is no object {self._path} in {self._name}.") from error
        if not found:
            raise SourceProblem(f"There is nothing under {self._path or 'the prefix'} in {self._name}.")
        return found

    def bring(self, item: Item, folder: Path, told: Callable[[int], None]) -> None:
        """Copy one object."""
        key = self._key if is_archive(self._path) else self._under(item.name)
        with answering(item.name):
            self._tags[item.name] = object_copy(self._client, self._bucket, key, folder / item.name, told)

    def about(self) -> dict[str, Any]:
        """Which bucket, where in it, and the ETags of what was read."""
        return {"kind": "bucket", "name": self._name, "path": self._path, "etags": self._tags}

    def _archive(self) -> Item:
        head = self._client.head_object(Bucket=self._bucket, Key=self._key)
        return Item(name=self._path.rpartition("/")[2], size=head["ContentLength"], tag=head["ETag"].strip('"'))

    def _listed(self) -> list[Item]:
        prefix = self._under("")
        answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/", MaxKeys=_MOST_OBJECTS)
        return [
            Item(name=entry["Key"].removeprefix(prefix), size=entry["Size"], tag=entry["ETag"].strip('"'))
            for entry in answer.get("Contents", ())
            if entry["Key"] != prefix
        ]

    def _under(self, name: str) -> str:
        # With its slash: "legal" must not reach into "legal-secret".
        return f"{self._key}/{name}" if self._key else name

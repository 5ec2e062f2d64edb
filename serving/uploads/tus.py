"""What the tus protocol 1.0.0 says in headers: https://tus.io/protocols/resumable-upload."""

import base64
import binascii
from collections.abc import Mapping

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
CONTENT_TYPE = "application/offset+octet-stream"
# More digits than any size has, and slow to convert.
_LONGEST_NUMBER = 18


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that holds a size or an offset in bytes; None when it is absent or holds something else."""
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER else None


def metadata(header: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header.

    Raises:
        ValueError: a value is not Base64 of UTF-8.
    """
    pairs = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            pairs[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError(f"Upload-Metadata: the value of {key[:50]!r} is not Base64 of UTF-8.") from None
    return pairs

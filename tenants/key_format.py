"""The form of an API key: `pg_`, 256 random bits, and a checksum that lets junk be refused without a look-up."""

import hashlib
import re
import secrets
import zlib

PREFIX = "pg_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43  # 62^43 > 2^256
_CHECKSUM_LENGTH = 6  # 62^6 > 2^32
# For secret scanners, too: docs/concepts.md publishes it.
PATTERN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECKSUM_LENGTH}}}")


def new_key() -> str:
    """A new key: 52 characters, as unguessable as 256 random bits."""
    body = PREFIX + _base62(secrets.randbits(256), _SECRET_LENGTH)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether this could be a key at all: right form and right checksum."""
    return PATTERN.fullmatch(key) is not None and _checksum(key[:-_CHECKSUM_LENGTH]) == key[-_CHECKSUM_LENGTH:]


def hash_key(key: str) -> str:
    """What is stored of a key: SHA-256, in hex. A random 256-bit secret needs no salt and no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_hint(key: str) -> str:
    """What people see of a key later on: how it begins and how it ends."""
    return f"{key[:7]}…{key[-4:]}"


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

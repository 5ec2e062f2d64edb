"""Reads minisign's public keys and signatures, and verifies them; the format is at https://jedisct1.github.io/minisign."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

_COMMENT = b"trusted comment: "
_HASHED, _WHOLE = b"ED", b"Ed"
# Signatures over whole files need the file in memory; minisign has hashed first since 2017.
_LONGEST_WHOLE = 1024 * 1024


class BadSignature(Exception):
    """A key or signature cannot be read, or does not belong to the file; the message says which."""


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 key, and minisign's name for it: 16 hexadecimal digits."""

    key_id: str
    key: bytes


@dataclass(frozen=True)
class Signature:
    """A signature file; `comment` is the trusted one, which `seal` signs together with `value`."""

    algorithm: bytes
    key_id: str
    value: bytes
    comment: bytes
    seal: bytes


def read_public_key(text: str) -> PublicKey:
    """Read a key as `minisign.pub` holds it, with or without its comment line.

    Raises:
        BadSignature: it is none.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    raw = _decoded(lines[-1].encode() if lines else b"", 42)
    if raw is None or raw[:2] != _WHOLE or len(lines) > 2:
        raise BadSignature("This is no minisign public key: give the two lines of minisign.pub, or the second one.")
    return PublicKey(_name(raw[2:10]), raw[10:])


def read_signature(content: bytes) -> Signature:
    """Read a `.minisig` file.

    Raises:
        BadSignature: it is none.
    """
    lines = content.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if len(lines) == 4 and lines[0].startswith(b"untrusted comment:") and lines[2].startswith(_COMMENT):
        raw, seal = _decoded(lines[1], 74), _decoded(lines[3], 64)
        if raw is not None and seal is not None and raw[:2] in (_HASHED, _WHOLE):
            return Signature(raw[:2], _name(raw[2:10]), raw[10:], lines[2].removeprefix(_COMMENT), seal)
    raise BadSignature("it is no signature that minisign wrote")


def verify(file: Path, signature: Signature, key: PublicKey) -> None:
    """Check that a key has signed a file's content and the trusted comment; memory is constant.

    Raises:
        BadSignature: it has not, or cannot be checked.
    """
    # Only departments with keys pay for the import.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if signature.algorithm == _HASHED:
        with file.open("rb") as content:
            message = hashlib.file_digest(content, hashlib.blake2b).digest()
    elif file.stat().st_size <= _LONGEST_WHOLE:
        message = file.read_bytes()
    else:
        raise BadSignature("it is of the old kind, without hashing: sign with minisign 0.10 or newer, or with -H")
    try:
        public = Ed25519PublicKey.from_public_bytes(key.key)
        public.verify(signature.value, message)
    except (InvalidSignature, ValueError):
        raise BadSignature("the content is not what was signed") from None
    try:
        public.verify(signature.seal, signature.value + signature.comment)
    except InvalidSignature:
        raise BadSignature("its trusted comment is not what was signed") from None


def _decoded(text: bytes, length: int) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length else None


def _name(key_id: bytes) -> str:
    return key_id[::-1].hex().upper()

"""Signs files as minisign does, with keys made on the spot; and what the real minisign 0.11 wrote."""

import base64
import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cast import Cast
from serving.adapters.signing import signing_key_add

# Of a key pair made for this test and thrown away: `minisign -S -m t.txt -t "polygraft's test"`, then the same with -l.
MINISIGN_KEY = "RWSY3Rn7b3xUKwlxf2zoa/ET4cznhQS14rMXmetkL3MoQ++yEa7DlZCM"
MINISIGN_KEY_ID = "2B547C6FFB19DD98"
MINISIGN_TEXT = b"signed by the real tool"
MINISIGN_SIGNATURE = b"""untrusted comment: signature from minisign secret key
RUSY3Rn7b3xUKzDAs49SY7Fu8GwJ2E1VnkmH6igmKyzTsoi/VpvHPDg4Ku5ttYN0YzjMgpDFn+M6rbaN7laz8+8XPfKECwwCZws=
trusted comment: polygraft's test
ygxSXu+AayEWSt3E8VW2M+en4AdPT+0QCFfirSlKw1+yDB38tPiUYJ7JF1YEcmhFqQAs49wfx/fNQFT1LrleDw==
"""
MINISIGN_OLD_SIGNATURE = b"""untrusted comment: signature from minisign secret key
RWSY3Rn7b3xUK5xUJajMeGcJgBoYC4MC4NA6qFF3pPx/++nL37ESswF2zsESc8VlzqZhCkm82V0zw0Fcbv40TsXWSbCgiF3YCwI=
trusted comment: old kind
BZjt0LBJeY/H+MhdIPflv6az0hVQ9iofOBbVI0aPviv0FZ7eYy95RDe3cceQveyK2wdL+eURhQQ1sOiLp33kAA==
"""


def signing_key_of(cast: Cast) -> int:
    """A signing key of support's, which then wants adapters signed; its primary key."""
    key = cast.support.signing_keys.first() or signing_key_add(
        department=cast.support, name="release", public_key=Signer().public_key, by=None
    )
    return int(key.pk)


@dataclass
class Signer:
    """A key pair; `number` tells several apart."""

    number: int = 1
    secret: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def _id(self) -> bytes:
        return self.number.to_bytes(8, "little")

    @property
    def key_id(self) -> str:
        return f"{self.number:016X}"

    @property
    def public_key(self) -> str:
        return base64.b64encode(b"Ed" + self._id + self.secret.public_key().public_bytes_raw()).decode()

    def sign(self, content: bytes, comment: bytes = b"by a test") -> bytes:
        """A `.minisig` file."""
        value = self.secret.sign(hashlib.blake2b(content).digest())
        seal = self.secret.sign(value + comment)
        lines = [
            b"untrusted comment: whatever",
            base64.b64encode(b"ED" + self._id + value),
            b"trusted comment: " + comment,
            base64.b64encode(seal),
        ]
        return b"\n".join(lines) + b"\n"

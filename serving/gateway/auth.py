"""Turns a credential into a Grant, or refuses."""

import hashlib
import hmac
import time
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from django.utils import timezone

from polygraft.conf import config
from serving.gateway.cache import ALONE_SECONDS, Cache
from serving.gateway.callers.line import Line
from serving.gateway.database import in_database
from serving.gateway.errors import AddressNotAllowed, InvalidKey, ScopeMissing
from tenants.grants import TICKET_PREFIX, Grant, grant_resolve
from tenants.key_format import is_well_formed
from tenants.keys import Scope

__all__ = ["Authentication", "Grant", "Scope", "engine_cache_salt"]

_MISSING = (
    "You did not provide an API key. Send it in the header 'Authorization: Bearer pg_…' (or 'x-api-key: pg_…'); "
    "an owner or developer of your department makes keys in the console."
)
_UNKNOWN = "This API key is unknown, expired or revoked. Check it, or have a new one made in the console."
_MAX_CREDENTIAL_BYTES = 512
_REMEMBERED = 10_000


class Caller(Protocol):
    """What authentication needs to know of a request, and the place for what it finds."""

    credential: bytes
    line: Line
    grant: Grant | None


class Authentication:
    """Admits callers by their grants, which are kept in this process under the SHA-256 of the credential."""

    def __init__(self) -> None:
        self.grants: Cache[bytes, Grant] = Cache(capacity=_REMEMBERED, grace=config().database_grace)
        # Kept apart, so that guessing keys does not push real ones out.
        self._refused: dict[bytes, float] = {}

    async def admit(self, call: Caller, scope: Scope) -> Grant:
        """The caller's grant for an endpoint of this scope.

        Raises:
            InvalidKey: there is no credential, or it opens nothing now.
            AddressNotAllowed: it may not be used from the caller's address.
            ScopeMissing: it may not be used for this endpoint.
            DatabaseAway: it is not cached and cannot be looked up.
        """
        if not call.credential:
            raise InvalidKey(_MISSING)
        digest = hashlib.sha256(call.credential).digest()
        grant = self.grants.kept(digest)
        if grant is None:
            grant = await self.grants.get(digest, lambda: self._look_up(digest, call.credential))
        if grant.ends_at is not None and grant.ends_at <= timezone.now():
            raise InvalidKey(_UNKNOWN)
        # From here on the request is the department's, and its refusals are on the department's account.
        call.grant = grant
        if grant.networks:
            _check_address(grant, call.line.client)
        if grant.scopes and scope not in grant.scopes:
            raise ScopeMissing(
                f"This API key may not be used for '{scope}'; its scopes are: {', '.join(sorted(grant.scopes))}."
            )
        return grant

    def drop(self) -> None:
        """Forget every grant and every refusal."""
        self.grants.drop()
        self._refused.clear()

    def connected(self, connected: bool) -> None:
        """Say whether announcements of changes arrive."""
        self.grants.connected(connected)
        self._refused.clear()

    async def _look_up(self, digest: bytes, credential: bytes) -> Grant:
        text = credential.decode("latin-1")
        if not _could_be_one(text) or self._refused.get(digest, 0.0) > time.monotonic():
            raise InvalidKey(_UNKNOWN)
        grant = await in_database(lambda: grant_resolve(text))
        if grant is None:
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused[digest] = time.monotonic() + ALONE_SECONDS
            raise InvalidKey(_UNKNOWN)
        return grant


def _could_be_one(credential: str) -> bool:
    if len(credential) > _MAX_CREDENTIAL_BYTES or not credential.isascii():
        return False
    return credential.startswith(TICKET_PREFIX) or is_well_formed(credential)


def _check_address(grant: Grant, client: tuple[str, int] | None) -> None:
    # Only the connection itself counts: a header such as X-Forwarded-For is whatever the caller writes.
    address = _parse_address(client[0]) if client else None
    if address is None or not any(address in network for network in grant.networks):
        raise AddressNotAllowed(
            f"This API key may not be used from {address or 'an unknown address'}. "
            "Its allowed networks are set in the console."
        )


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket reports IPv4 callers as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def engine_cache_salt(department_salt: str) -> str:
    """What engines are given to keep a department's prefix cache apart; the department's own secret stays here."""
    return hmac.new(department_salt.encode(), b"engine prefix cache", hashlib.sha256).hexdigest()

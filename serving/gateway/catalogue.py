"""Says what a model's name means to a department: which weights, under which name an engine knows them.

What a name leads to:

| the name | the answer |
|---|---|
| own adapter with a rollout, own `adapter:3` that is ready, granted base model | a Target |
| `legal/contracts`, `legal/contracts:3`: the same of an adapter that legal shares with the department | a Target |
| own adapter or version that is uploaded or being validated, with nothing ready to serve | 503 `model_not_ready` |
| rejected, archived, deleted or without a rollout; another department's; anything else | 404 `model_not_found` |
| anything outside the key's list of models | 404 `model_not_found`, in the same words |
"""

import hashlib
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from polygraft.conf import config
from serving.accounting.prices import FREE, Prices
from serving.engines.kinds import EngineKind
from serving.engines.names import engine_adapter_name
from serving.gateway.auth import Grant
from serving.gateway.cache import Cache
from serving.gateway.database import in_database
from serving.gateway.errors import ModelNotFound, ModelNotReady
from serving.models import Adapter, AdapterVersion, BaseModel, Rollout, VersionState
from serving.placement.fallback import policy_of
from serving.rollouts.spans import Spans, spans_by_number

_PLATFORM = "polygraft"
Kinds = tuple[EngineKind, ...]

_COMING = (VersionState.UPLOADED, VersionState.VALIDATING)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is to be answered by.

    `asked` is the caller's name for it, `name` the resolved one (`support-bot:3`), `engine_model` the engine's;
    `kinds` are the kinds of engines that may answer, the one that should first; `prices` are its base model's.
    """

    asked: str
    name: str
    engine_model: str
    base_model_id: int
    adapter_version_id: int | None = None
    kinds: Kinds = (EngineKind.VLLM, EngineKind.LLAMACPP)
    prices: Prices = FREE


@dataclass(frozen=True, slots=True)
class Offer:
    """A name that can be called: one target, or several, each with a span of all conversations.

    `sums` are the ends of the spans (`serving.rollouts.spans`); `created` is in Unix seconds.
    """

    targets: tuple[Target, ...]
    sums: tuple[int, ...]
    created: int
    owner: str
    pinned: bool = False

    def choose(self, conversation: Callable[[], bytes | None] | None) -> Target:
        """One of the targets by their shares; always the same one for the same conversation, while the shares stand."""
        if len(self.targets) == 1:
            return self.targets[0]
        key = conversation() if conversation is not None else None
        if key is None:
            point = random.random()  # noqa: S311  # a share of traffic is no secret
        else:
            # With the name, or the same conversations would be every adapter's canaries.
            digest = hashlib.blake2b(self.targets[0].asked.encode() + b"\n" + key, digest_size=8).digest()
            point = int.from_bytes(digest, "big") / 2**64
        return self.targets[bisect_right(self.sums, point * self.sums[-1])]

    def as_model(self, name: str) -> dict[str, object]:
        """OpenAI's `model` object."""
        return {"id": name, "object": "model", "created": self.created, "owned_by": self.owner}


@dataclass(slots=True)
class Shelf:
    """Everything that one department can call, by name, and the names that will be callable soon."""

    offers: dict[str, Offer] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)


class Catalogue:
    """The shelves of the departments, read from the database once and kept until something changes."""

    def __init__(self) -> None:
        self.shelves: Cache[int, Shelf] = Cache(capacity=10_000, grace=config().database_grace)

    def drop(self) -> None:
        """Forget every shelf."""
        self.shelves.drop()

    def connected(self, connected: bool) -> None:
        """Say whether announcements of changes arrive."""
        self.shelves.connected(connected)

    async def resolve(self, grant: Grant, name: str, conversation: Callable[[], bytes | None] | None = None) -> Target:
        """What a name means to the holder of a grant.

        Args:
            conversation: tells one conversation from another; asked only where several versions share a name.

        Raises:
            ModelNotFound, ModelNotReady: see the table above.
            DatabaseAway: the shelf is not cached and cannot be read.
        """
        shelf = self.shelves.kept(grant.department_id) or await self._shelf(grant)
        if _allows(grant, name):
            offer = shelf.offers.get(name)
            if offer is not None:
                return offer.choose(conversation)
            if name in shelf.coming:
                raise ModelNotReady(
                    f"The model '{name}' is being validated. Ask again in a few seconds.", param="model"
                )
        raise ModelNotFound(name)

    async def list_models(self, grant: Grant) -> list[dict[str, object]]:
        """The models that the holder of a grant may call, without the pinned versions, as OpenAI lists them."""
        shelf = await self._shelf(grant)
        return [
            offer.as_model(name)
            for name, offer in sorted(shelf.offers.items())
            if not offer.pinned and _allows(grant, name)
        ]

    async def find_model(self, grant: Grant, name: str) -> dict[str, object]:
        """One model by its name, pinned versions included.

        Raises:
            ModelNotFound: as when it were called.
        """
        offer = (await self._shelf(grant)).offers.get(name)
        if offer is None or not _allows(grant, name):
            raise ModelNotFound(name)
        return offer.as_model(name)

    async def _shelf(self, grant: Grant) -> Shelf:
        return await self.shelves.get(
            grant.department_id, lambda: in_database(lambda: _read_shelf(grant.department_id, grant.department))
        )


def _allows(grant: Grant, name: str) -> bool:
    # A key for `support-bot` may also pin its versions; a key for `support-bot:3` may use that one only.
    return not grant.models or name in grant.models or name.partition(":")[0] in grant.models


def _read_shelf(department_id: int, department: str) -> Shelf:
    shelf = Shelf()
    policy = policy_of(department_id)
    for base in BaseModel.objects.granted_to(department_id):
        kinds = policy.kinds(policy.tier, base.pk)
        target = Target(base.name, base.name, base.name, base.pk, kinds=kinds, prices=base.prices)
        shelf.offers[base.name] = Offer((target,), (1,), int(base.created_at.timestamp()), _PLATFORM)
    read = Adapter.objects.select_related("base_model", "department", "rollout").prefetch_related("versions")
    # After the base models: a department's own adapter goes before a base model of the same name.
    for adapter in read.in_service().filter(department=department_id):
        _put_adapter(shelf, adapter, adapter.name, policy.kinds(adapter.tier, adapter.base_model_id))
    for adapter in read.shared_with(department_id, department):
        # At home where its owner has placed it; whether another kind may stand in is up to who calls.
        kinds = policy.kinds(adapter.tier, adapter.base_model_id)
        _put_adapter(shelf, adapter, f"{adapter.department.slug}/{adapter.name}", kinds)
    return shelf


def _put_adapter(shelf: Shelf, adapter: Adapter, name: str, kinds: Kinds) -> None:
    owner = adapter.department.slug
    is_own = name == adapter.name
    ready: dict[int, AdapterVersion] = {}
    coming = False
    for version in adapter.versions.all():
        pinned = f"{name}:{version.number}"
        if version.state == VersionState.READY and version.digest:
            ready[version.number] = version
            target = _target(pinned, name, adapter, version, kinds)
            created = int(version.uploaded_at.timestamp())
            shelf.offers[pinned] = Offer((target,), (1,), created, owner, pinned=True)
        elif version.state in _COMING and is_own:
            coming = True
            shelf.coming.add(pinned)
    spans = [(number, length) for number, length in _spans(adapter) if number in ready and length > 0]
    if spans:
        targets = tuple(_target(name, name, adapter, ready[number], kinds) for number, _ in spans)
        created = int(adapter.created_at.timestamp())
        ends = tuple(accumulate(length for _, length in spans))
        shelf.offers[name] = Offer(targets, ends, created, owner)
    else:
        shelf.offers.pop(name, None)
        if coming:
            shelf.coming.add(name)


def _spans(adapter: Adapter) -> Spans:
    rollout: Rollout | None = getattr(adapter, "rollout", None)
    spans = rollout.spans if rollout is not None else None
    return [(number, length) for number, length in spans] if spans else spans_by_number(adapter.weights)


def _target(asked: str, name: str, adapter: Adapter, version: AdapterVersion, kinds: Kinds) -> Target:
    return Target(
        asked=asked,
        name=f"{name}:{version.number}",
        engine_model=engine_adapter_name(version.digest),
        base_model_id=adapter.base_model_id,
        adapter_version_id=version.pk,
        kinds=kinds,
        prices=adapter.base_model.prices,
    )

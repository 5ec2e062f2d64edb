"""Says which adapter versions an engine should hold: by its deployment's policy, and by what is asked of it.

| policy | an engine holds |
|---|---|
| eager | every version of its base model, before the first request |
| on_demand | the versions last asked for, as many as it has slots |
| pinned | the rolled-out versions of the listed adapters, always; in the slots that are left, those last asked for |

A version that is being validated is held under every policy, since an engine's answer through it is its last check.

Who asks is known from Redis: gateways note in a sorted set per engine when each adapter was last asked for there, be it
loaded or not. Whatever stands foremost in that set is what the engine should hold.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import redis

from serving.engines.names import engine_adapter_name
from serving.fleet.registry import asked_key
from serving.models import AdapterVersion, Deployment, Residency, VersionState

# Longer than any engine goes without a word of its agent.
_ASKED_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Wish:
    """What the database wants of a deployment's engines, by the names that adapters have in engines.

    `versions` holds the primary keys of the versions behind each name: identical bytes have one name. `validating` are
    those of them that wait for an engine's answer; `staying` are the names that no other may displace.
    """

    residency: Residency
    slots: int
    versions: dict[str, list[int]]
    validating: dict[str, list[int]]
    staying: frozenset[str]

    def names(self, *, asked: Mapping[str, float], resident: Collection[str]) -> list[str]:
        """The adapters that an engine should hold, the most wanted first.

        Args:
            asked: when each adapter was last asked for at this engine, in Unix seconds.
            resident: what the engine holds now; of two that were never asked for, the one that is there stays.
        """
        if self.residency is Residency.EAGER:
            return list(self.versions)
        passing = [name for name in {*asked, *resident} if name in self.versions and name not in self.staying]
        passing.sort(key=lambda name: (asked.get(name, 0.0), name in resident, name), reverse=True)
        return [*sorted(self.staying), *passing[: max(0, self.slots - len(self.staying))]]


def residency_wish(deployment: Deployment) -> Wish:
    """What a deployment's engines should hold, in at most two queries however many adapters there are."""
    versions: dict[str, list[int]] = defaultdict(list)
    validating: dict[str, list[int]] = defaultdict(list)
    wanted = AdapterVersion.objects.wanted_on_engines(deployment.base_model_id)
    for pk, digest, state in wanted.order_by("pk").values_list("pk", "digest", "state"):
        name = engine_adapter_name(digest)
        versions[name].append(pk)
        if state == VersionState.VALIDATING:
            validating[name].append(pk)
    residency = Residency(deployment.residency)
    pinned: set[str] = set()
    if residency is Residency.PINNED:
        listed = wanted.filter(adapter__pinned_on=deployment, adapter__rollout__isnull=False)
        pinned = {
            engine_adapter_name(digest)
            for digest, number, weights in listed.values_list("digest", "number", "adapter__rollout__weights")
            if weights.get(str(number))
        }
    return Wish(
        residency=residency,
        slots=deployment.adapter_slots,
        versions=dict(versions),
        validating=dict(validating),
        staying=frozenset(pinned | validating.keys()),
    )


def asked_take(client: redis.Redis, engine_id: str, *, keep: int) -> dict[str, float]:
    """When each adapter was last asked for at an engine; all but the latest `keep` are forgotten."""
    key = asked_key(engine_id)
    with client.pipeline(transaction=False) as pipe:
        pipe.zremrangebyrank(key, 0, -keep - 1)
        pipe.expire(key, _ASKED_SECONDS)
        pipe.zrange(key, 0, -1, withscores=True)
        found = pipe.execute()[-1]
    return {name.decode(): at for name, at in found}

"""Says which kind of engine answers first: the tier that follows from a placement."""

from enum import StrEnum

from serving.engines.kinds import EngineKind


class Tier(StrEnum):
    """Where an adapter, or a department's calls to base models, are at home now."""

    LIGHTWEIGHT = "lightweight"
    STANDARD = "standard"

    @property
    def kind(self) -> EngineKind:
        """The kind of engine that is asked first; the other one is the fallback."""
        return EngineKind.VLLM if self is Tier.STANDARD else EngineKind.LLAMACPP


def tier_of(placement: str, *, promoted: bool) -> Tier:
    """The tier that a placement leads to; `auto` starts lightweight and is promoted by its traffic."""
    if placement == "auto":
        return Tier.STANDARD if promoted else Tier.LIGHTWEIGHT
    return Tier(placement)

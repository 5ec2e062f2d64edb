"""A LoRA's configuration: which modules it adapts, with which rank and scale, as PEFT would decide."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from serving.adapters.examination.patterns import UnsafePattern, compile_pattern

_LAYER = re.compile(r".*?\.[^.]*\.(\d+)\.")


@dataclass(frozen=True)
class LoraConfig:
    """What serving needs of an adapter's configuration."""

    rank: int
    alpha: float
    rank_stabilised: bool  # use_rslora: the scale is alpha/√rank instead of alpha/rank
    target_modules: tuple[str, ...] | str  # names, or one regular expression
    layers: tuple[int, ...] | None  # layers_to_transform
    excluded_modules: tuple[str, ...] | str
    rank_pattern: Mapping[re.Pattern[str], int]
    alpha_pattern: Mapping[re.Pattern[str], float]
    declared_base: object  # base_model_name_or_path, unchecked
    peft_version: str

    def module_rank(self, module: str) -> int:
        """Return the rank of one module's A and B, as PEFT picks it: the first pattern that matches."""
        return next((rank for key, rank in self.rank_pattern.items() if key.match(module)), self.rank)

    def module_scale(self, module: str) -> float:
        """Return the factor that PEFT applies to B·A of one module."""
        alpha = next((alpha for key, alpha in self.alpha_pattern.items() if key.match(module)), self.alpha)
        rank = self.module_rank(module)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    @property
    def highest_rank(self) -> int:
        """Return the highest rank that any module may have."""
        return max([self.rank, *self.rank_pattern.values()])

    def targets(self, module: str) -> bool:
        """Whether PEFT would adapt this module; False where an expression is too risky to run."""
        if not _selects(self.target_modules, module) or _selects(self.excluded_modules, module):
            return False
        layer = _LAYER.match(module)
        return self.layers is None or (layer is not None and int(layer[1]) in self.layers)


def _selects(names: tuple[str, ...] | str, module: str) -> bool:
    if isinstance(names, tuple):
        return module in names or module.endswith(tuple(f".{name}" for name in names))
    try:
        return compile_pattern(names).fullmatch(module) is not None
    except UnsafePattern:
        return False

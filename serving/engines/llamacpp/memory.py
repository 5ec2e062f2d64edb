"""How much memory KV caches take, and so how many contexts fit."""

import math

import psutil

from .model import Model
from .options import CACHE_TYPES, Options

_MIB = 2**20
_SHARE_OF_AVAILABLE = 0.5
# Below it, what is only kept in case it is asked for again goes back to the machine.
_SHARE_LEFT_TO_OTHERS = 0.05


def context_bytes(model: Model, options: Options) -> int:
    """Bytes of one context's KV cache: keys and values of every layer for every sequence at its full length."""
    keys, values = model.kv_widths
    per_token = keys * CACHE_TYPES[options.cache_type_k][1] + values * CACHE_TYPES[options.cache_type_v][1]
    return math.ceil(per_token * options.ctx_size * options.parallel)


def most_contexts(model: Model, options: Options) -> int:
    """How many contexts the budget allows: one at least, `--max-contexts` at most."""
    if options.kv_memory_mib is None:
        budget = int(psutil.virtual_memory().available * _SHARE_OF_AVAILABLE)
    else:
        budget = options.kv_memory_mib * _MIB
    return max(1, min(options.max_contexts, budget // max(1, context_bytes(model, options))))


def memory_is_short() -> bool:
    """Whether the machine's other processes may soon lack memory."""
    memory = psutil.virtual_memory()
    return bool(memory.available < memory.total * _SHARE_LEFT_TO_OTHERS)

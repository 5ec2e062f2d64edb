"""Plans a model: what each engine would need, which one to choose, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.capacity.estimate import BadWish, Estimate, Wish, estimate
from serving.capacity.gpus import GPUS, NO_GPU
from serving.capacity.shape import Shape
from serving.engines.kinds import EngineKind

GIB = 1024**3
# From here on vLLM's batches over many adapters win against llama.cpp's one context per adapter (see peers and bench).
_MANY_AT_ONCE = 8
_MANY_ADAPTERS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer. `refused` says why an engine has no estimate; `reasons` are sentences for the choice."""

    model: str
    estimates: Mapping[EngineKind, Estimate]
    refused: Mapping[EngineKind, str]
    choice: EngineKind
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def chosen(self) -> Estimate:
        """The estimate of the engine to choose."""
        return self.estimates[self.choice]


def plan(shapes: Mapping[EngineKind, Shape], wish: Wish, *, engine: EngineKind | None = None, gpu: str = "") -> Plan:
    """Plan a model.

    Args:
        shapes: the model as each engine that comes into question would read it.
        engine: None: whichever is better.
        gpu: a name out of `GPUS`, `NO_GPU`, or empty for any.

    Raises:
        BadWish: no engine can do it; `field` says which value to change.
    """
    if gpu and gpu != NO_GPU and gpu not in {known.name for known in GPUS}:
        raise BadWish("gpu", f"The planner does not know the GPU {gpu!r}.")
    estimates: dict[EngineKind, Estimate] = {}
    refused: dict[EngineKind, BadWish] = {}
    for kind, shape in shapes.items():
        try:
            estimates[kind] = estimate(shape, kind, wish, gpu)
        except BadWish as error:
            refused[kind] = error
    if engine is not None and engine not in shapes:
        raise BadWish("engine_kind", f"There are no files for {engine} of this model.")
    if engine is not None and engine in refused:
        raise refused[engine]
    if not estimates:
        raise next(iter(refused.values()))
    choice, reasons = _choose(estimates, wish, engine, gpu)
    shape = shapes[choice]
    return Plan(
        model=shape.name,
        estimates=estimates,
        refused={kind: str(error) for kind, error in refused.items()},
        choice=choice,
        reasons=tuple(reasons),
        remarks=shape.remarks,
    )


def _choose(
    estimates: Mapping[EngineKind, Estimate], wish: Wish, engine: EngineKind | None, gpu: str
) -> tuple[EngineKind, list[str]]:
    if engine is not None:
        return engine, [f"You asked for {_NAMES[engine]}."]
    if len(estimates) == 1:
        only = next(iter(estimates))
        return only, [f"Only {_NAMES[only]} can run it as it is."]
    vllm, llamacpp = estimates[EngineKind.VLLM], estimates[EngineKind.LLAMACPP]
    sizes = (
        f"vLLM needs {gib(vllm.total_bytes)} ({vllm.quantisation}), "
        f"llama.cpp {gib(llamacpp.total_bytes)} ({llamacpp.quantisation})."
    )
    if gpu == NO_GPU:
        return EngineKind.LLAMACPP, ["Without a GPU, llama.cpp is made for it: quantised weights on processors.", sizes]
    if not _fits(vllm, gpu) and _fits(llamacpp, gpu):
        where = f"on one {gpu}" if gpu else "on any GPU of the table"
        return EngineKind.LLAMACPP, [f"vLLM does not fit {where}, llama.cpp does.", sizes]
    if wish.concurrency >= _MANY_AT_ONCE or wish.active >= _MANY_ADAPTERS:
        return EngineKind.VLLM, [
            f"{wish.concurrency} requests at once over {wish.active} adapters in use: vLLM answers them in one batch "
            f"over one KV cache ({gib(_part(vllm, 'kv_cache'))}). llama.cpp keeps a context for each adapter in use "
            f"({gib(_part(llamacpp, 'kv_cache'))}) and computes them in turn.",
            sizes,
        ]
    return EngineKind.LLAMACPP, [
        f"{wish.concurrency} requests at once are few: llama.cpp keeps up with them on quantised weights, "
        "on a smaller GPU or none. Departments with more traffic are promoted to vLLM.",
        sizes,
    ]


_NAMES = {EngineKind.VLLM: "vLLM", EngineKind.LLAMACPP: "llama.cpp"}


def gib(size: int) -> str:
    """A size in GiB, for people; MiB where it is small."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 1024**2:.0f} MiB"


def _fits(one: Estimate, gpu: str) -> bool:
    # Who names a GPU has one of it; who names none may buy as many as it takes.
    return any(not gpu or (fit.gpu == gpu and fit.count == 1) for fit in one.fits)


def _part(one: Estimate, name: str) -> int:
    return next(part.bytes for part in one.parts if part.name == name)

"""The GPUs that people ask about, with the memory that their drivers report."""

from dataclasses import dataclass

MIB = 1024**2
# Who has none names this instead of one.
NO_GPU = "none"


@dataclass(frozen=True, slots=True)
class GPU:
    """A kind of GPU; `memory_bytes` as `nvidia-smi` shows it, a little less than the label says."""

    name: str
    memory_bytes: int


GPUS = tuple(
    GPU(name, mib * MIB)
    for name, mib in (
        ("RTX 3060 12 GB", 12288),
        ("T4 16 GB", 15360),
        ("RTX 4000 Ada 20 GB", 20475),
        ("L4 24 GB", 23034),
        ("A10 24 GB", 23028),
        ("RTX 3090 24 GB", 24576),
        ("RTX 4090 24 GB", 24564),
        ("RTX 5090 32 GB", 32607),
        ("A100 40 GB", 40960),
        ("L40S 48 GB", 46068),
        ("RTX 6000 Ada 48 GB", 49140),
        ("A100 80 GB", 81920),
        ("H100 80 GB", 81559),
        ("RTX PRO 6000 96 GB", 97887),
        ("H200 141 GB", 143771),
        ("B200 180 GB", 183359),
    )
)
# How many of one kind stand in one machine, and so how far tensor parallelism goes.
COUNTS = (1, 2, 4, 8)
# The share of a GPU's memory that is planned with; the rest is for the driver, fragments and surprises.
USABLE = 0.92

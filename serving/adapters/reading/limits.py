"""What an upload may cost at most: sizes, counts and ranks."""

from bisect import bisect_left
from dataclasses import dataclass

MIB = 1024**2
GIB = 1024**3

# The values that vLLM takes for --max-lora-rank.
ENGINE_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes. The total holds for what is uploaded and, once more, for what an archive unpacks to."""

    total_bytes: int = 4 * GIB
    file_bytes: int = 4 * GIB
    config_bytes: int = MIB
    header_bytes: int = 16 * MIB
    members: int = 1000
    # Trained weights hardly compress; only a bomb unpacks to a hundred times its size.
    compression_ratio: int = 100
    # Up to this size even a perfect ratio harms nobody: a configuration of spaces is odd, not dangerous.
    harmless_bytes: int = 4 * MIB
    max_rank: int = 64
    engine_ranks: tuple[int, ...] = ENGINE_RANKS

    def __post_init__(self) -> None:
        if not 1 <= self.max_rank <= self.engine_ranks[-1]:
            raise ValueError(f"the highest rank is {self.max_rank}; engines take 1 to {self.engine_ranks[-1]}")

    def engine_rank(self, rank: int) -> int:
        """Return the smallest rank that vLLM can be started with and that holds `rank`, which is within the limit."""
        return self.engine_ranks[bisect_left(self.engine_ranks, rank)]

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

    def engine_rank(self, rank: int) -> int:
        """Return the smallest rank that vLLM can be started with and that holds `rank`."""
        place = bisect_left(self.engine_ranks, rank)
        if place == len(self.engine_ranks):
            raise ValueError(f"no engine holds rank {rank}; the highest is {self.engine_ranks[-1]}")
        return self.engine_ranks[place]

"""How likely the model thought a token, and what else it thought of."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A picked token and the likeliest at its place, each with its log probability before any sampling."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def logprobs_of(logits: npt.NDArray[np.float32], token: int, count: int) -> TokenLogprobs:
    """The log probabilities of a token and of the `count` likeliest."""
    highest = logits.max()
    total = highest + np.log(np.exp(logits - highest).sum(dtype=np.float64))
    likeliest = np.argpartition(logits, -count)[-count:] if count else np.empty(0, np.int64)
    ordered = likeliest[np.argsort(-logits[likeliest], kind="stable")]
    top = tuple((int(one), float(logits[one] - total)) for one in ordered)
    return TokenLogprobs(token, float(logits[token] - total), top)

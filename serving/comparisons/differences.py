"""Marks the words in which one answer differs from another."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

# Words with the space behind them, so that joined they are the text again.
_WORDS = re.compile(r"\s*\S+\s*|\s+")
# Beyond it the comparison takes the square of the length.
_MOST_WORDS = 2000


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer; `differs` from the other one's."""

    text: str
    differs: bool


def differences(text: str, other: str) -> list[Piece]:
    """The pieces of `text`, which joined are `text`; those that `other` does not have at that place differ."""
    words, others = _WORDS.findall(text), _WORDS.findall(other)
    if max(len(words), len(others)) > _MOST_WORDS:
        return [Piece(text, text != other)]
    # Compared without the space: another line break is no other word.
    matcher = SequenceMatcher(None, [word.strip() for word in others], [word.strip() for word in words], autojunk=False)
    return list(_pieces(words, matcher))


def _pieces(words: list[str], matcher: "SequenceMatcher[str]") -> Iterable[Piece]:
    for tag, _, _, start, end in matcher.get_opcodes():
        if end > start:
            yield Piece("".join(words[start:end]), tag != "equal")

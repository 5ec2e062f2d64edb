"""Matches module names against PEFT's patterns, which are regular expressions written by a stranger.

PEFT itself runs any expression; one that backtracks without end would hold a worker for ever, so only expressions
whose cost is bounded by their shape are taken: few repetitions, of single characters, and few groups.
"""

import re

LONGEST = 300
MOST_REPETITIONS = 2
MOST_GROUPS = 2
_REPETITIONS = ("*", "+", "?")
# An escape, a simple set such as [0-9], a group's opening, or one harmless character.
_PIECE = re.compile(r"\\[.\-dwsbDWSB]|\[\^?(?:\w-\w|\w)+\]|\((?:\?:)?|[\w.^$*+?|)-]")


class UnsafePattern(ValueError):
    """The pattern is no regular expression, or one whose cost is not bounded."""


def compile_pattern(pattern: str, prefix: str = "", suffix: str = "") -> re.Pattern[str]:
    """Return prefix + pattern + suffix compiled; raises UnsafePattern with the reason."""
    if len(pattern) > LONGEST:
        raise UnsafePattern(f"it is longer than {LONGEST} characters")
    pieces = _PIECE.findall(pattern)
    if sum(map(len, pieces)) != len(pattern):
        raise UnsafePattern("it uses more than letters, digits, . _ - ^ $ * + ? |, groups and simple sets")
    for before, piece in zip(["", *pieces], pieces, strict=False):
        if piece in _REPETITIONS and before in (")", *_REPETITIONS):
            raise UnsafePattern("it repeats a group or a repetition")
    if sum(piece in _REPETITIONS for piece in pieces) > MOST_REPETITIONS:
        raise UnsafePattern(f"it has more than {MOST_REPETITIONS} repetitions")
    if sum(piece.startswith("(") for piece in pieces) > MOST_GROUPS:
        raise UnsafePattern(f"it has more than {MOST_GROUPS} groups")
    try:
        return re.compile(f"{prefix}{pattern}{suffix}")
    except re.error as error:
        raise UnsafePattern(f"it is not a regular expression: {error}") from None

"""The words in which two answers differ are marked, and nothing of them is lost."""

import pytest

from serving.comparisons.differences import differences


def marked(text: str, other: str) -> list[str]:
    pieces = differences(text, other)
    assert "".join(piece.text for piece in pieces) == text
    return [piece.text.strip() for piece in pieces if piece.differs]


@pytest.mark.parametrize(
    ("text", "other", "differing"),
    [
        ("the red fox", "the red fox", []),
        ("the red fox", "the blue fox", ["red"]),
        ("the red fox runs", "the fox", ["red", "runs"]),
        ("the fox", "the red fox", []),
        ("  a\nb ", "a b", []),
        ("", "a", []),
        ("a", "", ["a"]),
    ],
)
def test_the_words_that_the_other_lacks_are_marked(text: str, other: str, differing: list[str]) -> None:
    assert marked(text, other) == differing


def test_answers_too_long_to_compare_differ_as_a_whole() -> None:
    assert len(marked("word " * 3000, "word " * 2999)) == 1
    assert marked("word " * 3000, "word " * 3000) == []

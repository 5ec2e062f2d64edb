"""Text from tokens: whole characters only, and never a part of a stop string."""

import pytest

from serving.engines.llamacpp.detokenise import Detokeniser


def test_a_character_split_over_tokens_is_shown_whole() -> None:
    text = Detokeniser(())
    grin = "😀".encode()

    shown = [text.push(grin[at : at + 1]) for at in range(4)]

    assert shown == ["", "", "", "😀"]


def test_half_a_character_at_the_end_is_dropped() -> None:
    text = Detokeniser(())

    assert text.push("a😀".encode()[:-1]) == "a"
    assert text.flush() == ""


def test_a_stop_string_split_over_tokens_is_never_shown() -> None:
    text = Detokeniser(("STOP",))

    shown = [text.push(piece) for piece in (b"go S", b"TO", b"P now")]

    assert "".join(shown) == "go "
    assert text.stopped
    assert text.flush() == ""


def test_what_only_began_like_a_stop_string_is_shown_after_all() -> None:
    text = Detokeniser(("STOP",))

    assert text.push(b"a ST") == "a "
    assert text.push(b"ART") == "START"
    assert not text.stopped


def test_text_held_back_is_shown_when_no_more_comes() -> None:
    text = Detokeniser(("STOP",))

    assert text.push(b"ST") == ""
    assert text.flush() == "ST"


@pytest.mark.parametrize("stops", [("b", "abc"), ("abc", "b")])
def test_the_earliest_stop_string_wins(stops: tuple[str, ...]) -> None:
    text = Detokeniser(stops)

    assert text.push(b"xabc") == "x"

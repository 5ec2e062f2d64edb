"""The console's template tags."""

from datetime import timedelta

import pytest
from django.template import TemplateSyntaxError
from django.utils import timezone

from polygraft.templatetags.console import ago, compact, icon


def test_an_icon_is_inlined_without_its_frame() -> None:
    drawing = icon("key")
    assert drawing.startswith('<svg class="icon ')
    assert 'aria-hidden="true"' in drawing
    assert 'stroke="none"' not in drawing


def test_an_unknown_icon_says_what_to_check() -> None:
    with pytest.raises(TemplateSyntaxError, match="has `npm install` run"):
        icon("no-such-icon")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "just now"),
        (61, "1 minute ago"),
        (3 * 3600 + 5, "3 hours ago"),
        (-3 * 86400 - 5, "in 3 days"),
        (-5, "in a moment"),
    ],
)
def test_distances_in_time_are_said_in_words(seconds: int, words: str) -> None:
    assert f">{words}</time>" in ago(timezone.now() - timedelta(seconds=seconds))


def test_no_moment_is_said_in_words_too() -> None:
    assert "never" in ago(None)


@pytest.mark.parametrize(
    ("number", "words"), [(None, "0"), (950, "950"), (1200, "1.2k"), (3_400_000, "3.4M"), (2_000_000_000, "2G")]
)
def test_counts_are_short(number: int | None, words: str) -> None:
    assert compact(number) == words

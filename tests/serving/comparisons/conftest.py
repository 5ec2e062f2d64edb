"""Comparisons with answers, made without asking anybody."""

from collections.abc import Callable, Sequence

import pytest

from cast import Cast
from serving.models import Comparison, ComparisonAnswer, ComparisonPrompt

Finished = Callable[..., Comparison]


@pytest.fixture
def finished(cast: Cast) -> Finished:
    """A maker of finished comparisons: for each prompt, whether each candidate passed (None: nothing was expected)."""

    def finished(
        judgements: Sequence[Sequence[bool | None]],
        candidates: Sequence[str] = ("support-bot:1", "support-bot:2"),
        state: str = "finished",
    ) -> Comparison:
        comparison = Comparison.objects.create(
            adapter=cast.adapter,
            name="made",
            candidates=list(candidates),
            sampling={"temperature": 0, "max_tokens": 16},
            prompt_count=len(judgements),
            created_by=cast.people["dan"],
            state=state,
        )
        for number, passes in enumerate(judgements, 1):
            expect = {} if None in passes else {"contains": "a"}
            prompt = ComparisonPrompt.objects.create(
                comparison=comparison,
                number=number,
                request={"prompt": f"p{number}"},
                asked=f"p{number}",
                expect=expect,
            )
            ComparisonAnswer.objects.bulk_create(
                ComparisonAnswer(
                    prompt=prompt,
                    candidate=place,
                    text=f"answer {passed}",
                    passed=passed,
                    latency_ms=100.0 * number + place,
                    first_token_ms=10.0,
                    completion_tokens=5,
                )
                for place, passed in enumerate(passes)
            )
        return comparison

    return finished

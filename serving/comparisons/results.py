"""The prompts of a comparison, narrowed to those in which its candidates differ or fail."""

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from serving.models import Comparison, ComparisonAnswer, ComparisonPrompt

SHOWS = {"": "All prompts", "differing": "Only differing", "failing": "Only failing"}


def results_of(comparison: Comparison, show: str = "", query: str = "") -> QuerySet[ComparisonPrompt]:
    """The prompts with their answers.

    Args:
        show: `differing`: the candidates' answers are not all the same; `failing`: one did not pass or broke off.
        query: a text that occurs in the question, in an answer, or in the caller's id.
    """
    prompts = comparison.prompts.prefetch_related("answers").order_by("number")
    answers = ComparisonAnswer.objects.filter(prompt=OuterRef("pk"))
    if show == "differing":
        prompts = prompts.annotate(wordings=Count("answers__text", distinct=True)).filter(wordings__gt=1)
    elif show == "failing":
        prompts = prompts.filter(Exists(answers.filter(Q(passed=False) | ~Q(error=""))))
    if query:
        said = Exists(answers.filter(text__icontains=query))
        prompts = prompts.filter(Q(asked__icontains=query) | Q(label__icontains=query) | said)
    return prompts

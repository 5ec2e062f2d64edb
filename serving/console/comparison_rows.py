"""The results of a comparison as its page shows them: candidates side by side, with their differences marked."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.comparisons.differences import Piece, differences
from serving.models import Comparison, ComparisonAnswer, ComparisonPrompt


@dataclass(frozen=True, slots=True)
class Cell:
    """One candidate's answer, None while it is not there; `pieces` are its text, marked where the first's differs."""

    answer: ComparisonAnswer | None
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt, with a cell for each candidate."""

    prompt: ComparisonPrompt
    cells: list[Cell]

    @property
    def history(self) -> list[dict[str, str]]:
        """The messages before the last one, which is shown by itself."""
        messages: list[dict[str, str]] = self.prompt.request.get("messages", [])
        return messages[:-1]


def comparison_rows(comparison: Comparison, prompts: Iterable[ComparisonPrompt]) -> list[Row]:
    """The prompts of a page, with their answers."""
    return [_row(prompt, len(comparison.candidates)) for prompt in prompts]


def _row(prompt: ComparisonPrompt, count: int) -> Row:
    answers: dict[int, ComparisonAnswer] = {answer.candidate: answer for answer in prompt.answers.all()}
    first, second = answers.get(0), answers.get(1)
    # The first one is marked only where it is held against a single other.
    against: dict[int, ComparisonAnswer | None] = dict.fromkeys(range(1, count), first)
    against[0] = second if count == 2 else None
    return Row(prompt, [_cell(answers.get(candidate), against[candidate]) for candidate in range(count)])


def _cell(answer: ComparisonAnswer | None, other: ComparisonAnswer | None) -> Cell:
    if answer is None:
        return Cell(None, [])
    if other is None or other.error or answer.error:
        return Cell(answer, [Piece(answer.text, differs=False)])
    return Cell(answer, differences(answer.text, other.text))

"""What a comparison shows: figures of each candidate, pairs of candidates, and in a sentence which is better."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from serving.comparisons.chances import ALPHA, holm, mcnemar_p, wilson_interval
from serving.models import Comparison, ComparisonAnswer


@dataclass(slots=True)
class Figures:
    """One candidate's. Rates are shares from 0 to 1, times are in milliseconds; None: there is nothing to reckon."""

    candidate: str
    answers: int = 0
    errors: int = 0
    judged: int = 0
    passed: int = 0
    latency_mean: float | None = None
    latency_median: float | None = None
    first_token_median: float | None = None
    tokens_mean: float | None = None

    @property
    def pass_rate(self) -> float | None:
        """The share of judged prompts that it passed."""
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the pass rate lies with a confidence of 95 %."""
        return wilson_interval(self.passed, self.judged) if self.judged else None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two candidates on the prompts that both were judged on. `p` is McNemar's, exact, two-sided.

    `only_first` counts what the first passed and the second did not.
    """

    first: str
    second: str
    both_judged: int
    only_first: int
    only_second: int
    p: float

    @property
    def is_beyond_chance(self) -> bool:
        """Whether equal candidates would differ like this in fewer than 5 of 100 comparisons."""
        return self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it. `leader` passed the most, or is None; `is_certain`: by more than chance explains, against every other.

    `pairs` are the leader's with all others, their p corrected for being several (Holm).
    """

    figures: list[Figures]
    done: int
    wanted: int
    pairs: list[Pair] = field(default_factory=list)
    leader: str | None = None
    is_certain: bool = False
    sentence: str = ""

    @property
    def percent(self) -> int:
        """How far it has come."""
        return 100 * self.done // self.wanted if self.wanted else 100


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: int
    candidate: int
    error: str
    passed: bool | None
    latency_ms: float | None
    first_token_ms: float | None
    completion_tokens: int


def summary_of(comparison: Comparison) -> Summary:
    """Reckon it from the answers so far."""
    rows = [
        _Row(*values)
        for values in ComparisonAnswer.objects.filter(prompt__comparison=comparison)
        .order_by()
        .values_list("prompt", "candidate", "error", "passed", "latency_ms", "first_token_ms", "completion_tokens")
    ]
    names: list[str] = comparison.candidates
    figures = [_figures(name, [row for row in rows if row.candidate == place]) for place, name in enumerate(names)]
    judgements = _judgements(rows, len(names))
    leader, pairs = _leader(figures, judgements)
    certain = leader is not None and bool(pairs) and all(pair.is_beyond_chance for pair in pairs)
    return Summary(
        figures=figures,
        done=len(rows),
        wanted=comparison.answers_wanted,
        pairs=pairs,
        leader=leader,
        is_certain=certain,
        sentence=_sentence(figures, leader, pairs),
    )


def pair_of(comparison: Comparison, first: str, second: str) -> Pair:
    """Two of its candidates, whoever leads; `p` is not corrected."""
    places = (comparison.candidates.index(first), comparison.candidates.index(second))
    judgements: list[dict[int, bool]] = [{}, {}]
    answers = ComparisonAnswer.objects.filter(prompt__comparison=comparison, candidate__in=places, passed__isnull=False)
    for prompt, candidate, passed in answers.order_by().values_list("prompt", "candidate", "passed"):
        judgements[places.index(candidate)][prompt] = bool(passed)
    return _pair(first, second, *judgements)


def _figures(candidate: str, rows: list[_Row]) -> Figures:
    answered = [row for row in rows if not row.error]
    judged = [row for row in rows if row.passed is not None]
    latencies = [row.latency_ms for row in answered if row.latency_ms is not None]
    firsts = [row.first_token_ms for row in answered if row.first_token_ms is not None]
    return Figures(
        candidate=candidate,
        answers=len(rows),
        errors=len(rows) - len(answered),
        judged=len(judged),
        passed=sum(1 for row in judged if row.passed),
        latency_mean=fmean(latencies) if latencies else None,
        latency_median=median(latencies) if latencies else None,
        first_token_median=median(firsts) if firsts else None,
        tokens_mean=fmean(row.completion_tokens for row in answered) if answered else None,
    )


def _judgements(rows: Iterable[_Row], count: int) -> list[dict[int, bool]]:
    """For each candidate: prompt → whether it passed."""
    judgements: list[dict[int, bool]] = [{} for _ in range(count)]
    for row in rows:
        if row.passed is not None:
            judgements[row.candidate][row.prompt] = row.passed
    return judgements


def _pair(first: str, second: str, of_first: dict[int, bool], of_second: dict[int, bool]) -> Pair:
    both = of_first.keys() & of_second.keys()
    only_first = sum(1 for prompt in both if of_first[prompt] and not of_second[prompt])
    only_second = sum(1 for prompt in both if of_second[prompt] and not of_first[prompt])
    return Pair(first, second, len(both), only_first, only_second, mcnemar_p(only_first, only_second))


def _leader(figures: list[Figures], judgements: list[dict[int, bool]]) -> tuple[str | None, list[Pair]]:
    """Who passed the most, held against each other candidate; nobody where nothing was judged."""
    if not any(one.judged for one in figures):
        return None, []
    place = max(range(len(figures)), key=lambda candidate: figures[candidate].passed)
    others = [other for other in range(len(figures)) if other != place]
    names = [one.candidate for one in figures]
    pairs = [_pair(names[place], names[other], judgements[place], judgements[other]) for other in others]
    corrected = holm([pair.p for pair in pairs])
    return names[place], [replace(pair, p=p) for pair, p in zip(pairs, corrected, strict=True)]


def _sentence(figures: list[Figures], leader: str | None, pairs: list[Pair]) -> str:
    if leader is None:
        return "No prompt says what it expects, so nothing can be said about which is better. Read the answers."
    best = next(one for one in figures if one.candidate == leader)
    rivals = [one.candidate for one in figures if one.candidate != leader and one.passed == best.passed]
    if rivals:
        return (
            f"{leader} and {' and '.join(rivals)} pass equally many prompts ({best.passed} of {best.judged}): "
            "this comparison does not say which is better."
        )
    chance = [pair for pair in pairs if not pair.is_beyond_chance]
    told = " ".join(_pair_words(pair) for pair in pairs)
    if not chance:
        return f"{leader} is better. {told}"
    names = " and ".join(pair.second for pair in chance)
    return f"{leader} passes the most, but its lead over {names} may be chance. {told} More prompts would tell."


def _pair_words(pair: Pair) -> str:
    how_often = "less than once" if pair.p < 0.01 else f"{pair.p * 100:.0f} times"
    return (
        f"It passes {pair.only_first} that {pair.second} does not, and {pair.second} passes {pair.only_second} "
        f"that it does not; equals would differ like this {how_often} in 100 comparisons."
    )

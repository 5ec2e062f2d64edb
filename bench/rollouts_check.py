"""Compares what answered with what the rollout allowed, and says whether the bars are reached."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# (version, question) → what it says.
Voices = Mapping[tuple[int, str], str]

# What may lie between the management API's answer and the last request that the version before has answered.
SETTLED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the rollout: when it was asked for and answered (`time.monotonic`), and what was allowed after."""

    sent_at: float
    done_at: float
    versions: frozenset[int]
    is_back: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: when it was sent and answered, in which conversation, what, by which version, how, or why not."""

    sent_at: float
    done_at: float
    conversation: int
    question: str
    version: int
    text: str
    problem: str


def judge(changes: Sequence[Change], answers: Sequence[Answer], voices: Voices) -> bool:
    """Print the figures and whether each bar is met; returns whether all are.

    Args:
        changes: in order; the first is what was in force from the start.
        voices: what each version says when it is pinned.
    """
    failed = [answer for answer in answers if answer.problem]
    good = [answer for answer in answers if not answer.problem]
    strange = [answer for answer in good if voices[answer.version, answer.question] != answer.text]
    late = [lateness for answer in good if (lateness := _lateness(changes, answer)) is not None]
    backs = [_seconds_to_settle(changes, place, good) for place, change in enumerate(changes) if change.is_back]
    took = sorted(change.done_at - change.sent_at for change in changes[1:])
    waits = sorted(answer.done_at - answer.sent_at for answer in good)
    seconds = max(answer.sent_at for answer in answers) - min(answer.sent_at for answer in answers)
    by_version = {
        number: sum(answer.version == number for answer in good) for number in sorted({number for number, _ in voices})
    }
    rate = len(answers) / seconds
    print(f"{len(changes) - 1} changes, {len(answers)} requests in {seconds:.0f} s ({rate:.1f} a second)")
    print(f"answers by version: {by_version}; p50 {_ms(waits, 0.5)}, p95 {_ms(waits, 0.95)}, longest {_ms(waits, 1)}")
    print(f"a change took p50 {_ms(took, 0.5)}, p95 {_ms(took, 0.95)}, longest {_ms(took, 1)}")
    print(f"from a rollback's click to the last request that the old version got: longest {max(backs) * 1000:.0f} ms")
    for answer in failed[:5]:
        print(f"  failed: {answer.problem}")
    return all(
        [
            _verdict(not failed, f"no request failed ({len(failed)} of {len(answers)})"),
            _verdict(not strange, f"every answer is what its version says ({len(strange)} are not)"),
            _verdict(
                not late,
                f"every answer came from a version that was allowed when it was asked for ({len(late)} did not"
                + (f", the latest {max(late) * 1000:.0f} ms after it was no longer)" if late else ")"),
            ),
            _verdict(max(backs) < SETTLED_SECONDS, f"a rollback is in force within {SETTLED_SECONDS:.0f} s"),
            _verdict(_is_sticky(changes, good), "no conversation changed its version while the shares stood"),
        ]
    )


def _in_force(changes: Sequence[Change], moment: float) -> int:
    """The place of the last change that had been answered."""
    return bisect_right([change.done_at for change in changes], moment) - 1


def _lateness(changes: Sequence[Change], answer: Answer) -> float | None:
    """How long before the request its version had ceased to be allowed, in seconds; None: it was allowed."""
    place = _in_force(changes, answer.sent_at)
    under_way = [change for change in changes[place + 1 :] if change.sent_at <= answer.done_at]
    if any(answer.version in change.versions for change in (changes[place], *under_way)):
        return None
    while place and answer.version not in changes[place - 1].versions:
        place -= 1
    return answer.sent_at - changes[place].done_at


def _seconds_to_settle(changes: Sequence[Change], place: int, answers: Iterable[Answer]) -> float:
    """From a rollback's click to the last request before the next change that a version taken back has answered."""
    change = changes[place]
    until = changes[place + 1].sent_at if place + 1 < len(changes) else float("inf")
    old = [
        answer.sent_at - change.sent_at
        for answer in answers
        if change.sent_at <= answer.sent_at < until and answer.version not in change.versions
    ]
    return max(old, default=0.0)


def _is_sticky(changes: Sequence[Change], answers: Iterable[Answer]) -> bool:
    heard: dict[tuple[int, int], set[int]] = defaultdict(set)
    for answer in answers:
        place = _in_force(changes, answer.sent_at)
        # Not what may have met the change after.
        if place + 1 == len(changes) or answer.done_at < changes[place + 1].sent_at:
            heard[place, answer.conversation].add(answer.version)
    return all(len(versions) == 1 for versions in heard.values())


def _ms(ordered: Sequence[float], share: float) -> str:
    return f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000:.0f} ms"


def _verdict(good: bool, sentence: str) -> bool:
    print(f"  {'met' if good else 'MISSED'}: {sentence}", flush=True)
    return good

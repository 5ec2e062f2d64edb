"""Gives a comparison its turn: asks what has not been asked, judges what comes back, and keeps every answer at once.

A turn is short, so that comparisons of several departments go on side by side and a worker that is to stop can stop.
What was answered in a turn that breaks off stays; what was under way is asked again.
"""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict

from django.db import IntegrityError

from polygraft.conf import config
from serving.comparisons.asking import Answer, Asking, GatewayAway, NotAllowed
from serving.comparisons.candidates import called
from serving.comparisons.judging import Judge
from serving.comparisons.lifecycle import (
    comparison_claim,
    comparison_end,
    comparison_hand_back,
    comparison_keep,
    comparison_next,
)
from serving.models import Comparison, ComparisonAnswer, ComparisonPrompt, ComparisonState
from tenants.access import Right, may
from tenants.grants import ticket_issue

_TURN_SECONDS = 8.0
_WATCH_SECONDS = 1.0
_Question = tuple[ComparisonPrompt, int]


def comparison_run(comparison_id: str) -> None:
    """Give one comparison a turn, if it is free, and have the next one follow."""
    comparison = comparison_claim(comparison_id)
    if comparison is None:
        return
    user, department = comparison.created_by, comparison.adapter.department
    if user is None or not may(user, Right.MODELS_TRY, department):
        who = user.get_username() if user else "Who began it"
        words = f"{who} may not use the models of {department} any more. Begin it anew as somebody who may."
        comparison_end(comparison, ComparisonState.FAILED, words)
        return
    settings = config()
    patience = settings.batch_queue_timeout + settings.upstream_first_byte_timeout
    ticket = ticket_issue(user=user, department=department)
    try:
        with Judge() as judge, Asking(url=settings.resolved_gateway_url, ticket=ticket, patience=patience) as asking:
            is_whole = _turn(comparison, judge, asking)
    except GatewayAway:
        # Not asked for again at once: the next beat comes by.
        words = (
            f"The gateway cannot be reached at {settings.resolved_gateway_url}; it is tried again every few seconds."
        )
        comparison_hand_back(comparison, words)
        return
    except NotAllowed as refused:
        comparison_end(comparison, ComparisonState.FAILED, f"The gateway does not let it in: {refused}")
        return
    if is_whole:
        comparison_end(comparison, ComparisonState.FINISHED)
    else:
        comparison_hand_back(comparison)
    comparison_next()


def _turn(comparison: Comparison, judge: Judge, asking: Asking) -> bool:
    """Ask for the length of a turn; whether everything has been answered at its end."""
    questions = _unanswered(comparison)
    under_way: dict[Future[Answer], _Question] = {}
    ends = time.monotonic() + _TURN_SECONDS
    watched = time.monotonic()
    has_more = True
    while True:
        while has_more and len(under_way) < config().comparison_requests and time.monotonic() < ends:
            question = next(questions, None)
            if question is None:
                has_more = False
            else:
                under_way[asking.ask(_body(comparison, *question))] = question
        if not under_way:
            return not has_more
        done, _ = wait(under_way, timeout=_WATCH_SECONDS, return_when=FIRST_COMPLETED)
        # Those that have an answer first: it would be asked for again.
        for future in sorted(done, key=lambda future: future.exception() is not None):
            try:
                _keep(*under_way.pop(future), future.result(), judge)
            except IntegrityError:  # deleted meanwhile
                return False
        if time.monotonic() - watched > _WATCH_SECONDS:
            watched = time.monotonic()
            if not comparison_keep(comparison):
                return False


def _unanswered(comparison: Comparison) -> Iterator[_Question]:
    """What is left to ask; prompt by prompt, so that candidates are asked under the same load."""
    answers = ComparisonAnswer.objects.filter(prompt__comparison=comparison)
    answered = set(answers.values_list("prompt", "candidate"))
    for prompt in comparison.prompts.all():
        for candidate in range(len(comparison.candidates)):
            if (prompt.pk, candidate) not in answered:
                yield prompt, candidate


def _body(comparison: Comparison, prompt: ComparisonPrompt, candidate: int) -> dict[str, object]:
    model = called(comparison.adapter, comparison.candidates[candidate])
    return {**comparison.sampling, **prompt.request, "model": model}


def _keep(prompt: ComparisonPrompt, candidate: int, answer: Answer, judge: Judge) -> None:
    passed, reason = None, ""
    if prompt.expect and answer.error:
        # A version that cannot answer has not passed, whatever kept it.
        passed, reason = False, "There is no answer."
    elif prompt.expect:
        passed, reason = judge.passes(answer.text, prompt.expect)
    # Somebody may have answered it meanwhile, where this worker was thought dead; the first answer stays.
    ComparisonAnswer.objects.bulk_create(
        [ComparisonAnswer(prompt=prompt, candidate=candidate, passed=passed, reason=reason, **asdict(answer))],
        ignore_conflicts=True,
    )

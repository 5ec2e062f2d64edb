"""A comparison of an adapter's versions: prompts that were asked of each, what came back, and the policy about it."""

import uuid
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from serving.models.adapter import Adapter
from tenants.models import Department

# How the adapter's base model is called among the candidates.
BASE = "base"


class ComparisonState(models.TextChoices):
    """Where a comparison stands."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


UNFINISHED = (ComparisonState.QUEUED, ComparisonState.RUNNING)
BROKEN_OFF = (ComparisonState.FAILED, ComparisonState.CANCELLED)


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    """Queries over comparisons."""

    def unfinished(self) -> Self:
        """Those that have something left to do."""
        return self.filter(state__in=UNFINISHED)


class Comparison(models.Model):
    """The same prompts for two or more candidates, each a pinned version (`support-bot:3`) or `base`.

    The first candidate is the one that the others are held against. `claim` and `claimed_until` are the worker's that
    works on it; a claim that has run out may be taken by another. `problem` says why it failed, or what it waits for.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="comparisons")
    name = models.CharField(max_length=100)
    candidates = models.JSONField(help_text='What is compared, such as ["support-bot:3", "support-bot:4", "base"].')
    sampling = models.JSONField(help_text="Fields that every request carries, such as temperature and max_tokens.")
    prompt_count = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=ComparisonState, default=ComparisonState.QUEUED, db_index=True)
    problem = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    claim = models.UUIDField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    turn_at = models.DateTimeField(
        null=True, blank=True, help_text="When it last had its turn; the longest ago is next."
    )

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.adapter})"

    @property
    def is_unfinished(self) -> bool:
        """Whether it has something left to do."""
        return self.state in UNFINISHED

    @property
    def is_broken_off(self) -> bool:
        """Whether it ended before it was finished, so that it can be run again."""
        return self.state in BROKEN_OFF

    @property
    def answers_wanted(self) -> int:
        """How many answers it is made of."""
        return self.prompt_count * len(self.candidates)


class ComparisonPrompt(models.Model):
    """One line of the prompts: what is asked (`messages`, or `prompt` as plain text) and what is expected."""

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="prompts")
    number = models.PositiveIntegerField(help_text="Its place, from 1.")
    label = models.CharField(max_length=100, blank=True, help_text="The caller's own `id` for it.")
    request = models.JSONField(help_text="`messages` or `prompt`, and `max_tokens` where the line has its own.")
    asked = models.TextField(help_text="The question in short: the plain text, or the last message.")
    expect = models.JSONField(default=dict, blank=True, help_text="Empty: nothing, it is not judged.")

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["comparison", "number"], name="one_prompt_per_number")]

    def __str__(self) -> str:
        return f"{self.comparison}, prompt {self.number}"


class ComparisonAnswer(models.Model):
    """What one candidate said to one prompt, or why nothing (`error`); `passed` is None where nothing is expected."""

    prompt = models.ForeignKey(ComparisonPrompt, on_delete=models.CASCADE, related_name="answers")
    candidate = models.PositiveSmallIntegerField(help_text="Its place among the comparison's candidates, from 0.")
    text = models.TextField(blank=True)
    error = models.TextField(blank=True)
    passed = models.BooleanField(null=True)
    reason = models.TextField(blank=True, help_text="Why it did not pass.")
    finish_reason = models.CharField(max_length=32, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    latency_ms = models.FloatField(
        null=True, blank=True, help_text="From sending to the end, the wait for a turn, too."
    )
    first_token_ms = models.FloatField(null=True, blank=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["prompt", "candidate"]
        constraints = [models.UniqueConstraint(fields=["prompt", "candidate"], name="one_answer_per_candidate")]

    def __str__(self) -> str:
        return f"{self.prompt}, candidate {self.candidate}"


class Proof(models.TextChoices):
    """What a comparison must show before a version may be rolled out."""

    PASS_RATE = "pass_rate", "Pass rate: the version passes enough of the prompts"
    NOT_WORSE = "not_worse", "Not worse: the version is not worse than the live one beyond chance"


class ComparisonPolicy(models.Model):
    """A department's rule that a comparison comes before a rollout; no row: none is needed."""

    department = models.OneToOneField(Department, on_delete=models.CASCADE, related_name="comparison_policy")
    proof = models.CharField(max_length=16, choices=Proof, default=Proof.NOT_WORSE)
    prompts = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Fewest prompts with an expectation.",
    )
    pass_rate = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Percent of them that the version must pass, under `pass_rate`.",
    )

    def __str__(self) -> str:
        return f"{self.department}: {self.proof}"

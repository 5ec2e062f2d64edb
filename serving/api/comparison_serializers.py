"""The management API's representation of comparisons and of the policy about them."""

from typing import Any

from rest_framework import serializers

from serving.comparisons.download import prompt_as_json
from serving.comparisons.sampling import LARGEST_SEED, MOST_TOKENS
from serving.comparisons.summary import Figures, Pair, summary_of
from serving.models import Comparison, ComparisonPrompt
from serving.models.comparison import Proof
from tenants.models import User


class ComparisonWishSerializer(serializers.Serializer[Any]):
    """A new comparison, as JSON, or as multipart/form-data with the prompts as a file."""

    name = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    candidates = serializers.ListField(
        child=serializers.CharField(max_length=140),
        help_text='Two or more of the adapter\'s pinned versions and "base", such as '
        '["support-bot:3", "support-bot:4"]; the first is the one that the others are held against.',
    )
    prompts = serializers.ListField(
        child=serializers.JSONField(),
        help_text='Objects such as {"messages": […], "expect": {"contains": "…"}}; in multipart a JSONL file of them.',
    )
    temperature = serializers.FloatField(min_value=0, max_value=2, default=0)
    top_p = serializers.FloatField(min_value=0.01, max_value=1, required=False)
    max_tokens = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS, default=256)
    seed = serializers.IntegerField(min_value=0, max_value=LARGEST_SEED, required=False)


class ComparisonFileSerializer(ComparisonWishSerializer):
    """The same as multipart/form-data; `candidates` is repeated."""

    prompts = serializers.FileField(help_text="JSONL.")  # type: ignore[assignment]  # another field in another format


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    """A comparison in a list."""

    created_by = serializers.SlugRelatedField[User](slug_field="username", read_only=True)

    class Meta:
        model = Comparison
        fields = [
            "id",
            "name",
            "candidates",
            "sampling",
            "prompt_count",
            "state",
            "problem",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
        ]


class ComparisonDetailSerializer(ComparisonSerializer):
    """A comparison with its progress and figures."""

    summary = serializers.SerializerMethodField(
        help_text="Progress, figures of each candidate, the leader's pairs, and which is better in a sentence."
    )

    class Meta(ComparisonSerializer.Meta):
        fields = [*ComparisonSerializer.Meta.fields, "summary"]

    def get_summary(self, comparison: Comparison) -> dict[str, Any]:
        """Reckoned from the answers so far."""
        summary = summary_of(comparison)
        return {
            "answers": summary.done,
            "answers_wanted": summary.wanted,
            "leader": summary.leader,
            "is_certain": summary.is_certain,
            "sentence": summary.sentence,
            "candidates": [_figures(one) for one in summary.figures],
            "pairs": [_pair(pair) for pair in summary.pairs],
        }


def _figures(one: Figures) -> dict[str, Any]:
    return {
        "candidate": one.candidate,
        "answers": one.answers,
        "errors": one.errors,
        "judged": one.judged,
        "passed": one.passed,
        "pass_rate": one.pass_rate,
        "pass_rate_interval": one.interval,
        "latency_ms_mean": one.latency_mean,
        "latency_ms_median": one.latency_median,
        "first_token_ms_median": one.first_token_median,
        "completion_tokens_mean": one.tokens_mean,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "both_judged": pair.both_judged,
        "only_first_passes": pair.only_first,
        "only_second_passes": pair.only_second,
        "p": pair.p,
        "is_beyond_chance": pair.is_beyond_chance,
    }


class ComparisonResultSerializer(serializers.Serializer[ComparisonPrompt]):
    """One prompt with the answers that it has so far."""

    number = serializers.IntegerField()
    id = serializers.CharField(help_text="The caller's own.")
    messages = serializers.ListField(child=serializers.JSONField(), required=False)
    prompt = serializers.CharField(required=False)
    max_tokens = serializers.IntegerField(required=False)
    expect = serializers.DictField()
    answers = serializers.ListField(child=serializers.DictField())

    def to_representation(self, instance: ComparisonPrompt) -> dict[str, Any]:
        """As in the download."""
        return prompt_as_json(self.context["comparison"], instance)


class ComparisonPolicySerializer(serializers.Serializer[Any]):
    """Whether, and which, comparison comes before a rollout in a department."""

    required = serializers.BooleanField()  # type: ignore[assignment]  # taken away by the metaclass
    proof = serializers.ChoiceField(choices=Proof.choices, default=Proof.NOT_WORSE)
    prompts = serializers.IntegerField(min_value=1, max_value=100_000, default=20)
    pass_rate = serializers.IntegerField(
        min_value=1, max_value=100, default=90, help_text="In percent, under `pass_rate`."
    )

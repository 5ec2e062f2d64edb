"""What one minute of requests to one adapter version came to."""

from django.db import models

from serving.models.adapter import AdapterVersion


class VersionMinute(models.Model):
    """Sums over usage records, kept beside them so that no page has to read the records of a day.

    `requests` are all that an engine was asked for, refused ones left out. The histograms map a step of
    `serving.rollouts.histogram` to how many requests took so long: to the first token of a stream, and to the end of an
    answer that came whole.
    """

    adapter_version = models.ForeignKey(AdapterVersion, on_delete=models.CASCADE, related_name="minutes")
    minute = models.DateTimeField(db_index=True, help_text="Its beginning.")
    requests = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    generation_ms = models.FloatField(default=0.0, help_text="What engines took to generate them.")
    first_token = models.JSONField(default=dict)
    whole_answer = models.JSONField(default=dict)

    class Meta:
        ordering = ["adapter_version", "minute"]
        constraints = [
            models.UniqueConstraint(fields=["adapter_version", "minute"], name="one_row_per_version_and_minute")
        ]

    def __str__(self) -> str:
        return f"{self.adapter_version}, {self.minute:%Y-%m-%d %H:%M}"

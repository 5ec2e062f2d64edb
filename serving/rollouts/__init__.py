"""What an adapter's bare name means: setting it, going back, watching over canaries."""

from serving.rollouts.changes import rollout_back, rollout_begin, rollout_set

__all__ = ["rollout_back", "rollout_begin", "rollout_set"]

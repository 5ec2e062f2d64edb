"""What answers: base models, adapters and their versions, deployments, engines, nodes, and the record of use."""

from serving.models.adapter import Adapter, AdapterVersion, VersionState
from serving.models.adapter_import import AdapterImport, ImportState
from serving.models.base_model import BaseModel
from serving.models.comparison import (
    Comparison,
    ComparisonAnswer,
    ComparisonPolicy,
    ComparisonPrompt,
    ComparisonState,
)
from serving.models.deployment import Deployment, Residency
from serving.models.engine import Engine, EngineState, Failure
from serving.models.event import PlatformEvent
from serving.models.feedback import Feedback, Rating
from serving.models.node import Node
from serving.models.retention import RetentionPolicy
from serving.models.rollout import Rollout, RolloutChange
from serving.models.share import AdapterShare
from serving.models.signing_key import SigningKey
from serving.models.upload import Upload
from serving.models.usage import Outcome, UsageRecord
from serving.models.version_minute import VersionMinute

__all__ = [
    "Adapter",
    "AdapterImport",
    "AdapterShare",
    "AdapterVersion",
    "BaseModel",
    "Comparison",
    "ComparisonAnswer",
    "ComparisonPolicy",
    "ComparisonPrompt",
    "ComparisonState",
    "Deployment",
    "Engine",
    "EngineState",
    "Failure",
    "Feedback",
    "ImportState",
    "Node",
    "Outcome",
    "PlatformEvent",
    "Rating",
    "Residency",
    "RetentionPolicy",
    "Rollout",
    "RolloutChange",
    "SigningKey",
    "Upload",
    "UsageRecord",
    "VersionMinute",
    "VersionState",
]

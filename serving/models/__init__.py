"""What answers: base models, adapters and their versions, deployments, engines, nodes, and the record of use."""

from serving.models.adapter import Adapter, AdapterVersion, Rollout, VersionState
from serving.models.base_model import BaseModel
from serving.models.deployment import Deployment, Residency
from serving.models.engine import Engine, EngineState, Failure
from serving.models.event import PlatformEvent
from serving.models.node import Node
from serving.models.share import AdapterShare
from serving.models.upload import Upload
from serving.models.usage import Outcome, UsageRecord

__all__ = [
    "Adapter",
    "AdapterShare",
    "AdapterVersion",
    "BaseModel",
    "Deployment",
    "Engine",
    "EngineState",
    "Failure",
    "Node",
    "Outcome",
    "PlatformEvent",
    "Residency",
    "Rollout",
    "Upload",
    "UsageRecord",
    "VersionState",
]

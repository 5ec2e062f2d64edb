"""Reckons what a deployment's engines need, from its base model's files and the adapters that it holds."""

from functools import lru_cache
from pathlib import Path

import structlog

from polygraft.conf import config
from serving.capacity.gguf_file import shape_from_gguf
from serving.capacity.hugging_face import shape_from_folder
from serving.capacity.need import Need, engine_need
from serving.capacity.shape import Shape, UnknownModel
from serving.engines.kinds import EngineKind
from serving.models import BaseModel, Deployment, Residency

log = structlog.get_logger()


def deployment_need(deployment: Deployment, adapters: int) -> Need | None:
    """What one engine of a deployment needs; None where its model's files tell nothing.

    Args:
        adapters: how many versions its base model has that engines should hold.
    """
    kind = EngineKind(deployment.engine_kind)
    try:
        shape = base_model_shape(deployment.base_model, kind)
    except UnknownModel as error:
        log.debug("a model of unknown size", base_model=deployment.base_model.name, reason=str(error))
        return None
    held = adapters if deployment.residency == Residency.EAGER else min(adapters, deployment.adapter_slots)
    return engine_need(
        shape,
        kind,
        deployment.options,
        concurrency=deployment.concurrency,
        adapters=held,
        rank=config().max_lora_rank,
    )


def base_model_shape(base_model: BaseModel, kind: EngineKind) -> Shape:
    """A base model's shape as an engine of this kind reads it.

    Raises:
        UnknownModel: it has no files for this kind, or they are not at hand or not known.
    """
    path = Path(base_model.gguf_path if kind is EngineKind.LLAMACPP else base_model.hf_path)
    if path == Path():
        raise UnknownModel(f"{base_model.name} has no files for {kind}.")
    try:
        changed_at = (path if kind is EngineKind.LLAMACPP else path / "config.json").stat().st_mtime_ns
    except OSError as error:
        raise UnknownModel(f"{path} cannot be read on this machine: {error.strerror}.") from error
    return _read(kind, path, changed_at)


@lru_cache(maxsize=256)
def _read(kind: EngineKind, path: Path, changed_at: int) -> Shape:
    return shape_from_gguf(path) if kind is EngineKind.LLAMACPP else shape_from_folder(path)

"""Adds base models, says which departments may use them and what their tokens cost."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction

from polygraft.live import Change, announce
from serving.accounting.prices import FREE, Prices
from serving.adapters.examination.base_spec import BaseSpec, UnreadableBase, UnsupportedBase, gguf_metadata, hf_config
from serving.models import BaseModel
from tenants.audit import audit_record
from tenants.models import Department, User

T = TypeVar("T")


def base_model_granted(department: Department, name: str) -> BaseModel:
    """The base model of this name, for a department that may attach adapters to it.

    Raises:
        ValidationError: there is none for it, whether or not others have one, or it takes no adapters.
    """
    base_model = BaseModel.objects.granted_to(department.pk).filter(name=name).first()
    if base_model is None:
        raise ValidationError({"base_model": f"There is no base model {name} for this department."})
    if not base_model.takes_adapters:
        raise ValidationError({"base_model": f"The base model {name} takes no adapters."})
    return base_model


@transaction.atomic
def base_model_create(
    *,
    name: str,
    by: User | None,
    source: str = "",
    gguf_path: str = "",
    hf_path: str = "",
    takes_adapters: bool = True,
    open_to_all: bool = True,
    departments: Iterable[Department] = (),
    prices: Prices = FREE,
) -> BaseModel:
    """Add a base model.

    Args:
        takes_adapters: whether adapters shall be attached to it. If not, its architecture does not matter here.

    Raises:
        ValidationError: the name is taken or malformed, or no path, or a path that is not what it should be.
    """
    problems: dict[str, str] = {}
    if not gguf_path and not hf_path:
        problems["gguf_path"] = "Give a GGUF file for llama.cpp, a Hugging Face folder for vLLM, or both."
    if takes_adapters:
        gguf = _read("gguf_path", gguf_path, BaseSpec.from_gguf, problems)
        hugging_face = _read("hf_path", hf_path, BaseSpec.from_hf, problems)
        if gguf and hugging_face and gguf.linear_modules != hugging_face.linear_modules:
            problems["hf_path"] = (
                f"{hf_path} and {gguf_path} are not the same model: their layers have other names or shapes. "
                "Add them as two base models."
            )
    else:
        _read("gguf_path", gguf_path, gguf_metadata, problems)
        _read("hf_path", hf_path, lambda folder: hf_config(folder / "config.json"), problems)
    if problems:
        raise ValidationError(problems)
    model = BaseModel(
        name=name,
        source=source,
        gguf_path=gguf_path,
        hf_path=hf_path,
        takes_adapters=takes_adapters,
        open_to_all=open_to_all,
    )
    _put_prices(model, prices)
    model.full_clean()
    model.save()
    model.departments.set(departments)
    audit_record(
        action="base_model.create",
        target=name,
        by=by,
        source=source,
        gguf_path=gguf_path,
        hf_path=hf_path,
        takes_adapters=takes_adapters,
    )
    transaction.on_commit(lambda: announce(Change.MODELS))
    return model


@transaction.atomic
def base_model_reprice(*, model: BaseModel, prices: Prices, by: User | None) -> None:
    """Change what tokens cost from now on; what was used before keeps its cost.

    Raises:
        ValidationError: a price is negative or too large.
    """
    before = model.prices
    _put_prices(model, prices)
    model.full_clean()
    model.save()
    audit_record(
        action="base_model.reprice", target=model.name, by=by, before=_as_words(before), after=_as_words(prices)
    )
    transaction.on_commit(lambda: announce(Change.MODELS))


def base_spec(base_model: BaseModel) -> BaseSpec:
    """What adapters for a base model must fit, from whichever of its files there are.

    Raises:
        UnsupportedBase: the files have gone or changed since the base model was added.
    """
    if base_model.gguf_path:
        return BaseSpec.from_gguf(Path(base_model.gguf_path))
    return BaseSpec.from_hf(Path(base_model.hf_path))


def _put_prices(model: BaseModel, prices: Prices) -> None:
    model.prompt_price, model.cached_price, model.completion_price = prices.prompt, prices.cached, prices.completion


def _as_words(prices: Prices) -> dict[str, str]:
    return {kind: str(price.normalize()) for kind, price in asdict(prices).items()}


def _read(field: str, path: str, read: Callable[[Path], T], problems: dict[str, str]) -> T | None:
    """Read a base model's files, or say beside their field why that cannot be done."""
    if not path:
        return None
    if not Path(path).exists():
        problems[field] = f"There is nothing at {path} on this machine."
        return None
    try:
        return read(Path(path))
    except UnreadableBase as error:
        problems[field] = str(error)
    except UnsupportedBase as error:
        problems[field] = f"{error}. Without adapters it can be added all the same."
    return None

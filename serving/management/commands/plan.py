"""Prints how much memory a model takes, what it fits on, and which engine to choose."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from serving.capacity.estimate import Estimate, Wish
from serving.capacity.gpus import GPUS, NO_GPU
from serving.capacity.plan import Plan, gib
from serving.capacity.quantisation import QUANTISATIONS
from serving.engines.kinds import EngineKind
from serving.fleet.planning import plan_base_model, plan_file
from serving.models import BaseModel


class Command(BaseCommand):
    """`manage.py plan MODEL --context 8192 --concurrency 16 --adapters 20`."""

    help = "Plan a model: memory by part, GPUs that it fits on, flags, and which engine to choose and why."

    def add_arguments(self, parser: CommandParser) -> None:
        """The model, and what it should do."""
        parser.add_argument("model", help="a base model's name, a GGUF file, a Hugging Face folder or its config.json")
        parser.add_argument("--context", type=int, default=8192, help="tokens of context per request")
        parser.add_argument("--concurrency", type=int, default=8, help="requests of full context at once")
        parser.add_argument("--adapters", type=int, default=0, help="LoRA adapters")
        parser.add_argument(
            "--active", type=int, default=0, help="adapters in use at once (default: as many as can be)"
        )
        parser.add_argument("--rank", type=int, default=16, help="highest rank of an adapter")
        parser.add_argument("--quantisation", default="", choices=list(QUANTISATIONS), metavar="FORMAT")
        parser.add_argument("--kv-bits", type=int, default=16, choices=[8, 16], help="bits of a cached value")
        parser.add_argument("--engine", choices=[kind.value for kind in EngineKind], help="default: the better one")
        parser.add_argument("--gpu", default="", choices=[NO_GPU, *(gpu.name for gpu in GPUS)], metavar="GPU")

    def handle(self, model: str, engine: str | None, gpu: str, **options: Any) -> None:
        """Plan and print."""
        wish = Wish.from_fields(options)
        kind = EngineKind(engine) if engine else None
        base_model = BaseModel.objects.filter(name=model).first()
        try:
            found = (
                plan_base_model(base_model, wish, engine=kind, gpu=gpu)
                if base_model
                else plan_file(Path(model), wish, engine=kind, gpu=gpu)
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self._print(found)

    def _print(self, found: Plan) -> None:
        write = self.stdout.write
        write(f"{found.model}: choose {found.choice}")
        for sentence in (*found.reasons, *found.remarks):
            write(f"  {sentence}")
        for kind, one in found.estimates.items():
            self._print_estimate(kind, one)
        for kind, reason in found.refused.items():
            write(f"\n{kind}: {reason}")

    def _print_estimate(self, kind: EngineKind, one: Estimate) -> None:
        write = self.stdout.write
        write(f"\n{kind}, {one.quantisation}")
        for part in one.parts:
            about = "" if part.is_exact else "about "
            write(f"  {part.name:<12}{about + gib(part.bytes):>16}  {part.meaning}")
        where = f"on each of {one.gpus} GPUs" if one.gpus > 1 else "" if one.gpus else "in main memory"
        write(f"  {'total':<12}{gib(one.total_bytes):>16}  {where}".rstrip())
        if one.host_bytes:
            write(f"  {'main memory':<12}{gib(one.host_bytes):>16}  adapters that wait for a slot")
        write(
            f"  fits: {', '.join(f'{fit.count} × {fit.gpu} ({fit.share:.0%})' for fit in one.fits) or 'no GPU listed'}"
        )
        write(f"  flags: {' '.join(one.flags)}")

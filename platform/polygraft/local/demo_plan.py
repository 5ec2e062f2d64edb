"""What the demo consists of."""

from dataclasses import dataclass

from polygraft.conf import ROOT

ADMIN = "admin"
BASE_MODEL = "smollm2-135m-instruct"
BASE_MODEL_SOURCE = "HuggingFaceTB/SmolLM2-135M-Instruct"
ADAPTERS_FOLDER = ROOT / "demo" / "adapters"


@dataclass(frozen=True, slots=True)
class DemoDepartment:
    """A department with one key and one adapter, whose files are in the checkout."""

    slug: str
    name: str
    adapter: str


DEPARTMENTS = (
    DemoDepartment(slug="support", name="Support", adapter="support-bot"),
    DemoDepartment(slug="legal", name="Legal", adapter="contracts"),
)

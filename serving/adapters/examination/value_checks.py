"""Checks the numbers in an adapter's tensors: finite, trained, and of a usual size."""

from collections.abc import Mapping
from pathlib import Path

from serving.adapters.examination.report import Report, shown
from serving.adapters.reading.names import WEIGHTS
from serving.adapters.reading.safetensors_file import FLOATS, Tensor
from serving.adapters.reading.safetensors_values import examine
from serving.adapters.reading.tensor_names import parse

Tensors = Mapping[str, Tensor]

# The root of the mean square of one matrix's numbers.
ODD_RMS = 2.0


def check_values(path: Path, tensors: Tensors, report: Report) -> None:
    """All numbers are finite and of a usual size; and not all B are zero, for then the adapter changes nothing."""
    zero = matrices = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            continue
        content = examine(path, tensor)
        if not content.finite:
            report.error(
                "finite",
                f"{shown(name)} holds numbers that are infinite or not a number (NaN).",
                file=WEIGHTS,
                tensor=shown(name),
                expected="finite numbers",
                found="infinity or NaN",
                advice="The training diverged. Train again with a lower learning rate or in bfloat16 or float32.",
            )
        elif content.rms > ODD_RMS:
            report.warning(
                "norm",
                f"The numbers in {shown(name)} are unusually large: {content.rms:.3g} in the mean (root of squares).",
                file=WEIGHTS,
                tensor=shown(name),
                expected=f"at most {ODD_RMS:g}; trained adapters stay below 0.5",
                found=f"{content.rms:.3g}",
                advice="Try the version before you roll it out; if it talks nonsense, lower the learning rate.",
            )
        parsed = parse(name)
        if parsed and parsed.side == "B":
            matrices += 1
            zero += content.zero
    if zero:
        report.warning(
            "zero",
            "All lora_B matrices are zero: the adapter changes nothing."
            if zero == matrices
            else f"{zero} of {matrices} lora_B matrices are zero: they change nothing.",
            file=WEIGHTS,
            expected="trained lora_B matrices",
            found=f"{zero} of {matrices} are zero",
            advice="Make sure that you saved the adapter after the training, not before.",
        )

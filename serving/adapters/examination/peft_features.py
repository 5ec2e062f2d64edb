"""Tells which options of an adapter's training no engine can serve."""

from collections.abc import Mapping
from typing import Any

from serving.adapters.examination.report import Report, shown
from serving.adapters.reading.names import CONFIG

# These initialisations leave the base model's weights as they are; the others trained against weights that they had
# changed, so their A and B fit no untouched base model.
_PLAIN_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal", "mica")
_RETRAIN = "Save it as a plain LoRA, or train again without this option."
# Option → what to call it. Each must be absent, null, false or empty.
_UNSUPPORTED_OPTIONS = {
    "use_dora": "DoRA",
    "lora_bias": "a bias on lora_B",
    "alora_invocation_tokens": "activated LoRA (aLoRA)",
    "layer_replication": "layer replication",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "kasa_config": "KaSA",
    "arrow_config": "Arrow routing",
    "monteclora_config": "MonteCLoRA",
    "modules_to_save": "modules saved in full (modules_to_save)",
    "trainable_token_indices": "trained tokens (trainable_token_indices)",
    "target_parameters": "LoRA on bare parameters (target_parameters)",
}


def check_features(raw: Mapping[str, Any], report: Report) -> None:
    """Tell the report about every option that vLLM or llama.cpp cannot serve."""
    peft_type = raw.get("peft_type")
    if peft_type != "LORA":
        report.error(
            "peft-type",
            f"peft_type is {shown(peft_type)}; only LoRA adapters can be served."
            if peft_type is not None
            else "peft_type is missing, so this is no adapter's configuration.",
            file=CONFIG,
            expected="LORA",
            found=shown(peft_type),
            advice="Train with peft.LoraConfig; IA³, prompt tuning and other methods are not supported.",
        )
    for option, meaning in _UNSUPPORTED_OPTIONS.items():
        if raw.get(option):
            report.error(
                "unsupported-option",
                f"The adapter uses {meaning}, which the engines do not support.",
                file=CONFIG,
                expected=f"{option} absent, false or empty",
                found=shown(raw[option]),
                advice=_RETRAIN,
            )
    if raw.get("bias", "none") != "none":
        report.error(
            "unsupported-option",
            "The adapter trained the base model's biases too, which the engines do not support.",
            file=CONFIG,
            expected='"bias": "none"',
            found=shown(raw["bias"]),
            advice=_RETRAIN,
        )
    start = raw.get("init_lora_weights", True)
    if start not in _PLAIN_INITIALISATIONS:
        report.error(
            "unsupported-option",
            f"The adapter was initialised by {shown(start)}, which changes the base model's own weights: it would not "
            "fit the shared, unchanged base model.",
            file=CONFIG,
            expected="init_lora_weights true, false, gaussian, eva, orthogonal or mica",
            found=shown(start),
            advice="Save it with path_initial_model_for_weight_conversion, which turns it into a plain LoRA.",
        )

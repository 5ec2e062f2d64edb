"""The two files that make an adapter, as PEFT names them."""

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

"""A llama.cpp host for many LoRA adapters at once: hot-loaded, batched, usable alone."""

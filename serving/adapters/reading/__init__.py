"""Reads what strangers upload, believing none of it: archives, safetensors, GGUF, names."""

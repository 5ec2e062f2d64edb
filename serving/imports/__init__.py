"""Brings adapters in from other places: folders of the server, buckets, Hugging Face."""

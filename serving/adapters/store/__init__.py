"""Keeps the bytes of accepted adapters: by digest, in a folder or a bucket, and on nodes."""

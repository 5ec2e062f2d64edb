"""Decides whether an adapter fits its base model and can be served, and says why not."""

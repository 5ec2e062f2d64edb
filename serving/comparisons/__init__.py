"""Comparisons: the same prompts for several versions of an adapter, judged, counted, and asked for by policy."""

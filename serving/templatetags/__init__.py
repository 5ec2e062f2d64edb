"""Template tags about what can be called."""

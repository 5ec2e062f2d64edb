"""Template tags about who may do what."""

"""Which engines should run where, which do, and what they hold: the wish, the live registry, the reconciler."""

"""What can go wrong with the store of adapters, and with others like it."""


class StoreUnavailable(OSError):
    """A store does not answer, or refuses; trying again later may help."""


class Damaged(Exception):
    """What a store holds is not what was written to it."""

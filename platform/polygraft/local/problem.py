"""Why the platform cannot be started: one line for people."""


class CannotStart(Exception):
    """Something stands against a start; the message says what, and what to do."""

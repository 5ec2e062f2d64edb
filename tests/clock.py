"""A clock that tests set: decisions over minutes are taken at once."""

from django.utils import timezone


class Clock:
    """The time that decisions are taken by."""

    def __init__(self) -> None:
        self.now = timezone.now().timestamp()

    def time(self) -> float:
        return self.now

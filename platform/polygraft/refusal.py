"""A service's refusal that is nobody's wrong field: it has a status and a code of its own on the management API."""

from django.core.exceptions import ValidationError


class Refusal(ValidationError):
    """What was asked for is well-formed, and refused as things stand; its one message is for people."""

    status = 409
    problem_code = "conflict"

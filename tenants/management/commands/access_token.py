"""Prints a bearer token for the management API."""

from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import AuthToken

from tenants.audit import audit_record
from tenants.models import User


class Command(BaseCommand):
    """`manage.py access_token USERNAME`."""

    help = "Make a bearer token for the management API, with the rights of a person. It is shown only now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Who the token stands for."""
        parser.add_argument("username")

    def handle(self, username: str, **options: object) -> None:
        """Make and print the token."""
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active person called {username}.")
        _, token = AuthToken.objects.create(user)
        audit_record(action="access_token.create", target=username, by=None)
        self.stdout.write(token)

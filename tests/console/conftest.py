"""What tests of the console have: browsers in which somebody of the cast is signed in."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.test.client import ClientHandler

from cast import Cast

SignIn = Callable[[str], Client]


@pytest.fixture(scope="session")
def handler() -> ClientHandler:
    """One Django for all browsers: loading the middleware lists every static file, which takes a while."""
    return ClientHandler(enforce_csrf_checks=False)


@pytest.fixture
def sign_in(cast: Cast, handler: ClientHandler) -> SignIn:
    """A browser in which this person of the cast is signed in; nobody, for "nobody"."""

    def browser(name: str) -> Client:
        client = Client()
        client.handler = handler
        if (user := cast.people[name]) is not None:
            client.force_login(user)
        return client

    return browser

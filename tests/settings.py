"""The platform's settings, with what only tests want otherwise."""

from polygraft.settings import *  # noqa: F403  # Django's own way of deriving settings

# No `collectstatic` has run: files are served from where they lie.
SERVESTATIC_USE_FINDERS = True
# Hashing slowly is for attackers, not for tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

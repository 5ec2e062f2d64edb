"""The platform's settings, with what only tests want otherwise."""

from polygraft.settings import *  # noqa: F403  # Django's own way of deriving settings
from polygraft.settings import DATABASES, conf
from polygraft.settings import MIDDLEWARE as USUAL

# A file like that of a platform, not Django's usual database in memory: the threads of a test share the latter's
# cache, and one that meets another's lock there fails at once instead of waiting its turn.
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["TEST"] = {"NAME": conf.home / "tests.sqlite3"}

# No `collectstatic` has run: files are served from where they lie.
SERVESTATIC_USE_FINDERS = True
MIDDLEWARE = [name.replace("servestatic.middleware.ServeStaticMiddleware", "static_files.ListedOnce") for name in USUAL]
# Hashing slowly is for attackers, not for tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""Django's settings, derived from `polygraft.conf`."""

from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from polygraft.conf import ROOT, config
from polygraft.logs import logging_config

conf = config()
conf.home.mkdir(parents=True, exist_ok=True)

SECRET_KEY = conf.resolved_secret_key
DEBUG = conf.debug
ALLOWED_HOSTS = conf.allowed_hosts
CSRF_TRUSTED_ORIGINS = [conf.public_url] if conf.public_url else []

INSTALLED_APPS = [
    "servestatic.runserver_nostatic",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "tenants",
    "serving",
    "polygraft",
]

MIDDLEWARE = [
    "polygraft.middleware.request_id_middleware",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "polygraft.middleware.sign_in_required_middleware",
]

ROOT_URLCONF = "polygraft.urls"
ASGI_APPLICATION = "polygraft.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "polygraft.console.navigation",
            ],
        },
    }
]

DATABASES = {"default": dj_database_url.parse(conf.resolved_database_url, conn_max_age=60)}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        # Several processes share the file: write-ahead logging lets readers go on beside the one writer, and
        # taking the write lock at the start of a transaction turns deadlocks into short waits.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": conf.redis_url,
        "KEY_PREFIX": "polygraft:cache",
    }
}

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
ACCOUNT_ADAPTER = "tenants.sign_in.ClosedSignUp"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = conf.https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if conf.https else None
SECURE_HSTS_SECONDS = 31_536_000 if conf.https else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

FILE_UPLOAD_TEMP_DIR = str(conf.home / "tmp")
(conf.home / "tmp").mkdir(exist_ok=True)
# Files go to disk at once and are then renamed into staging, never copied through memory.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
DATA_UPLOAD_MAX_NUMBER_FILES = 100

STATIC_URL = "static/"
STATIC_ROOT = conf.home / "static"
# Of the npm packages, only the folders that pages load from.
_PACKAGES = {
    "tabler/css": "@tabler/core/dist/css",
    "htmx": "htmx.org/dist",
    "tus": "tus-js-client/dist",
    "inter": "@fontsource-variable/inter/files",
}
STATICFILES_DIRS = [
    ROOT / "static",
    *(
        (f"vendor/{name}", ROOT / "node_modules" / folder)
        for name, folder in _PACKAGES.items()
        if (ROOT / "node_modules" / folder).is_dir()
    ),
]
SERVESTATIC_USE_FINDERS = DEBUG
# Names carry no hash, so that a browser asks again soon after an upgrade; unchanged files answer 304.
SERVESTATIC_MAX_AGE = 60
_STORE: dict[str, Any] = {
    "BACKEND": "serving.adapters.store.folder_storage.FolderStorage",
    "OPTIONS": {"location": conf.home / "store" / "adapters"},
}
if conf.store_bucket is not None:
    _STORE = {"BACKEND": "serving.adapters.store.bucket_storage.BucketStorage", "OPTIONS": {"place": conf.store_bucket}}
STORAGES = {
    "adapters": _STORE,
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedStaticFilesStorage"},
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "polygraft.api.parsers.BoundedJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "polygraft.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
        "rest_framework.filters.OrderingFilter",
    ],
    "EXCEPTION_HANDLER": "polygraft.api.problems.problem_response",
    "PAGE_SIZE": 50,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": None, "TOKEN_PREFIX": "pgt_"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Polygraft management API",
    "DESCRIPTION": "Departments, keys, adapters, deployments and usage. Inference lives under /v1.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LOGGING_CONFIG = None
logging_config(conf.log_format, conf.log_level)

"""How the platform is put together: settings, URLs, ASGI, Celery."""

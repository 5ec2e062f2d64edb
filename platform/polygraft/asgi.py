"""The ASGI application: inference goes to the gateway, everything else to Django."""

import os
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polygraft.settings")

from django.core.asgi import get_asgi_application  # settings come first

django_application = get_asgi_application()

from polygraft.asgi_types import Application, Receive, Scope, Send  # noqa: E402  # these need Django to be set up
from polygraft.body_limit import BodyLimit  # noqa: E402
from polygraft.conf import config  # noqa: E402
from serving.gateway.app import gateway  # noqa: E402
from serving.uploads.lifecycle import arriving_path  # noqa: E402
from serving.uploads.room import RoomFirst  # noqa: E402
from serving.uploads.stream import UploadStream  # noqa: E402

console = UploadStream(
    RoomFirst(
        BodyLimit(
            cast(Application, django_application),
            max_upload=config().max_upload_bytes,
            max_other=config().max_request_bytes,
        )
    ),
    path_of=arriving_path,
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch one connection."""
    if scope["type"] == "websocket":
        # Nothing here speaks it; closed before it is accepted, it is refused with 403.
        await send({"type": "websocket.close"})
    # `/tokenize` lies outside of /v1, as vLLM has it.
    elif scope["type"] == "lifespan" or (path := scope.get("path", "")).startswith("/v1/") or path == "/tokenize":
        await gateway(scope, receive, send)
    else:
        await console(scope, receive, send)

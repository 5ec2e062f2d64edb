"""Uploads that come in pieces and go on after a lost connection, by the tus protocol."""

import contextlib
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from polygraft.api.problems import Conflict
from polygraft.conf import config
from serving.api.serializers import UploadStateSerializer
from serving.models import Upload
from serving.uploads import tus
from serving.uploads.arriving_file import ArrivingFile, Busy
from serving.uploads.lifecycle import KEPT, upload_create, upload_delete, upload_offset, upload_path
from tenants.access import Right
from tenants.api.scoping import DepartmentView

_VERSION = OpenApiParameter("Tus-Resumable", OpenApiTypes.STR, OpenApiParameter.HEADER, description="1.0.0")
_LENGTH = OpenApiParameter("Upload-Length", OpenApiTypes.INT, OpenApiParameter.HEADER, required=True)
_OFFSET = OpenApiParameter("Upload-Offset", OpenApiTypes.INT, OpenApiParameter.HEADER, required=True)
_METADATA = OpenApiParameter(
    "Upload-Metadata", OpenApiTypes.STR, OpenApiParameter.HEADER, description="`filename` and its value in Base64."
)


class UnknownVersion(APIException):
    """A client that speaks another version of the protocol."""

    status_code = 412
    default_code = "tus_version"
    default_detail = f"Tus-Resumable must be {tus.VERSION}."


class WrongContentType(APIException):
    """A piece that is not sent as one."""

    status_code = 415
    default_code = "unsupported_media_type"
    default_detail = f"A piece of an upload has the content type {tus.CONTENT_TYPE}."


class Locked(APIException):
    """Another request is sending a piece of this upload."""

    status_code = 423
    default_code = "locked"
    default_detail = "Another request is sending this upload. Ask for its offset in a moment, and go on from there."


class _TusView(DepartmentView):
    """Speaks tus: its version is checked on the way in and told on the way out."""

    def initial(self, request, *args, **kwargs):  # type: ignore[no-untyped-def]  # DRF's own signature
        """Check the protocol's version after the rights."""
        super().initial(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        if request.method not in ("GET", "OPTIONS") and request.headers.get("Tus-Resumable") != tus.VERSION:
            raise UnknownVersion

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell the protocol's version."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = tus.VERSION
        if request.method == "OPTIONS" or response.status_code == UnknownVersion.status_code:
            response["Tus-Version"] = tus.VERSION
            response["Tus-Extension"] = tus.EXTENSIONS
            response["Tus-Max-Size"] = str(config().max_upload_bytes)
        return response


class UploadList(_TusView, generics.ListAPIView[Upload]):
    """A department's unfinished uploads; new ones are posted here."""

    rights = {"GET": Right.ADAPTERS_MANAGE, "POST": Right.ADAPTERS_MANAGE}
    serializer_class = UploadStateSerializer
    search_fields = ["file_name"]
    ordering_fields = ["created_at", "size_bytes"]

    def get_queryset(self) -> QuerySet[Upload]:
        """Those of the department in the URL."""
        return Upload.objects.filter(department=self.department)

    @extend_schema(parameters=[_VERSION, _LENGTH, _METADATA], request=None, responses={201: None})
    def post(self, request: Request, slug: str) -> Response:
        """Begin an upload; the answer's Location is where its pieces go."""
        size = tus.number(request.headers, "Upload-Length")
        if size is None:
            raise ValidationError({"Upload-Length": "Say how many bytes the file has."})
        try:
            about = tus.metadata(request.headers.get("Upload-Metadata", ""))
        except ValueError as error:
            raise ValidationError({"Upload-Metadata": str(error)}) from error
        if "filename" not in about:
            raise ValidationError({"Upload-Metadata": "Say what the file is called, as `filename`."})
        upload = upload_create(department=self.department, file_name=about["filename"], size_bytes=size, by=self.person)
        # Relative: only the client knows by which scheme and name it came.
        location = f"/api/v1/departments/{slug}/uploads/{upload.pk}"
        headers = {"Location": location, "Upload-Expires": _expires(upload_path(upload))}
        return Response(status=status.HTTP_201_CREATED, headers=headers)


class UploadDetail(_TusView):
    """One upload."""

    rights = {
        "HEAD": Right.ADAPTERS_MANAGE,
        "PATCH": Right.ADAPTERS_MANAGE,
        "DELETE": Right.ADAPTERS_MANAGE,
    }
    http_method_names = ["head", "patch", "delete", "options"]

    @extend_schema(parameters=[_VERSION], responses={200: None})
    def head(self, request: Request, slug: str, pk: uuid.UUID) -> Response:
        """How far it has come, as Upload-Offset."""
        return self._state(self._upload(pk), status.HTTP_200_OK)

    @extend_schema(
        parameters=[_VERSION, _OFFSET],
        request={tus.CONTENT_TYPE: OpenApiTypes.BINARY},
        responses={204: None},
    )
    def patch(self, request: Request, slug: str, pk: uuid.UUID) -> Response:
        """Take the next piece, which begins at Upload-Offset."""
        upload = self._upload(pk)
        if request.content_type != tus.CONTENT_TYPE:
            raise WrongContentType
        try:
            with ArrivingFile(upload_path(upload)) as file:
                offset = file.offset
                if tus.number(request.headers, "Upload-Offset") != offset:
                    raise Conflict(
                        f"The next byte of {upload.file_name} is number {offset}; ask for the offset by HEAD."
                    )
                piece = request.body
                if offset + len(piece) > upload.size_bytes:
                    raise ValidationError({"Upload-Length": f"{upload.file_name} has {upload.size_bytes} bytes only."})
                file.append(piece)
        except Busy:
            raise Locked from None
        return self._state(upload, status.HTTP_204_NO_CONTENT)

    @extend_schema(parameters=[_VERSION], responses={204: None})
    def delete(self, request: Request, slug: str, pk: uuid.UUID) -> Response:
        """Give it up: what has arrived is deleted."""
        upload_delete(self._upload(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _upload(self, pk: uuid.UUID) -> Upload:
        return get_object_or_404(Upload, department=self.department, pk=pk)

    def _state(self, upload: Upload, code: int) -> Response:
        headers = {
            "Upload-Offset": str(upload_offset(upload)),
            "Upload-Length": str(upload.size_bytes),
            "Upload-Expires": _expires(upload_path(upload)),
            "Cache-Control": "no-store",
        }
        return Response(status=code, headers=headers)


def _expires(path: Path) -> str:
    last = timezone.now()
    with contextlib.suppress(FileNotFoundError):
        last = datetime.fromtimestamp(path.stat().st_mtime, tz=last.tzinfo)
    return http_date((last + timedelta(seconds=KEPT.total_seconds())).timestamp())

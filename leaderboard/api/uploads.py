"""Resumable uploads: tus 1.0 with creation, checksum, expiration and termination (tus.io/protocols/resumable-upload)."""

import base64
import binascii
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.http import http_date
from rest_framework.exceptions import APIException, UnsupportedMediaType
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from leaderboard.actions import uploads
from leaderboard.actions.refusals import InvalidInput
from leaderboard.models import Phase, Upload

from .parsers import digests_of
from .scopes import SUBMITTING, check_organiser, check_within
from .throttles import Uploads

VERSION = "1.0.0"
EXTENSIONS = "creation,checksum,expiration,termination"
BODY = "application/offset+octet-stream"


class WrongVersion(APIException):
    status_code = 412
    default_code = "wrong_tus_version"
    default_detail = f"Send `Tus-Resumable: {VERSION}`."


class TusView(APIView):
    """What the protocol asks of every request and answer."""

    schema = None  # the protocol describes it; the schema's introduction says how to use it here
    permission_classes = [IsAuthenticated]
    needs = dict.fromkeys(("post", "head", "get", "patch", "delete"), SUBMITTING)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and (method := request.headers.get("X-HTTP-Method-Override")):
            request.method = method.upper()
        return super().dispatch(request, *args, **kwargs)

    def get_permissions(self) -> Any:
        return [AllowAny()] if self.request.method == "OPTIONS" else super().get_permissions()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise WrongVersion

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = VERSION
        response["Tus-Version"] = VERSION
        response["Cache-Control"] = "no-store"
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        headers = {
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.MAX_UPLOAD_BYTES),
            "Tus-Checksum-Algorithm": ",".join(uploads.ALGORITHMS),
        }
        return Response(status=204, headers=headers)


class UploadsView(TusView):
    def get_throttles(self) -> Any:
        return [*super().get_throttles(), *([Uploads()] if self.request.method == "POST" else [])]

    def post(self, request: Request) -> Response:
        """Begin an upload. Upload-Metadata: `phase` (id), `filename` and, if it is to be compared, `sha256`."""
        if "Upload-Defer-Length" in request.headers:
            raise InvalidInput("Upload-Defer-Length is not supported. Send Upload-Length.")
        header = request.headers.get("Upload-Metadata", "")
        metadata = parse_metadata(header)
        phase = find_phase(request.user, metadata.get("phase", ""))
        check_within(request.auth, phase)
        check_organiser(request.auth, phase.competition)
        upload = uploads.begin(
            request.user,
            phase,
            length=number(request, "Upload-Length"),
            name=metadata.get("filename", ""),
            sha256=metadata.get("sha256", "").lower(),
            metadata=header,
        )
        address = request.build_absolute_uri(reverse("api:upload", args=[upload.pk]))
        return Response(status=201, headers={"Location": address, **state_of(upload)})


class UploadView(TusView):
    def find(self, pk: UUID) -> Upload:
        found = uploads.find(self.request.user, str(pk))
        check_within(self.request.auth, found)
        return found

    def head(self, request: Request, pk: UUID) -> Response:
        upload = self.find(pk)
        headers = {"Upload-Length": str(upload.length), **state_of(upload)}
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return Response(status=200, headers=headers)

    def patch(self, request: Request, pk: UUID) -> Response:
        if request.content_type != BODY:
            raise UnsupportedMediaType(request.content_type, f"Send the bytes as Content-Type: {BODY}.")
        offset = number(request, "Upload-Offset")
        header = request.headers.get("Upload-Checksum")
        checksum = None if header is None else uploads.Checksum.parse(header)
        if checksum is None and (digests := digests_of(request.headers.get("Content-Digest", ""))):
            checksum = uploads.Checksum(*next(iter(digests.items())))
        upload = uploads.append(self.find(pk), offset, request._request, checksum)
        return Response(status=204, headers=state_of(upload))

    def delete(self, request: Request, pk: UUID) -> Response:
        uploads.give_up(self.find(pk))
        return Response(status=204)


def state_of(upload: Upload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset)}
    if upload.submission_id is None:
        headers["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return headers


def number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidInput(f"{header}: send a number of bytes.")
    return int(text)


def parse_metadata(header: str) -> dict[str, str]:
    """Upload-Metadata as texts. Raises InvalidInput unless it is comma-separated names, each with a base64 value."""
    found = {}
    for pair in filter(None, (each.strip() for each in header.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"Upload-Metadata: the value of {name} is not a text in base64.") from error
    return found


def find_phase(user: Any, number: str) -> Phase:
    """The phase with this id, if the person can see it. Raises InvalidInput."""
    known = number.isascii() and number.isdecimal() and len(number) <= 18
    phase = Phase.objects.visible_to(user).with_labels().filter(pk=int(number)).first() if known else None
    if phase is None:
        raise InvalidInput("Upload-Metadata: send the id of a phase that you can see as `phase`.")
    return phase

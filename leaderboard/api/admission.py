"""What the headers of a request decide, so that a server can refuse it before it takes the body.

`manage.py serve` asks `refusal_of` itself. nginx, which takes whole bodies before it passes a request on, asks the view:
`auth_request` in deploy/nginx.conf.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from evaluation.archive.problems import too_large
from leaderboard.models import ApiToken

from .authentication import TOKEN
from .errors import TooLarge, of_api_exception, problem
from .parsers import FIELDS_BYTES, whole_number
from .scopes import NOTHING, check_need, need_at


@dataclass(frozen=True)
class Incoming:
    """A request of which only the headers have come; ``length``: of its body, 0 if unknown."""

    method: str
    path: str
    authorization: str
    has_session: bool
    length: int


@dataclass
class Refused:
    """The answer to a request that needs no body to be refused."""

    status: int
    members: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> str:
        return json.dumps(problem(self.status, self.members))


def refusal_of(incoming: Incoming, *, asks_database: bool = True) -> Refused | None:
    """Why a request is refused, whatever its body: too large, no valid token, or a token without the scope.

    Without ``asks_database``, only what the headers alone tell.
    """
    try:
        if incoming.length > settings.MAX_UPLOAD_BYTES + FIELDS_BYTES:
            raise TooLarge(too_large(incoming.length, settings.MAX_UPLOAD_BYTES).message)
        if not incoming.authorization:
            if not incoming.has_session:
                raise NotAuthenticated
            return None
        kind, _, text = incoming.authorization.partition(" ")
        if kind.lower() == "bearer":
            check_token(text.strip(), incoming, asks_database)
    except APIException as error:
        return Refused(*of_api_exception(error))
    return None


def check_token(text: str, incoming: Incoming, asks_database: bool) -> None:
    """Raises AuthenticationFailed or InsufficientScope. Changes nothing, and so never waits for a lock."""
    if not TOKEN.fullmatch(text.encode("latin-1", "replace")):
        raise AuthenticationFailed
    if not asks_database:
        return
    tokens = ApiToken.objects.valid(timezone.now()).select_related("competition")
    token = tokens.filter(digest=hash_token(text), user__is_active=True).first()
    if token is None:
        raise AuthenticationFailed
    if need := need_at(incoming.path, incoming.method):
        check_need(token, need)


class AdmissionView(APIView):
    """Asked by a proxy about the request that the `X-Original-` headers describe: 204, or the refusal in `X-Refusal`.

    `auth_request` knows no other refusals than 401 and 403; the true status is in `X-Refusal-Status`.
    """

    schema = None
    needs = {"get": NOTHING}
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def get(self, request: Request) -> Response:
        said = request.headers
        refused = refusal_of(
            Incoming(
                method=said.get("X-Original-Method", "GET"),
                path=said.get("X-Original-URI", "").partition("?")[0],
                authorization=said.get("Authorization", ""),
                has_session=bool(said.get("Cookie")),
                length=whole_number(said.get("X-Original-Length", "")),
            )
        )
        if refused is None:
            return Response(status=204)
        headers = {"X-Refusal": refused.body, "X-Refusal-Status": str(int(refused.status))}
        if refused.status == HTTPStatus.UNAUTHORIZED:
            return Response(status=401, headers={**headers, **refused.headers})
        challenge = refused.headers.get("WWW-Authenticate", "")
        return Response(status=403, headers={**headers, "X-Refusal-Challenge": challenge})

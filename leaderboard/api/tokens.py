"""API tokens."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.authentication import SessionAuthentication
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import accounts
from leaderboard.actions.refusals import NotAllowed
from leaderboard.models import ApiToken

from .base import ViewSet
from .schema import problems
from .scopes import ACCOUNT, NOTHING, check_need
from .serializers.accounts import CreatedTokenSerializer, NewTokenSerializer, TokenSerializer


@extend_schema_view(
    list=extend_schema(summary="My tokens", responses=problems(401, ok=TokenSerializer(many=True)))
)
class TokenViewSet(ListModelMixin, ViewSet):
    """The tokens of your account. Only digests are stored: a token is shown only once, when it is created."""

    serializer_class = TokenSerializer
    permission_classes = [IsAuthenticated]
    queryset = ApiToken.objects.none()
    needs = {"list": ACCOUNT, "create": NOTHING, "destroy": NOTHING}
    lookup_field = "token_key"
    lookup_url_kwarg = "prefix"
    lookup_value_converter = "slug"

    def get_queryset(self) -> Any:
        return ApiToken.objects.filter(user=self.request.user).order_by("-created")

    @extend_schema(
        summary="Create a token",
        request=NewTokenSerializer,
        responses=problems(400, 401, 403, 409, status=201, ok=CreatedTokenSerializer),
    )
    def create(self, request: Request) -> Response:
        """Only from a browser session: a token cannot create tokens, so revoking a stolen one ends its access."""
        if not isinstance(request.successful_authenticator, SessionAuthentication):
            raise NotAllowed("A token cannot create tokens. Log in on the site, then create it there.")
        asked = self.body(NewTokenSerializer)
        token, text = accounts.create_token(request.user, asked.pop("name"), asked.pop("scopes"), **asked)
        return Response({**self.get_serializer(token).data, "token": text}, 201)

    @extend_schema(summary="Revoke a token", responses=problems(401, 404, status=204))
    def destroy(self, request: Request, prefix: str) -> Response:
        """The token stops working. Any token may revoke itself; one with all scopes, the other tokens of its account."""
        token = self.get_object()
        if token != request.auth:
            check_need(request.auth, ACCOUNT)
        accounts.revoke_token(request.user, token.digest)
        return Response(status=204)

"""The caller's own account."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import accounts
from leaderboard.export.personal_data import personal_data

from .base import ViewSet
from .schema import problems
from .scopes import ACCOUNT
from .serializers.accounts import PasswordSerializer
from .throttles import Passwords


class AccountViewSet(ViewSet):
    """Your account: download your personal data, or delete the account."""

    permission_classes = [IsAuthenticated]
    serializer_class = PasswordSerializer
    needs = {"list": ACCOUNT, "delete_account": ACCOUNT}

    def get_throttles(self) -> Any:
        return [*super().get_throttles(), *([Passwords()] if self.action == "delete_account" else [])]

    @extend_schema(summary="My personal data", responses=problems(401, ok=OpenApiTypes.OBJECT))
    def list(self, request: Request) -> Response:
        """Everything the server stores about you: account, teams, invitations, submissions, tokens."""
        data = personal_data(request.user, self.viewpoint.now)
        return Response(data, headers={"Content-Disposition": 'attachment; filename="personal-data.json"'})

    @extend_schema(
        summary="Delete my account",
        request=PasswordSerializer,
        responses=problems(400, 401, 409, 429, status=204),
    )
    @action(detail=False, methods=["post"], url_path="delete")
    def delete_account(self, request: Request) -> Response:
        """Permanent. Results stay with the team, without your name; tokens, memberships and addresses are deleted."""
        accounts.delete_account(request.user, **self.body(PasswordSerializer))
        return Response(status=204)

"""The caller's own account."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import accounts, notices
from leaderboard.export.personal_data import personal_data
from leaderboard.models import NoticeChoice, NoticeKind
from leaderboard.models.notices import OFF_BY_DEFAULT

from .base import ViewSet
from .schema import problems
from .scopes import ACCOUNT, READING
from .serializers.accounts import NotificationsSerializer, PasswordSerializer
from .serializers.documents import PersonalDataSerializer
from .throttles import Passwords

CHOSEN = OpenApiExample(
    "defaults",
    value={kind.value: kind not in OFF_BY_DEFAULT for kind in NoticeKind},
    response_only=True,
)
CHANGED = OpenApiExample("change", value={"scored": True, "overtaken": False}, request_only=True)


class AccountViewSet(ViewSet):
    """Your account: download your personal data, or delete the account."""

    permission_classes = [IsAuthenticated]
    serializer_class = PasswordSerializer
    needs = {
        **dict.fromkeys(("list", "delete_account", "choose_notifications"), ACCOUNT),
        "notifications": READING,
    }

    def get_throttles(self) -> Any:
        return [*super().get_throttles(), *([Passwords()] if self.action == "delete_account" else [])]

    @extend_schema(summary="My personal data", responses=problems(401, ok=PersonalDataSerializer))
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

    @extend_schema(
        summary="Which mails I get", responses=problems(401, ok=NotificationsSerializer), examples=[CHOSEN]
    )
    @action(detail=False)
    def notifications(self, request: Request) -> Response:
        """Each kind of mail that can be switched off, and whether you get it. Mails about your account always come."""
        return Response(NoticeChoice.objects.of(request.user))

    @extend_schema(
        summary="Choose which mails I get",
        request=NotificationsSerializer,
        responses=problems(400, 401, ok=NotificationsSerializer),
        examples=[CHOSEN, CHANGED],
    )
    @notifications.mapping.patch
    def choose_notifications(self, request: Request) -> Response:
        """Kinds that you leave out stay as they are."""
        return Response(notices.choose(request.user, self.body(NotificationsSerializer)))

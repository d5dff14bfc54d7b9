"""The teams of the person who asks."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.models import Team

from .base import ViewSet
from .schema import problems
from .serializers.teams import TeamSerializer


class TeamViewSet(ViewSet):
    """Teams."""

    serializer_class = TeamSerializer
    permission_classes = [IsAuthenticated]
    queryset = Team.objects.none()

    def get_queryset(self) -> Any:
        return Team.objects.of(self.request.user).with_members()

    @extend_schema(summary="My teams", responses=problems(401, ok=TeamSerializer(many=True)))
    @action(detail=False)
    def mine(self, request: Request) -> Response:
        """Your team of each competition: its members, and for each phase what it has used of the quotas.

        `quotas[].may_submit` says whether an upload would be accepted now, so ask before you send a large file.
        """
        return Response(self.get_serializer(self.get_queryset(), many=True).data)

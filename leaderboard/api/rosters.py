"""Join requests, invitations and mergers: list, create and decide."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import rosters, teams
from leaderboard.actions.refusals import (
    AlreadyInTeam,
    Conflict,
    InvalidInput,
    InvitationUnknown,
    NotAllowed,
    OrganisersDoNotCompete,
    RosterLocked,
    TeamFull,
    TooMany,
)
from leaderboard.models import Invitation, JoinRequest, Merger, Team

from .base import ViewSet
from .pagination import Pages
from .schema import problems
from .scopes import MANAGING_TEAMS, SEEING_TEAMS, check_within
from .serializers.rosters import (
    InvitationSerializer,
    InvitationTokenSerializer,
    JoinRequestSerializer,
    MadeInvitationSerializer,
    MergerSerializer,
    NewInvitationSerializer,
    NewJoinRequestSerializer,
    NewMergerSerializer,
    OpenSerializer,
)
from .serializers.teams import TeamSerializer

MAY_NOT_JOIN = (RosterLocked, OrganisersDoNotCompete, AlreadyInTeam, TeamFull, Conflict)


class RosterViewSet(ListModelMixin, ViewSet):
    """Only rows that concern the caller; all others are 404."""

    permission_classes = [IsAuthenticated]
    pagination_class = Pages
    needs = {
        "list": SEEING_TEAMS,
        **dict.fromkeys(("create", "accept", "decline", "withdraw", "destroy"), MANAGING_TEAMS),
    }
    lookup_value_converter = "int"


@extend_schema_view(
    list=extend_schema(
        summary="Requests to join",
        responses=problems(400, 401, 404, ok=JoinRequestSerializer(many=True)),
    )
)
class JoinRequestViewSet(RosterViewSet):
    """Requests that you have made, and requests to teams that you own; newest first."""

    serializer_class = JoinRequestSerializer
    queries = {"list": OpenSerializer}
    queryset = JoinRequest.objects.none()

    def get_queryset(self) -> Any:
        rows = JoinRequest.objects.visible_to(self.request.user).select_related("team__competition", "user")
        if self.detail:
            return rows
        asked = self.query()
        rows = rows.filter(team=asked["team"]) if "team" in asked else rows
        return rows if asked["open"] is None else rows.filter(decided_at__isnull=asked["open"])

    @extend_schema(
        summary="Ask to join a team",
        request=NewJoinRequestSerializer,
        responses=problems(
            InvalidInput,
            401,
            RosterLocked,
            OrganisersDoNotCompete,
            AlreadyInTeam,
            Conflict,
            TooMany,
            status=201,
            ok=JoinRequestSerializer,
        ),
    )
    def create(self, request: Request) -> Response:
        """The owners are notified by email and decide."""
        asked = rosters.ask_to_join(request.user, **self.body(NewJoinRequestSerializer))
        return Response(self.get_serializer(asked).data, 201)

    @extend_schema(
        summary="Accept the request",
        request=None,
        responses=problems(401, NotAllowed, 404, *MAY_NOT_JOIN, ok=JoinRequestSerializer),
    )
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: int) -> Response:
        """For owners of the team."""
        return self.decide(True)

    @extend_schema(
        summary="Decline the request",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, ok=JoinRequestSerializer),
    )
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, pk: int) -> Response:
        """For owners of the team. The person may ask again."""
        return self.decide(False)

    def decide(self, accept: bool) -> Response:
        asked = self.get_object()
        rosters.decide_request(self.request.user, asked, accept)
        return Response(self.get_serializer(asked).data)

    @extend_schema(
        summary="Withdraw my request",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, ok=JoinRequestSerializer),
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: int) -> Response:
        """For the person who made it, until it is decided."""
        asked = self.get_object()
        rosters.withdraw_request(request.user, asked)
        return Response(self.get_serializer(asked).data)


@extend_schema_view(
    list=extend_schema(
        summary="Open invitations",
        responses=problems(401, 404, ok=InvitationSerializer(many=True)),
    )
)
class InvitationViewSet(RosterViewSet):
    """Unused invitations to teams that you own. A token is shown only once, when it is created."""

    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()

    def get_queryset(self) -> Any:
        mine = Team.objects.owned_by(self.request.user)
        return Invitation.objects.open().filter(team__in=mine).select_related("team__competition")

    @extend_schema(
        summary="Invite",
        request=NewInvitationSerializer,
        responses=problems(
            400, 401, NotAllowed, RosterLocked, TooMany, status=201, ok=MadeInvitationSerializer
        ),
    )
    def create(self, request: Request) -> Response:
        """Creates a link that lets one person join; with `email`, the link is also sent there."""
        made, token = teams.invite(request.user, **self.body(NewInvitationSerializer))
        shown = {**self.get_serializer(made).data, "token": token, "link": teams.invitation_link(token)}
        return Response(shown, 201)

    @extend_schema(summary="Revoke an invitation", responses=problems(401, NotAllowed, 404, status=204))
    def destroy(self, request: Request, pk: int) -> Response:
        """The link stops working."""
        teams.revoke_invitation(request.user, self.get_object())
        return Response(status=204)

    @extend_schema(
        summary="Accept an invitation",
        request=InvitationTokenSerializer,
        responses=problems(400, 401, InvitationUnknown, *MAY_NOT_JOIN, ok=TeamSerializer),
    )
    @action(detail=False, methods=["post"])
    def accept(self, request: Request) -> Response:
        """Join the team that the token belongs to. A token works for one person, once."""
        token = self.body(InvitationTokenSerializer)["token"]
        check_within(request.auth, Invitation.objects.with_token(token).first())
        joined = teams.accept_invitation(request.user, token)
        mine = Team.objects.of(request.user).with_members().get(pk=joined.pk)
        return Response(TeamSerializer(mine, context=self.get_serializer_context()).data)


@extend_schema_view(
    list=extend_schema(
        summary="Offers to merge",
        responses=problems(400, 401, 404, ok=MergerSerializer(many=True)),
    )
)
class MergerViewSet(RosterViewSet):
    """Offers that your teams have made or received, newest first; for owners.

    Once accepted, `other` becomes part of `team`: its members, submissions and used attempts move there.
    """

    serializer_class = MergerSerializer
    queries = {"list": OpenSerializer}
    queryset = Merger.objects.none()

    def get_queryset(self) -> Any:
        rows = Merger.objects.visible_to(self.request.user)
        rows = rows.select_related("team__competition", "other__competition")
        if self.detail:
            return rows
        asked = self.query()
        rows = rows.about(asked["team"]) if "team" in asked else rows
        return rows if asked["open"] is None else rows.filter(decided_at__isnull=asked["open"])

    @extend_schema(
        summary="Propose a merger",
        request=NewMergerSerializer,
        responses=problems(
            InvalidInput, 401, NotAllowed, RosterLocked, Conflict, TooMany, status=201, ok=MergerSerializer
        ),
    )
    def create(self, request: Request) -> Response:
        """`other` would become part of your team; its owners are notified by email and decide."""
        offered = rosters.propose_merger(request.user, **self.body(NewMergerSerializer))
        return Response(self.get_serializer(offered).data, 201)

    @extend_schema(
        summary="Accept a merger",
        request=None,
        responses=problems(401, NotAllowed, RosterLocked, 404, Conflict, TeamFull, ok=MergerSerializer),
    )
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: int) -> Response:
        """For owners of `other`, which ceases to exist. The quota usage of both teams adds up."""
        return self.decide(True)

    @extend_schema(
        summary="Decline a merger",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, ok=MergerSerializer),
    )
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, pk: int) -> Response:
        """For owners of `other`."""
        return self.decide(False)

    def decide(self, accept: bool) -> Response:
        offered = self.get_object()
        rosters.decide_merger(self.request.user, offered, accept)
        return Response(self.get_serializer(offered).data)

    @extend_schema(
        summary="Withdraw my offer",
        request=None,
        responses=problems(401, NotAllowed, 404, Conflict, ok=MergerSerializer),
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: int) -> Response:
        """For owners of `team`, until it is decided."""
        offered = self.get_object()
        rosters.withdraw_merger(request.user, offered)
        return Response(self.get_serializer(offered).data)

"""Teams: everybody's by name; your own with members, quotas, method description and eligibility."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import descriptions, teams
from leaderboard.actions.refusals import (
    AlreadyInTeam,
    InvalidInput,
    NameTaken,
    NotAllowed,
    OrganisersDoNotCompete,
    RosterLocked,
)
from leaderboard.models import Competition, MethodDescription, Team, User
from leaderboard.reporting.team_pages import public_of

from .base import ViewSet
from .pagination import Pages
from .parsers import DescriptionParser
from .renderers import Download
from .schema import problems
from .scopes import MANAGING_TEAMS, NOTHING, SEEING_TEAMS
from .serializers.histories import TeamHistorySerializer
from .serializers.rosters import (
    MemberNameSerializer,
    NewTeamSerializer,
    TeamChangesSerializer,
    TeamFilterSerializer,
    TeamLine,
    competing,
)
from .serializers.teams import (
    DescriptionSerializer,
    NewDescriptionSerializer,
    OwnMembershipSerializer,
    TeamSerializer,
)
from .throttles import Uploads


@extend_schema_view(
    list=extend_schema(
        summary="All teams",
        description="The competing teams: those that you may ask to join, or to merge with.",
        responses=problems(400, 401, 404, ok=TeamLine(many=True)),
    ),
    retrieve=extend_schema(summary="One of my teams", responses=problems(401, 404, ok=TeamSerializer)),
)
class TeamViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """Your team in a competition: its members, and its quota usage in each phase.

    `quotas[].may_submit` says whether an upload would be accepted now: check it before you send a large file;
    `why_not_eligible` says what is missing before the team can receive an award.
    """

    serializer_class = TeamSerializer
    permission_classes = [IsAuthenticated]
    pagination_class = Pages
    queries = {"list": TeamFilterSerializer}
    orderings = {"id": "pk", "name": "name"}
    queryset = Team.objects.none()
    needs = {
        **dict.fromkeys(("list", "retrieve", "mine", "download"), SEEING_TEAMS),
        **dict.fromkeys(("create", "partial_update", "leave", "hand_in"), MANAGING_TEAMS),
        **dict.fromkeys(("remove_member", "make_owner", "membership"), MANAGING_TEAMS),
        "history": NOTHING,
    }
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        if self.action == "list":
            return competing(self.request.user).filter(**self.chosen())
        return Team.objects.of(self.request.user).with_members()

    def chosen(self) -> dict[str, Any]:
        asked = self.query()
        return {"competition__slug": asked["competition"]} if "competition" in asked else {}

    def get_serializer_class(self) -> Any:
        return TeamLine if self.action == "list" else TeamSerializer

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        self.action = self.action_map.get(request.method.lower(), "")  # get_parsers needs it
        return super().initialize_request(request, *args, **kwargs)

    def get_parsers(self) -> Any:
        return [DescriptionParser()] if self.action == "hand_in" else super().get_parsers()

    def get_renderers(self) -> Any:
        return [Download()] if self.action == "download" else super().get_renderers()

    def get_throttles(self) -> Any:
        return [*super().get_throttles(), *([Uploads()] if self.action == "hand_in" else [])]

    def shown(self, team: Team, status: int = 200) -> Response:
        fresh = get_object_or_404(Team.objects.of(self.request.user).with_members(), pk=team.pk)
        return Response(TeamSerializer(fresh, context=self.get_serializer_context()).data, status)

    @extend_schema(
        summary="Create a team",
        request=NewTeamSerializer,
        responses=problems(
            InvalidInput,
            401,
            RosterLocked,
            OrganisersDoNotCompete,
            AlreadyInTeam,
            NameTaken,
            status=201,
            ok=TeamSerializer,
        ),
    )
    def create(self, request: Request) -> Response:
        """You become its owner. A person can be in only one team per competition."""
        return self.shown(teams.create_team(request.user, **self.body(NewTeamSerializer)), 201)

    @extend_schema(
        summary="Change name or affiliation",
        request=TeamChangesSerializer,
        responses=problems(InvalidInput, 401, NotAllowed, RosterLocked, 404, NameTaken, ok=TeamSerializer),
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """For owners, while the roster is open. Every board shows the change at once."""
        team = self.get_object()
        return self.shown(teams.edit_team(request.user, team, **self.body(TeamChangesSerializer)))

    @extend_schema(summary="My teams", responses=problems(401, ok=TeamSerializer(many=True)))
    @action(detail=False, pagination_class=None)
    def mine(self, request: Request) -> Response:
        """Your team in each competition: its members, and its quota usage in each phase.

        `quotas[].may_submit` says whether an upload would be accepted now: check it before you send a large file.
        """
        return Response(self.get_serializer(self.filter_queryset(self.get_queryset()), many=True).data)

    @extend_schema(
        summary="Leave a team",
        request=None,
        responses=problems(401, NotAllowed, RosterLocked, 404, status=204),
    )
    @action(detail=True, methods=["post"])
    def leave(self, request: Request, pk: int) -> Response:
        """You can no longer see its submissions. The last owner must make another member an owner first."""
        teams.leave(request.user, self.get_object())
        return Response(status=204)

    @extend_schema(
        summary="Remove a member",
        request=MemberNameSerializer,
        responses=problems(400, 401, NotAllowed, RosterLocked, 404, ok=TeamSerializer),
    )
    @action(detail=True, methods=["post"], url_path="remove-member")
    def remove_member(self, request: Request, pk: int) -> Response:
        """For owners. To leave the team yourself, use `leave/`."""
        team = self.get_object()
        teams.remove_member(request.user, team, self.member(team))
        return self.shown(team)

    @extend_schema(
        summary="Make a member an owner",
        request=MemberNameSerializer,
        responses=problems(400, 401, NotAllowed, 404, ok=TeamSerializer),
    )
    @action(detail=True, methods=["post"], url_path="make-owner")
    def make_owner(self, request: Request, pk: int) -> Response:
        """For owners. Owners invite people, decide on requests and mergers, and remove members."""
        team = self.get_object()
        teams.make_owner(request.user, team, self.member(team))
        return self.shown(team)

    @extend_schema(summary="A team's public history", responses=problems(404, ok=TeamHistorySerializer))
    @action(detail=True, permission_classes=[AllowAny])
    def history(self, request: Request, pk: int) -> Response:
        """Its place on each board that you may see, and the results with which it stood there over time.

        Anybody may read it of a team that stands on a public board; 404 otherwise. A team that became part of another one
        has the history of that one.
        """
        seen = Competition.objects.visible_to(request.user)
        rows = Team.objects.filter(competition__in=seen).select_related(
            "competition", "merged_into__competition"
        )
        team = get_object_or_404(rows, pk=pk)
        team = team.merged_into or team
        phases = list(team.competition.phases.with_labels())
        public = public_of(team, phases, request.user, self.viewpoint.now)
        if public is None:
            raise Http404
        shown = TeamHistorySerializer(team, context={**self.get_serializer_context(), "public": public})
        return Response(shown.data)

    @extend_schema(
        summary="Change my membership",
        request=OwnMembershipSerializer,
        responses=problems(400, 401, 404, ok=TeamSerializer),
    )
    @action(detail=True, methods=["patch"])
    def membership(self, request: Request, pk: int) -> Response:
        """Whether your name may stand on the team's public page. You can change it at any time."""
        team = self.get_object()
        teams.name_in_public(request.user, team, self.body(OwnMembershipSerializer)["is_named"])
        return self.shown(team)

    def member(self, team: Team) -> User:
        name = self.body(MemberNameSerializer)["username"]
        return get_object_or_404(User, username=name, memberships__team=team)

    @extend_schema(
        summary="Download the method description",
        responses={(200, "application/pdf"): OpenApiTypes.BINARY, **problems(401, 404, status=0)},
    )
    @action(detail=True, url_path="description", url_name="description")
    def download(self, request: Request, pk: int) -> HttpResponse:
        """The PDF as it was handed in; 404 if there is none yet."""
        found = MethodDescription.objects.filter(team=self.get_object()).first()
        if found is None:
            raise Http404
        headers = {"Content-Disposition": 'attachment; filename="method.pdf"'}
        return HttpResponse(bytes(found.pdf), content_type="application/pdf", headers=headers)

    @extend_schema(
        summary="Hand in the method description",
        request={"multipart/form-data": NewDescriptionSerializer},
        responses=problems(
            InvalidInput, 401, NotAllowed, RosterLocked, 404, 413, 415, 429, ok=DescriptionSerializer
        ),
    )
    @download.mapping.post
    def hand_in(self, request: Request, pk: int) -> Response:
        """A PDF of one or two pages that names every member. Until the due date, a new upload replaces it."""
        team = self.get_object()
        handed_in = descriptions.hand_in_description(
            request.user, team, **self.body(NewDescriptionSerializer)
        )
        return Response(DescriptionSerializer(handed_in).data)

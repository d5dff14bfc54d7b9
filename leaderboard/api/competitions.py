"""Competitions, their announcements, data files and awards: public."""

from typing import Any

from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import participation
from leaderboard.actions.refusals import Conflict, InvalidInput
from leaderboard.export.data_files import file_response
from leaderboard.models import Announcement, Competition, DataFile, Terms

from .base import ViewSet
from .pagination import Pages
from .renderers import Download
from .schema import problems
from .scopes import MANAGING_TEAMS, NOTHING
from .serializers.awards import WinnersSerializer
from .serializers.competitions import (
    AcceptedVersionSerializer,
    AnnouncementSerializer,
    CompetitionSerializer,
    DataFileSerializer,
    TermsSerializer,
)


@extend_schema_view(
    list=extend_schema(summary="All competitions"),
    retrieve=extend_schema(summary="One competition", responses=problems(404, ok=CompetitionSerializer)),
)
class CompetitionViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """A competition with its phases and pages."""

    serializer_class = CompetitionSerializer
    queryset = Competition.objects.none()
    needs = {
        **dict.fromkeys(("list", "retrieve", "awards", "terms", "data", "download"), NOTHING),
        "accept_terms": MANAGING_TEAMS,
    }
    lookup_field = "slug"
    lookup_value_converter = "slug"

    def get_queryset(self) -> Any:
        return Competition.objects.visible_to(self.request.user).with_phases()

    @extend_schema(summary="The terms in force", responses=problems(404, ok=TermsSerializer))
    @action(detail=True)
    def terms(self, request: Request, slug: str) -> Response:
        """Each participant accepts them before the first submission; a new version asks again. 404: there are none."""
        return self._shown(Terms.objects.in_force(self.get_object()))

    @extend_schema(
        summary="Accept the terms",
        request=AcceptedVersionSerializer,
        responses=problems(InvalidInput, 401, 404, Conflict, ok=TermsSerializer),
    )
    @action(detail=True, methods=["post"], url_path="accept-terms", permission_classes=[IsAuthenticated])
    def accept_terms(self, request: Request, slug: str) -> Response:
        """Names the version that you read, so that nobody accepts one unread: 409 if another is in force by now."""
        asked = self.body(AcceptedVersionSerializer)
        return self._shown(participation.accept_terms(request.user, self.get_object(), **asked))

    def _shown(self, terms: Terms | None) -> Response:
        if terms is None:
            raise Http404
        return Response(TermsSerializer(terms, context=self.get_serializer_context()).data)

    @extend_schema(summary="Winners", responses=problems(404, ok=WinnersSerializer))
    @action(detail=True)
    def awards(self, request: Request, slug: str) -> Response:
        """Awards given and prizes still open. Each award has a certificate, a page to print."""
        competition = self.get_object()
        given = list(competition.awards.select_related("team", "competition"))
        waiting = competition.prizes.exclude(title__in=[award.title for award in given])
        winners = {"awards": given, "waiting": waiting.select_related("phase")}
        return Response(WinnersSerializer(winners, context=self.get_serializer_context()).data)

    def files(self) -> Any:
        return DataFile.objects.for_viewer(self.request.user, self.get_object(), self.viewpoint.now)

    @extend_schema(summary="Data files", responses=problems(404, ok=DataFileSerializer(many=True)))
    @action(detail=True)
    def data(self, request: Request, slug: str) -> Response:
        """Public data to download, in the order of the data page. Files of a phase appear when it opens."""
        files = self.files().select_related("phase", "competition")
        return Response(DataFileSerializer(files, many=True, context=self.get_serializer_context()).data)

    @extend_schema(
        operation_id="competitions_data_download",
        summary="Download a data file",
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            302: None,
            304: None,
            416: None,
            **problems(404, status=0),
        },
    )
    @action(detail=True, url_path="data/<str:name>", url_name="data-file", renderer_classes=[Download])
    def download(self, request: Request, slug: str, name: str) -> HttpResponseBase:
        """The file, or with `Range` a part of it; a redirect (302) where it lies elsewhere. Compare its `sha256`."""
        return file_response(request._request, get_object_or_404(self.files(), name=name))


@extend_schema_view(
    list=extend_schema(
        summary="Announcements", responses=problems(400, 404, ok=AnnouncementSerializer(many=True))
    )
)
class AnnouncementViewSet(ListModelMixin, ViewSet):
    """What the organisers announced to everybody. By default the latest comes first."""

    serializer_class = AnnouncementSerializer
    pagination_class = Pages
    orderings = {"published_at": "publish_at", "id": "pk"}
    queryset = Announcement.objects.none()
    needs = {"list": NOTHING}
    lookup_field = "slug"

    def get_queryset(self) -> Any:
        seen = Competition.objects.visible_to(self.request.user)
        competition = get_object_or_404(seen, slug=self.kwargs["slug"])
        return competition.announcements.public(self.viewpoint.now).select_related("competition")

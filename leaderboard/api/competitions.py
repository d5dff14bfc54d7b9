"""Competitions, their phases and leaderboards: public."""

import hashlib
from typing import Any

from django.http import Http404
from django.utils.cache import get_conditional_response, patch_cache_control, patch_vary_headers
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import participation
from leaderboard.actions.refusals import Conflict, InvalidInput
from leaderboard.models import Competition, Phase, Terms
from leaderboard.reporting.boards import board_of

from .base import ViewSet
from .links import with_links
from .schema import ETAG, problems
from .scopes import MANAGING_TEAMS, NOTHING
from .serializers.awards import WinnersSerializer
from .serializers.boards import BoardSerializer, WindowSerializer
from .serializers.competitions import (
    AcceptedVersionSerializer,
    CompetitionSerializer,
    PhaseSerializer,
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
        **dict.fromkeys(("list", "retrieve", "awards", "terms"), NOTHING),
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


@extend_schema_view(
    list=extend_schema(summary="All phases"),
    retrieve=extend_schema(summary="One phase", responses=problems(404, ok=PhaseSerializer)),
)
class PhaseViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """A phase: its dates, quotas, the scores that you may see, and the masks that an archive must contain."""

    serializer_class = PhaseSerializer
    queries = {"leaderboard": WindowSerializer}
    queryset = Phase.objects.none()
    needs = {"list": NOTHING, "retrieve": NOTHING, "leaderboard": NOTHING}
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        return Phase.objects.visible_to(self.request.user).with_labels()

    @extend_schema(
        summary="The leaderboard",
        parameters=[ETAG],
        responses={304: None, **problems(400, 404, ok=BoardSerializer)},
    )
    @action(detail=True)
    def leaderboard(self, request: Request, pk: int) -> Response:
        """The ranking as you may see it now: one row per team, best first; teams with equal F1 share a rank.

        While a phase hides its board, `hidden` is true and `rows` is empty. Reference entries (the organisers' own)
        and published entries (from papers) are listed separately, without a rank.

        **Polling.** The response has an `ETag` that changes only when the board changes. Send it back in
        `If-None-Match`; while the board is unchanged, you get a 304 without a body. Every five seconds is enough.
        """
        phase, window = self.get_object(), self.query()
        etag = self.etag(phase, window)
        unchanged = get_conditional_response(request._request, etag=etag)
        return with_validator(unchanged or self.board(phase, **window), etag, request)

    def etag(self, phase: Phase, window: dict[str, int]) -> str:
        """Changes with the board's version, with what this viewer may see, and with the texts beside the board."""
        view = self.viewpoint.view(phase)
        texts = (
            phase.competition.data_note,
            phase.labels_public_since,
            phase.accepts_submissions(self.viewpoint.now),
        )
        parts = (
            phase.pk,
            phase.board_version,
            sorted(view.metrics),
            view.board,
            sorted(window.items()),
            texts,
        )
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'

    def board(self, phase: Phase, limit: int, offset: int) -> Response:
        board = board_of(phase, self.request.user, self.viewpoint.now, first=offset, limit=limit)

        def at(start: int) -> str:
            return self.request.build_absolute_uri(f"?offset={start}&limit={limit}")

        links = {
            "first": at(0),
            "prev": at(max(0, offset - limit)) if offset else None,
            "next": at(offset + limit) if offset + limit < board.total else None,
            "last": at(max(0, board.total - 1) // limit * limit),
        }
        context = {**self.get_serializer_context(), "next": links["next"]}
        return with_links(Response(BoardSerializer(board, context=context).data), **links)


def with_validator(response: Any, etag: str, request: Request) -> Any:
    """Add caching headers: shared caches may keep an anonymous board for five seconds."""
    response["ETag"] = etag
    patch_vary_headers(response, ["Authorization", "Cookie"])
    if request.user.is_authenticated:
        patch_cache_control(response, private=True, no_cache=True)
    else:
        patch_cache_control(response, public=True, max_age=5)
    return response

"""Phases and their leaderboards: public."""

import hashlib
from collections.abc import Callable
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control, patch_vary_headers
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from leaderboard.models import Phase
from leaderboard.reporting.board_files import csv_of
from leaderboard.reporting.boards import KEPT_SECONDS, board_of

from .base import ViewSet
from .links import with_links
from .renderers import CSV, OnlyCSV
from .schema import ETAG, problems
from .scopes import NOTHING
from .serializers.boards import BoardSerializer, WindowSerializer
from .serializers.competitions import PhaseSerializer

KEPT_BYTES = 1 << 20


@extend_schema_view(
    list=extend_schema(summary="All phases"),
    retrieve=extend_schema(summary="One phase", responses=problems(404, ok=PhaseSerializer)),
)
class PhaseViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """A phase: its dates, quotas, the scores that you may see, and the masks that an archive must contain."""

    serializer_class = PhaseSerializer
    queries = {"leaderboard": WindowSerializer, "leaderboard_csv": WindowSerializer}
    queryset = Phase.objects.none()
    needs = dict.fromkeys(("list", "retrieve", "leaderboard", "leaderboard_csv"), NOTHING)
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        return Phase.objects.visible_to(self.request.user).with_labels()

    @extend_schema(
        summary="The leaderboard",
        parameters=[ETAG],
        responses={
            (200, "application/json"): BoardSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            304: None,
            **problems(400, 404, status=0),
        },
    )
    @action(detail=True, renderer_classes=[JSONRenderer, CSV])
    def leaderboard(self, request: Request, pk: int) -> Any:
        """The ranking as you may see it now: one row per team, best first; teams with equal F1 share a rank.

        While a phase hides its board, `hidden` is true and `rows` is empty. Reference entries (the organisers' own)
        and published entries (from papers) are listed separately, without a rank.

        **CSV.** With `Accept: text/csv` or `?format=csv`, or at `leaderboard.csv`: one line for each entry, with the kind of
        entry in the column `kind`; all lines unless you send `limit`.

        **Polling.** The response has an `ETag` that changes only when the board changes. Send it back in
        `If-None-Match`; while the board is unchanged, you get a 304 without a body. Every five seconds is enough.
        """
        return self.shown(request)

    @extend_schema(
        operation_id="phases_leaderboard_csv",
        summary="The leaderboard as CSV",
        parameters=[ETAG],
        responses={(200, "text/csv"): OpenApiTypes.STR, 304: None, **problems(400, 404, status=0)},
    )
    def leaderboard_csv(self, request: Request, pk: int) -> Any:
        """The whole board as CSV, one line for each entry, also the reference and published ones."""
        return self.shown(request)

    def shown(self, request: Request) -> Any:
        phase, window = self.get_object(), self.query()
        etag = self.etag(phase, window)
        unchanged = get_conditional_response(request._request, etag=etag)
        made = self.as_csv if request.accepted_renderer.format == CSV.format else self.as_json
        return with_validator(unchanged or self.kept(etag, made, phase, window), etag, request)

    def kept(
        self, etag: str, made: Callable[..., HttpResponse], phase: Phase, window: dict[str, int]
    ) -> HttpResponse:
        """What `made` answers, or answered another asker of this version: the ETag stands for all that the board depends on.

        Only the plain board is kept: with windows and parameters of their own, anyone could fill the cache.
        """
        plain = (JSONRenderer.media_type, CSV.media_type)
        if self.request.query_params or self.request.accepted_media_type not in plain:
            return made(phase, **window)
        key = f"api-board-{etag[1:-1]}-{self.request.build_absolute_uri('/')}"  # the links name the host
        if (found := cache.get(key)) is None:
            answer = made(phase, **window)
            found = answer.content, dict(answer.headers)
            if len(answer.content) <= KEPT_BYTES:
                cache.set(key, found, KEPT_SECONDS)
        content, headers = found
        return HttpResponse(content, headers=headers)

    def get_renderers(self) -> Any:
        return [OnlyCSV()] if self.action == "leaderboard_csv" else super().get_renderers()

    def as_csv(self, phase: Phase, limit: int, offset: int) -> HttpResponse:
        chosen = limit if "limit" in self.request.query_params else None
        board = board_of(phase, self.request.user, self.viewpoint.now, first=offset, limit=chosen)
        name = f"{phase.competition.slug}-{phase.slug}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(csv_of(board), headers=headers, content_type="text/csv; charset=utf-8")

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
            self.request.accepted_renderer.format,
        )
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'

    def as_json(self, phase: Phase, limit: int, offset: int) -> HttpResponse:
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
        shown = BoardSerializer(board, context=context).data
        content = JSONRenderer().render(shown, self.request.accepted_media_type)
        return with_links(HttpResponse(content, content_type="application/json"), **links)


def with_validator(response: Any, etag: str, request: Request) -> Any:
    """Add caching headers: shared caches may keep an anonymous board for five seconds."""
    response["ETag"] = etag
    patch_vary_headers(response, ["Accept", "Authorization", "Cookie"])
    if request.user.is_authenticated:
        patch_cache_control(response, private=True, no_cache=True)
    else:
        patch_cache_control(response, public=True, max_age=5)
    return response

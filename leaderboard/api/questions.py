"""Questions to the organisers: read, ask, answer."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import questions
from leaderboard.actions.refusals import InvalidInput, NotAllowed, QuestionsClosed, TooMany
from leaderboard.models import Question

from .base import ViewSet
from .pagination import Pages
from .schema import problems
from .scopes import MANAGING_TEAMS, ORGANISING, READING
from .serializers.questions import (
    AnswerSerializer,
    NewQuestionSerializer,
    QuestionFilterSerializer,
    QuestionSerializer,
)


@extend_schema_view(
    list=extend_schema(
        summary="Questions and answers",
        responses=problems(400, 404, ok=QuestionSerializer(many=True)),
    ),
    retrieve=extend_schema(summary="One question", responses=problems(404, ok=QuestionSerializer)),
)
class QuestionViewSet(ListModelMixin, RetrieveModelMixin, ViewSet):
    """What was answered publicly, and what you asked; for organisers, all questions. Newest first; texts are plain text."""

    serializer_class = QuestionSerializer
    permission_classes = [IsAuthenticatedOrReadOnly]
    pagination_class = Pages
    queries = {"list": QuestionFilterSerializer}
    queryset = Question.objects.none()
    needs = {"list": READING, "retrieve": READING, "create": MANAGING_TEAMS, "answer": ORGANISING}
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        rows = Question.objects.visible_to(self.request.user).select_related("competition")
        if self.detail:
            return rows
        asked = self.query()
        if "competition" in asked:
            rows = rows.filter(competition__slug=asked["competition"])
        if asked["open"] is not None:
            rows = rows.filter(answered_at__isnull=asked["open"])
        return rows.containing(asked.get("q", ""))

    @extend_schema(
        summary="Ask the organisers",
        request=NewQuestionSerializer,
        responses=problems(InvalidInput, 401, QuestionsClosed, TooMany, status=201, ok=QuestionSerializer),
    )
    def create(self, request: Request) -> Response:
        """The organisers are notified by email; so are you once they answer. Until then only they and you can read it."""
        asked = questions.ask(request.user, **self.body(NewQuestionSerializer))
        return Response(self.get_serializer(asked).data, 201)

    @extend_schema(
        summary="Answer a question",
        request=AnswerSerializer,
        responses=problems(InvalidInput, 401, NotAllowed, 404, ok=QuestionSerializer),
    )
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: int) -> Response:
        """For organisers; a second answer replaces the first. What was asked privately is answered privately."""
        question = self.get_object()
        questions.answer(request.user, question, **self.body(AnswerSerializer))
        return Response(self.get_serializer(question).data)

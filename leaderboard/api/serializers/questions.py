"""Questions and answers."""

from typing import Any

from rest_framework import serializers

from leaderboard.models import Competition, Question

from .fields import ChosenBySlug, SearchText
from .rosters import FromRequest


class QuestionSerializer(serializers.ModelSerializer):
    """Who asked is not public; `mine` says whether it was you."""

    competition: Any = serializers.SlugRelatedField("slug", read_only=True)
    state = serializers.ChoiceField(["open", "answered", "answered privately", "hidden"], read_only=True)
    mine = serializers.SerializerMethodField(help_text="Whether you asked it.")

    class Meta:
        model = Question
        fields = [
            *("id", "competition", "title", "body", "mine", "wants_privacy", "created_at", "state", "answer"),
            *("answered_at", "is_public", "hidden_reason"),
        ]
        read_only_fields = fields

    def get_mine(self, question: Question) -> bool:
        viewer = self.context["viewpoint"].viewer
        return viewer.is_authenticated and question.asked_by_id == viewer.pk


class NewQuestionSerializer(FromRequest, serializers.ModelSerializer):
    competition = ChosenBySlug(slug_field="slug", queryset=Competition.objects.none())

    class Meta:
        model = Question
        fields = ["competition", "title", "body", "wants_privacy"]

    def choices(self, user: Any) -> dict[str, Any]:
        return {"competition": Competition.objects.visible_to(user)}


class AnswerSerializer(serializers.Serializer):
    answer = serializers.CharField(max_length=Question._meta.get_field("answer").max_length)
    public = serializers.BooleanField(help_text="true: everyone reads question and answer.")


class QuestionFilterSerializer(serializers.Serializer):
    """Which questions."""

    competition = serializers.SlugField(required=False, help_text="Only of this competition.")
    q = SearchText(
        required=False, max_length=100, help_text="Only those with each of these words in question or answer."
    )
    open = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="true: only those without an answer."
    )

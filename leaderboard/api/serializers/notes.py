"""A team's note on a submission."""

from typing import Any

from rest_framework import serializers

from leaderboard.models import SubmissionNote
from leaderboard.models.notes import LONGEST_TAG, MOST_TAGS


class NoteSerializer(serializers.ModelSerializer):
    text = serializers.CharField(
        allow_blank=True,
        max_length=2000,
        trim_whitespace=False,
        help_text="The note, at most 2,000 characters.",
    )
    tags = serializers.ListField(
        source="tag_list",
        child=serializers.CharField(max_length=LONGEST_TAG),
        max_length=MOST_TAGS,
        help_text=f"At most {MOST_TAGS} words to find it by, without commas.",
    )
    edited_by: Any = serializers.SlugRelatedField(
        "username",
        read_only=True,
        allow_null=True,
        help_text="Who wrote it last; null: nobody, or an account that is gone.",
    )
    edited_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When; null: there is no note."
    )

    class Meta:
        model = SubmissionNote
        fields = ["text", "tags", "edited_by", "edited_at"]

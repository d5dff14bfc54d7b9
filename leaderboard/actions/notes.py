"""A team's own notes on its submissions."""

from typing import Any

from django.utils import timezone

from leaderboard.models import Submission, SubmissionNote
from leaderboard.models.names import tidy
from leaderboard.models.notes import LONGEST_TAG, MOST_TAGS

from .refusals import InvalidInput, NotAllowed, check_fields


def write_note(user: Any, submission: Submission, text: str, tags: str) -> None:
    """Replace the note and the tags (separated by commas) of a submission; both empty removes them.

    Raises NotAllowed for anybody outside the team, organisers too, and InvalidInput.
    """
    if not submission.team.has_member(user):
        raise NotAllowed("Only members of the team can write notes on its submissions.")
    names = _tags(tags)
    if not text.strip() and not names:
        SubmissionNote.objects.filter(submission=submission).delete()
        return
    note = SubmissionNote(
        submission=submission,
        text=text.strip(),
        tags=SubmissionNote.joined(names),
        edited_by=user,
        edited_at=timezone.now(),
    )
    check_fields(note, "text", "tags")
    SubmissionNote.objects.bulk_create(
        [note],
        update_conflicts=True,
        unique_fields=["submission"],
        update_fields=["text", "tags", "edited_by", "edited_at"],
    )


def _tags(text: str) -> list[str]:
    names = list(dict.fromkeys(tag for part in text.split(",") if (tag := tidy(part))))
    if len(names) > MOST_TAGS:
        raise InvalidInput(f"At most {MOST_TAGS} tags are possible; these are {len(names)}.", field="tags")
    for name in names:
        if len(name) > LONGEST_TAG:
            raise InvalidInput(f"A tag has at most {LONGEST_TAG} characters: {name[:40]}…", field="tags")
    return names

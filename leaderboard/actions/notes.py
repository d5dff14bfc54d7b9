"""A team's own notes on its submissions."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from leaderboard.models import Submission, SubmissionNote
from leaderboard.models.names import tidy
from leaderboard.models.notes import LONGEST_TAG, MOST_TAGS

from .refusals import InvalidInput, NotAllowed, check_fields


def note_of(user: Any, submission: Submission) -> SubmissionNote:
    """The team's note; an empty one without. Raises NotAllowed for anybody outside the team, organisers too."""
    check_member(user, submission)
    found = SubmissionNote.objects.select_related("edited_by").filter(submission=submission).first()
    return found or SubmissionNote(submission=submission)


def check_member(user: Any, submission: Submission) -> None:
    if not submission.team.has_member(user):
        raise NotAllowed("Only members of the team can read and write notes on its submissions.")


def write_note(user: Any, submission: Submission, text: str, tags: Iterable[str]) -> None:
    """Replace the note and the tags of a submission; both empty removes them.

    Raises NotAllowed for anybody outside the team, organisers too, and InvalidInput.
    """
    check_member(user, submission)
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


def _tags(tags: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(name for tag in tags if (name := tidy(tag))))
    if odd := [name for name in names if "," in name]:
        raise InvalidInput(f"A tag cannot contain a comma: {odd[0]}", fields={"tags": ["Leave out commas."]})
    if len(names) > MOST_TAGS:
        raise InvalidInput(
            f"At most {MOST_TAGS} tags are possible; these are {len(names)}.", fields={"tags": ["Too many."]}
        )
    for name in names:
        if len(name) > LONGEST_TAG:
            raise InvalidInput(
                f"A tag has at most {LONGEST_TAG} characters: {name[:40]}…", fields={"tags": ["Too long."]}
            )
    return names

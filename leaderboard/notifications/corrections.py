"""The mail about corrected labels."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from leaderboard.models import LabelSet, NoticeChoice, NoticeKind, Phase, Submission, Team, User

from .events import of_correction
from .letters import Letter, send, written
from .webhooks import call


def write_correction(phase: Phase, label_set: LabelSet, reason: str) -> list[EmailMultiAlternatives]:
    """One mail to each member, who wants it, of the teams that submitted in the phase; no score stands in it."""
    members = User.objects.filter(memberships__team__in=_teams(phase))
    readers = NoticeChoice.objects.readers(NoticeKind.CORRECTION, members).distinct().order_by("pk")
    return written([(letter_of(phase, label_set, reason), readers)])


def send_correction(
    phase: Phase, label_set: LabelSet, reason: str, mails: list[EmailMultiAlternatives]
) -> None:
    """Send the mails and call the webhooks of these teams, in the transaction that corrects."""
    call(of_correction(phase, label_set, reason, _teams(phase).exclude(webhook=None)), timezone.now())
    send(mails)


def _teams(phase: Phase) -> Any:
    submitted = Submission.objects.filter(phase=phase).values("team")
    return Team.objects.filter(pk__in=submitted, is_organisers=False)


def letter_of(phase: Phase, label_set: LabelSet, reason: str) -> Letter:
    page = f"{settings.SITE_URL}/c/{phase.competition.slug}/"
    return Letter(
        NoticeKind.CORRECTION,
        phase.competition,
        f"Labels of {phase.name} were corrected",
        ("See the leaderboard", f"{page}board/{phase.slug}/"),
        paragraphs=(
            f"Version {label_set.version} of the labels of {phase.name} is in force. All submissions are scored on "
            "them; nothing is taken from your quota.",
            f"Why: {reason}",
            f"Boards under earlier labels: {page}labels/{phase.slug}/",
        ),
        reason=f"You get this because your team has submitted in {phase.name}.",
    )

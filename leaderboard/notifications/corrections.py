"""The mail about corrected labels."""

from django.conf import settings
from django.utils import timezone

from leaderboard.models import LabelSet, NoticeChoice, NoticeKind, Phase, Submission, Team, User

from .events import of_correction
from .letters import Letter, post
from .webhooks import call


def post_correction(phase: Phase, label_set: LabelSet, reason: str) -> int:
    """One mail to each member, who wants it, of the teams that submitted in the phase, and a call of their webhooks; no
    score stands in it."""
    submitted = Submission.objects.filter(phase=phase).values("team")
    teams = Team.objects.filter(pk__in=submitted, is_organisers=False)
    members = User.objects.filter(memberships__team__in=teams)
    readers = NoticeChoice.objects.readers(NoticeKind.CORRECTION, members).distinct().order_by("pk")
    call(of_correction(phase, label_set, reason, teams.exclude(webhook=None)), timezone.now())
    return post([(letter_of(phase, label_set, reason), readers)])


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

"""Tell organisers about evaluations that failed by a fault of the server: one mail for one event, with its number."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Max, Min, Q
from django.template.defaultfilters import pluralize

from leaderboard.models import Attempt, Competition, Evaluation
from leaderboard.notifications import mails

SETTLED = timedelta(minutes=1)  # without a further failure: the event is over
LONGEST = timedelta(minutes=15)  # an event that goes on is reported all the same
NAMED = 5  # incidents in a mail


def report_failures(now: datetime) -> int:
    """Mail each competition's organisers about the failures they have not heard of; returns the number of mails."""
    waiting = Evaluation.objects.failed_unreported().order_by()
    events = waiting.values("submission__phase__competition").annotate(
        newest=Max("finished_at"), oldest=Min("finished_at")
    )
    sent = 0
    for event in events:
        if event["newest"] > now - SETTLED and event["oldest"] > now - LONGEST:
            continue
        mine = waiting.filter(submission__phase__competition=event["submission__phase__competition"])
        failed = list(mine.order_by("pk").values_list("pk", "incident"))
        numbers = [number for number, _ in failed]
        if Evaluation.objects.failed_unreported().filter(pk__in=numbers).update(failure_reported_at=now):
            sent += _send(event["submission__phase__competition"], numbers, [name for _, name in failed])
    return sent


def _send(competition_id: int, evaluations: list[int], incidents: list[str]) -> int:
    competition = Competition.objects.get(pk=competition_id)
    addresses = list(competition.organisers.exclude(email="").values_list("email", flat=True))
    if not addresses:
        return 0
    rows = Evaluation.objects.filter(pk__in=evaluations)
    given_back = Q(submission__attempt__state=Attempt.State.GIVEN_BACK)
    fresh = Q(priority=Evaluation.Priority.FRESH)
    lost = Q(problems__0__code="archive_lost")
    found = rows.aggregate(
        given_back=Count("pk", filter=fresh & given_back),
        rescores=Count("pk", filter=~fresh),
        lost=Count("pk", filter=lost),
    )
    restore = (
        f"In {found['lost']:,} of them the stored archive is missing, or not the bytes that were received. Restore these "
        "archives from a backup first (the log names each file and its SHA-256).\n\n"
        if found["lost"]
        else ""
    )
    number, listed = len(evaluations), ", ".join(incidents[:NAMED])
    more = f" and {number - NAMED:,} more" if number > NAMED else ""
    text = (
        f"{number:,} evaluation{pluralize(number)} of {competition} failed by a fault of the server.\n\n"
        f"Attempts given back: {found['given_back']:,}. Re-scores among them, which leave attempts and earlier "
        f"scores as they were: {found['rescores']:,}.\n\n"
        f"{restore}"
        f"Search the workers' log for the incident{pluralize(number)} {listed}{more}. Then re-score in the admin:\n"
        f"{settings.SITE_URL}/admin/leaderboard/evaluation/?state__exact=failed\n"
    )
    subject = f"{number:,} evaluation{pluralize(number)} failed (incident {incidents[0]}{more})"
    mails.send(competition, subject, text, addresses)
    return 1

"""The detectors examine each running phase: a periodic task stores their findings for organisers.

It is a task, because reading all counts and masks of a large phase takes seconds of CPU time. It examines a phase at
most once an hour, only after new scores, and waits while new submissions are queued.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any

import structlog
from celery import shared_task
from django.db import transaction
from django.utils import timezone

from evaluation.report import detectors
from evaluation.report import phase_report as report
from evaluation.report.agreement import agreement
from leaderboard.models import Evaluation, Phase, Review, Submission
from leaderboard.models.locks import lock_rows
from leaderboard.platform.bell import ring
from leaderboard.reporting import snapshots

log = structlog.get_logger(__name__)

PAUSE = timedelta(hours=1)
Kind = Review.Kind


@dataclass(frozen=True)
class Finding:
    """A finding: the names of one or two teams, figures, and its weight among findings of its kind."""

    kind: str
    teams: tuple[str, ...]
    evidence: dict[str, Any]
    weight: float


@shared_task(name="leaderboard.reporting.reviews.work")
def work() -> str:
    """Examine the phase that has waited longest, unless new submissions are queued."""
    fresh = Evaluation.objects.due(timezone.now()).filter(priority=Evaluation.Priority.FRESH)
    if fresh.exists():
        return "submissions first"
    now = timezone.now()
    phase = Phase.objects.to_review(now, PAUSE).first()
    if phase is None:
        return "nothing to look at"
    unchanged = Phase.objects.filter(pk=phase.pk, reviewed_at=phase.reviewed_at)
    if not unchanged.update(reviewed_at=now):
        return "lost"
    try:
        look(Phase.objects.select_related("competition", "labels").get(pk=phase.pk))
    except Exception:
        log.exception("the detectors failed on a phase", phase=phase.pk)
        return "failed"
    ring(work)
    return "looked"


def look(phase: Phase) -> int:
    """Update the phase's reviews; returns the number of findings. Organisers' notes are kept."""
    findings = list(find(phase))
    teams = dict(phase.competition.teams.values_list("name", "pk"))
    now = timezone.now()
    with transaction.atomic():
        lock_rows(Phase.objects.filter(pk=phase.pk))
        known = {(row.kind, row.team_id, row.other_id): row for row in phase.reviews.all()}
        for finding in findings:
            first, *others = sorted(teams[name] for name in finding.teams)
            second = others[0] if others else None
            row = known.pop((finding.kind, first, second), None) or Review(
                phase=phase, kind=finding.kind, team_id=first, other_id=second, changed_at=now
            )
            if finding.weight > row.weight:
                row.changed_at = now
            row.evidence, row.weight, row.stands = finding.evidence, finding.weight, True
            row.save()
        Review.objects.filter(pk__in=[row.pk for row in known.values()]).update(stands=False)
    return len(findings)


def find(phase: Phase) -> Iterator[Finding]:
    """All findings: probing in all submissions ever scored, copies among those that count."""
    made = list(snapshots.made(phase))
    if not made:
        return
    handed_in = snapshots.handed_in(made)
    baseline = snapshots.baseline(phase)
    score = None if baseline is None else float(baseline.f1()[0])
    for probing in detectors.probing(handed_in.table, handed_in.team_of, score):
        evidence = asdict(probing) | {"which": [int(number) for number in probing.which]}
        yield Finding(Kind.PROBING, (probing.team,), evidence, probing.suspicious)
    yield from _same_masks(made, handed_in)
    board = snapshots.counted(phase)
    if len(board) > 1:
        yield from _likely_copies(phase, board)


def _same_masks(made: Sequence[Submission], handed_in: report.Submissions) -> Iterator[Finding]:
    triples = ((row.team.name, digest, row.pk) for row, digest in zip(made, handed_in.sha256, strict=True))
    masks_of: dict[tuple[str, ...], int] = defaultdict(int)
    which: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for by_team in detectors.same_masks(triples):
        for pair in combinations(sorted(by_team), 2):
            masks_of[pair] += 1
            which[pair] += [number for team in pair for number in by_team[team]]
    for teams, number in masks_of.items():
        yield Finding(Kind.SAME_MASKS, teams, {"masks": number, "which": sorted(which[teams])}, number)


def _likely_copies(phase: Phase, board: Sequence[Submission]) -> Iterator[Finding]:
    assert phase.labels is not None
    number_of = {submission.team.name: submission.pk for submission in board}
    table = snapshots.count_table([(submission.team.name, submission) for submission in board])
    found = [(Kind.SAME_COUNTS, review) for review in detectors.copies_by_counts(table)]
    masks = snapshots.masks_of(phase.labels, board)
    if masks and len(masks.by_team) > 1:
        alike = agreement(list(masks.by_team.values()), masks.labels)
        found += [
            (Kind.SAME_ERRORS, review)
            for review in detectors.copies_by_errors(list(masks.by_team), alike.errors)
        ]
    for kind, review in found:
        which = [number_of[review.first], number_of[review.second]]
        evidence = {"value": round(review.value, 6), "limit": round(review.limit, 6), "which": which}
        yield Finding(kind, (review.first, review.second), evidence, round(review.value, 6))

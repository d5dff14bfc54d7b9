"""A phase's report: who may read which parts, and the task that builds it.

Building takes seconds of CPU time, so it never happens in a request. The row is the queue: if a message is lost, beat
sends another one. Building waits while new submissions are queued.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from celery import shared_task
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from evaluation.report import phase_report as report
from evaluation.report.pictures import patch_pictures
from evaluation.report.png import read_png
from evaluation.task import TASK
from leaderboard.models import (
    Evaluation,
    PatchPicture,
    Phase,
    PhaseReport,
    QuickLook,
    Submission,
)
from leaderboard.models.reports import TRIES
from leaderboard.models.text import moment
from leaderboard.models.visibility import View, gallery_is_public
from leaderboard.reporting import snapshots

log = structlog.get_logger(__name__)

Pictures = dict[int, dict[str, bytes]]
"""PNG files by patch number and kind of picture."""

IN_GALLERY = 12  # patches
TEAMS_IN_PICTURES = 10  # used by `evaluation.statistics.patches` to find hard patches
SECRET_SECTIONS = ("copies", "probing")
SECTIONS_AFTER_THE_END = ("sites", "hardest", "patch_oracle", "masks")


class NothingToReport(Exception):
    """There is no board to report on."""


@shared_task(name="leaderboard.reporting.reports.work")
def work() -> str:
    """Build the report that has waited longest, unless new submissions are queued."""
    fresh = Evaluation.objects.due(timezone.now()).filter(priority=Evaluation.Priority.FRESH)
    if fresh.exists():
        return "submissions first"
    now = timezone.now()
    row = PhaseReport.objects.waiting(now).first()
    if row is None:
        return "nothing waits"
    claimed = PhaseReport.objects.waiting(now).filter(pk=row.pk, tries=row.tries)
    if not claimed.update(started_at=now, tries=F("tries") + 1):
        return "lost"
    row.refresh_from_db()
    return fill(row)


def fill(row: PhaseReport) -> str:
    """Build a claimed report and store it; returns the row's state."""
    pictures: Pictures = {}
    try:
        phase = Phase.objects.select_related("competition", "labels").get(pk=row.phase_id)
        content, pictures = build_with_pictures(phase, as_of=row.as_of)
    except NothingToReport as nothing:
        row.error = str(nothing)
    except Exception as error:
        log.exception("a report could not be built", report=row.pk)
        row.started_at = None
        row.error = f"{type(error).__name__}; see the workers' log" if row.tries >= TRIES else ""
    else:
        row.label_set, row.content, row.snapshot = phase.labels, content, content["data"]["sha256"]
        row.built_at = timezone.now()
    with transaction.atomic():
        row.pictures.all().delete()
        PatchPicture.objects.bulk_create(
            PatchPicture(report=row, patch=patch, kind=kind, png=png)
            for patch, kinds in pictures.items()
            for kind, png in kinds.items()
        )
        row.save(update_fields=["label_set", "content", "snapshot", "built_at", "started_at", "error"])
    return row.state


def build(phase: Phase, replicates: int = 10_000, as_of: datetime | None = None) -> dict[str, Any]:
    """The report of a phase as it is now. Raises NothingToReport if no team is ranked.

    ``as_of``: ignore submissions received from then on; later withdrawals and disqualifications still apply.
    """
    return build_with_pictures(phase, replicates, as_of)[0]


def build_with_pictures(
    phase: Phase, replicates: int = 10_000, as_of: datetime | None = None
) -> tuple[dict[str, Any], Pictures]:
    """``build``, plus PNG files of the hardest patches by number and kind."""
    if phase.labels is None:
        raise NothingToReport(f"{phase.name} has no labels yet.")
    board = snapshots.counted(phase, as_of)
    if not board:
        until = f" before {moment(as_of)}" if as_of else " yet"
        raise NothingToReport(f"No team is ranked in {phase.name}{until}.")
    teams = {submission.team.name for submission in board}
    before = snapshots.earlier_phase(phase)
    masks = snapshots.masks_of(phase.labels, board)
    content = report.build(
        snapshots.count_table(
            [(submission.team.name, submission) for submission in board], phase.labels.sites
        ),
        f"{phase.competition.slug}/{phase.slug}",
        received={submission.team.name: submission.received_at for submission in board},
        submissions=snapshots.handed_in(list(snapshots.made(phase, as_of))),
        baseline=snapshots.baseline(phase, as_of),
        earlier=snapshots.earlier_counts(before, teams) if before else None,
        log=snapshots.history(phase, as_of),
        masks=masks if masks and len(masks.by_team) == len(board) else None,
        replicates=replicates,
    )
    pictures = _gallery(phase, masks, board, content)
    return {**content, "provenance": _provenance(phase, board, before, as_of)}, pictures


@dataclass(frozen=True)
class Audience:
    """The reader of a report: ``view`` of the phase; whether it has ended or its labels are public; the same for the
    previous phase; whether the reader may see pictures of patches."""

    view: View
    phase_is_over: bool
    earlier_is_over: bool
    sees_gallery: bool


def audience_of(phase: Phase, earlier: Phase | None, view: View, now: datetime) -> Audience:
    return Audience(
        view,
        phase.uploads_have_ended(now) or phase.labels_are_public(now),
        earlier is not None and earlier.uploads_have_ended(now),
        view.shows("counts") or gallery_is_public(phase, now),
    )


def shown(content: dict[str, Any], audience: Audience) -> dict[str, Any]:
    """The part of a report that an audience may read: organisers everything; others no metric that the phase hides and,
    while the phase runs, nothing about single patches, sites and objects."""
    view = audience.view
    if view.shows("counts"):
        return content
    public = {name: section for name, section in content.items() if name not in SECRET_SECTIONS}
    public["board"] = [
        {field: value for field, value in row.items() if view.shows_field(field)} for row in content["board"]
    ]
    if not audience.earlier_is_over:
        public["shake_up"] = None
    if not audience.phase_is_over:
        public |= dict.fromkeys(SECTIONS_AFTER_THE_END)
        public |= _coarse(public)
    return public


def _coarse(content: dict[str, Any]) -> dict[str, Any]:
    """Board and pairs of a running phase: intervals to one decimal, p to two, nothing about the size of the labels.

    Given the number of positive pixels, precision and recall can be computed from F1.
    """
    pairs = content["pairs"]
    return {
        "data": content["data"] | {"label_pixels": None, "patches_without_label": None},
        "board": [_rounded(row, se=1, low=1, high=1) | {"false_alarms": None} for row in content["board"]],
        "podium": [_rounded(row, low=1, high=1, p_permutation=2, p_delta=2) for row in content["podium"]],
        "pairs": pairs
        | {
            key: [[round(value, digits) for value in row] for row in pairs[key]]
            for key, digits in (("half_width", 1), ("p", 2), ("p_holm", 2))
        },
    }


def _rounded(row: dict[str, Any], **digits: int) -> dict[str, Any]:
    return row | {key: round(row[key], number) for key, number in digits.items()}


def _gallery(
    phase: Phase, masks: report.Masks | None, board: Sequence[Submission], content: dict[str, Any]
) -> Pictures:
    """Pictures of the hardest patches; none unless the masks of all teams in them are stored."""
    best = [submission.team.name for submission in board[:TEAMS_IN_PICTURES]]
    if masks is None or any(team not in masks.by_team for team in best):
        return {}
    patches = [int(row["patch"]) for row in content["hardest"][:IN_GALLERY]]
    looks = QuickLook.objects.filter(phase=phase, patch__in=patches, kind=TASK.composites[0].key)
    images = dict(looks.values_list("patch", "png"))
    return {
        patch: patch_pictures(
            patch - 1,
            [masks.by_team[team] for team in best],
            masks.labels,
            masks.spec,
            read_png(bytes(images[patch])) if patch in images else None,
        )
        for patch in patches
    }


def _provenance(
    phase: Phase, board: Sequence[Submission], earlier: Phase | None, as_of: datetime | None
) -> dict[str, Any]:
    label_set = phase.labels
    assert label_set is not None
    versions = {submission.evaluation.scorer for submission in board if submission.evaluation}
    return {
        "competition": phase.competition.name,
        "phase": phase.name,
        "data_note": phase.competition.data_note,
        "labels_version": label_set.version,
        "labels_commitment": label_set.commitment,
        "scorers": sorted(versions),
        "taken_at": _iso(timezone.now()),
        "as_of": as_of and _iso(as_of),
        "opens_at": _iso(phase.opens_at),
        "closes_at": phase.closes_at and _iso(phase.closes_at),
        "earlier": earlier and {"slug": earlier.slug, "name": earlier.name},
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")

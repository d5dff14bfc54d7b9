"""Wrong labels: reported by a team, decided by organisers, tried before they are put in force."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.template.defaultfilters import pluralize
from django.utils import timezone

from evaluation.scoring.metrics import KEY_SCALE
from evaluation.task import MaskSpec
from leaderboard.models import (
    Evaluation,
    LabelReport,
    LabelSet,
    Phase,
    Team,
)
from leaderboard.models.boards import Result, results_on
from leaderboard.models.locks import lock_rows, snapshot
from leaderboard.models.visibility import Ratio
from leaderboard.notifications.corrections import send_correction, write_correction

from .judging import check_same_task, put_labels_in_force
from .records import log_act, need_reason
from .refusals import Conflict, InvalidInput, NoTeam, check_fields, check_organiser

OPEN_REPORTS = 50  # of a team and phase: who finds more writes to the organisers


@dataclass(frozen=True)
class Move:
    """A team's rank and F1 under the labels in force and under the others; None where it has no result."""

    team: str
    rank_before: int | None
    f1_before: Ratio | None
    rank_after: int | None
    f1_after: Ratio | None

    @property
    def places(self) -> int | None:
        """By how many places the team rises (positive) or falls."""
        if self.rank_before is None or self.rank_after is None:
            return None
        return self.rank_before - self.rank_after


@dataclass(frozen=True)
class DryRun:
    """What putting a label set in force would do; ``missing`` results of the board are not evaluated on it yet."""

    moves: list[Move]
    missing: int
    unfinished: int

    @property
    def in_words(self) -> str:
        """What is not evaluated yet, and what that would do to the board; empty if nothing is missing."""
        left, out = self.unfinished, self.missing
        sentences = (
            f"{left:,} evaluation{pluralize(left)} on these labels {pluralize(left, 'is,are')} still waiting."
            if left
            else "",
            f"{out:,} team{pluralize(out)} would leave the board until evaluated." if out else "",
        )
        return " ".join(filter(None, sentences))


def report_label(user: Any, phase: Phase, patch: int, text: str) -> LabelReport:
    """Say that the label of a patch (numbered as the files are, from 1) is wrong.

    Raises NoTeam, InvalidInput for a patch number that does not exist, Conflict when too many reports of the team wait.
    """
    team = Team.objects.of(user).filter(competition=phase.competition).first()
    if team is None:
        raise NoTeam(f"Only members of a team of {phase.competition} can report a label.")
    if phase.labels is None or not 1 <= patch <= phase.labels.patches:
        last = phase.labels.patches if phase.labels else 0
        raise InvalidInput(f"{phase.name} has patches 1 to {last}.", fields={"patch": [f"From 1 to {last}."]})
    row = LabelReport(phase=phase, team=team, reported_by=user, patch=patch, text=text.strip())
    check_fields(row, "text")
    with transaction.atomic():
        lock_rows(Team.objects.filter(pk=team.pk))
        if LabelReport.objects.open().filter(team=team, phase=phase).count() >= OPEN_REPORTS:
            raise Conflict(
                f"{OPEN_REPORTS} reports of your team wait for an answer. Please write to the organisers."
            )
        row.save()
    return row


def decide_report(user: Any, report: LabelReport, accepted: bool, answer: str) -> None:
    """Accept or decline a report, with an answer that the team reads. Labels are changed by loading a new version."""
    check_organiser(user, report.phase.competition)
    answer = need_reason(answer)
    with transaction.atomic():
        open_row = LabelReport.objects.open().filter(pk=report.pk)
        if not open_row.update(accepted=accepted, answer=answer[:300], decided_at=timezone.now()):
            raise Conflict("This report was decided already.")
        word = "accepted" if accepted else "declined"
        log_act(f"label report {word}", user, report.phase, f"patch {report.patch}", answer, {"report": report.pk},
                public=True)  # fmt: skip
    report.refresh_from_db()


def dry_run(user: Any, label_set: LabelSet) -> DryRun:
    """The board as it would be with this label set in force, beside the current one.

    It only reads, in one snapshot; both boards follow the one rule of ``exact_results``, in a query each.
    """
    check_organiser(user, label_set.phase.competition)
    with snapshot():
        phase = Phase.objects.with_labels().get(pk=label_set.phase_id)
        before = _board(results_on(phase, phase.labels))
        after = _board(results_on(phase, label_set))
        names = Team.objects.in_bulk([*before, *after])
        unfinished = Evaluation.objects.unfinished().filter(label_set=label_set).count()
    teams = dict.fromkeys([*after, *before])
    nothing = (None, None)
    moves = [Move(names[pk].name, *before.get(pk, nothing), *after.get(pk, nothing)) for pk in teams]
    return DryRun(moves, sum(move.rank_after is None for move in moves), unfinished)


def apply_correction(user: Any, label_set: LabelSet, reason: str) -> None:
    """Put a label set in force and notify the teams. The previous board stays readable."""
    check_organiser(user, label_set.phase.competition)
    reason = need_reason(reason)
    mails = write_correction(label_set.phase, label_set, reason)  # a hundred mails take a tenth of a second
    with transaction.atomic():
        phase = _locked(label_set)
        if phase.labels_id == label_set.pk:
            raise Conflict(f"Version {label_set.version} is in force already.")
        check_same_task(phase, MaskSpec(label_set.patches, label_set.height, label_set.width))
        log_act("labels switched", user, phase, f"version {label_set.version}", reason,
                {"commitment": label_set.commitment}, public=True)  # fmt: skip
        put_labels_in_force(user, phase, label_set)
        send_correction(phase, label_set, reason, mails)


def _locked(label_set: LabelSet) -> Phase:
    return lock_rows(Phase.objects.with_labels().filter(pk=label_set.phase_id))[0]


def _board(results: dict[int, Result]) -> dict[int, tuple[int, Ratio]]:
    """Rank and F1 of each team by its primary key, best first."""
    ordered = sorted(results.items(), key=lambda item: (-item[1].rank_key, item[1].achieved_at, item[0]))
    ranks = {
        key: place for place, key in reversed(list(enumerate((r.rank_key for _, r in ordered), start=1)))
    }
    return {team: (ranks[result.rank_key], Ratio(result.rank_key, KEY_SCALE)) for team, result in ordered}

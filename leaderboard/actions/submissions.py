"""Submit, withdraw, select."""

import hashlib
import unicodedata
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from django.conf import settings
from django.core.files import File
from django.db import IntegrityError, transaction
from django.template.defaultfilters import pluralize
from django.utils import timezone
from django.utils.timesince import timeuntil

from evaluation.archive.problems import empty_file, too_large
from leaderboard.models import (
    Attempt,
    Evaluation,
    Extension,
    Phase,
    QuotaUsage,
    RefusedUpload,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.locks import lock_rows
from leaderboard.models.text import moment
from leaderboard.models.visibility import view_of, visible_scores
from leaderboard.platform.bell import ring_on_commit
from leaderboard.scoring.tasks import work

from .participation import why_not_take_part
from .refusals import (
    ArchiveTooLarge,
    BoardFull,
    Conflict,
    EmptyArchive,
    KeyReused,
    NotAllowed,
    NoTeam,
    NotWithdrawable,
    PhaseEnded,
    PhaseNotOpen,
    PhaseWithoutLabels,
    QuotaUsedUp,
    Refusal,
    SameArchive,
    StorageUnavailable,
    TotalUsedUp,
    check_fields,
)

log = structlog.get_logger(__name__)

INVALID_PER_DAY = 100  # invalid archives are free; this many in a day suggests a runaway script

P = ParamSpec("P")
R = TypeVar("R")


def counts_refusals(
    act: Callable[Concatenate[Any, Phase, P], R],
) -> Callable[Concatenate[Any, Phase, P], R]:
    """Of an action of a person in a phase: what it refuses is counted by reason, for the organisers' desk."""

    @wraps(act)
    def counted(user: Any, phase: Phase, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return act(user, phase, *args, **kwargs)
        except Refusal as refusal:
            RefusedUpload.objects.note(user, phase, refusal.code, refusal.message)
            raise

    return counted


@counts_refusals
def submit(
    user: Any,
    phase: Phase,
    archive: File | None,
    *,
    method: str,
    description: str = "",
    link: str = "",
    idempotency_key: str | None = None,
    form_key: str = "",
    reference: bool = False,
    allow_duplicate: bool = False,
    begun_at: datetime | None = None,
    digest: str = "",
) -> tuple[Submission, bool]:
    """Accept an archive and queue it for scoring; returns the submission and whether it is new.

    It counts as received at ``begun_at``, when its upload began (default: now). The file is hashed once (``digest``: its
    SHA-256, if already known) and stored before the transaction opens. ``check_may_submit`` runs before the file is stored,
    so that a refused archive never is; phase and quota are checked again under the team's lock, where the answer is final. ``form_key``
    names a rendered form: the same form with the same content makes one submission, however often the button is pressed.

    Raises the refusals of ``check_may_submit`` and, for the file, EmptyArchive, ArchiveTooLarge, InvalidInput; for an
    idempotency key that was used for another submission, KeyReused; for bytes that the team has submitted before,
    SameArchive, unless ``allow_duplicate``.
    """
    completed_at = timezone.now()
    received_at = counted_from(phase, begun_at or completed_at, completed_at)
    team = team_that_submits(user, phase, reference=reference)
    check_size(archive.size if archive else 0)
    assert archive is not None
    digest = digest or sha256_of(archive)
    submission = Submission(
        phase=phase,
        team=team,
        submitted_by=user,
        method=method.strip(),
        description=description.strip(),
        link=link.strip(),
        original_name=harmless_name(archive.name or ""),
        size=archive.size,
        sha256=digest,
        received_at=received_at,
        completed_at=completed_at,
        idempotency_key=idempotency_key or None,
        reference=reference,
    )
    if form_key:
        submission.idempotency_key = f"form {form_key} {fingerprint(submission)}"
    if earlier := earlier_submission(submission):
        return earlier, False
    try:
        accept(submission, archive, allow_duplicate=allow_duplicate)
    except (QuotaUsedUp, SameArchive, IntegrityError):
        # The same upload, sent twice at once, may just have taken the last place.
        if earlier := earlier_submission(submission):
            return earlier, False
        check_may_submit(user, team, phase, received_at, completed_at, reference=reference)
        raise
    return submission, True


def accept(submission: Submission, archive: File, *, allow_duplicate: bool = False) -> None:
    """Store the file and, in one transaction, the submission, its attempt and its place in the queue."""
    team, phase = submission.team, submission.phase
    received_at, reference = submission.received_at, submission.reference
    user = submission.submitted_by
    extension = check_may_submit(user, team, phase, received_at, submission.completed_at, reference=reference)
    if not (allow_duplicate or reference):
        check_not_submitted_before(submission)
    check_fields(submission, "method", "description", "link", "original_name")
    keep_file(submission, archive)
    try:
        with transaction.atomic():
            lock_rows(Team.objects.filter(pk=team.pk))
            [current] = lock_rows(Phase.objects.with_labels().filter(pk=phase.pk))
            if not reference:
                current_for_team = extension.on(current) if extension else current
                usage = _check_phase(team, current_for_team, received_at, submission.completed_at)
            submission.save()
            if not reference:
                Attempt.objects.reserve(submission, received_at, usage)
            assert current.labels is not None
            submission.evaluation = Evaluation.objects.create(submission=submission, label_set=current.labels)
            submission.save(update_fields=["evaluation"])
            ring_on_commit(work)
    except Exception:
        submission.archive.delete(save=False)
        raise


def keep_file(submission: Submission, archive: File) -> None:
    """Store the archive under a name of our own. Raises StorageUnavailable where it cannot be kept."""
    try:
        submission.archive.save("archive.zip", archive, save=False)
    except OSError as error:
        log.exception("an archive could not be stored")
        raise StorageUnavailable(
            "The server cannot store files at the moment. Your quota is unchanged; please try again in a few minutes. "
            "The organisers can see the error in the log."
        ) from error


def open_archive(submission: Submission) -> File | None:
    """The stored archive, open for reading; None when it is not kept. Raises StorageUnavailable."""
    if not submission.archive:
        return None
    try:
        return submission.archive.open("rb")
    except FileNotFoundError:  # a server that was restored without its uploads
        return None
    except OSError as error:
        log.exception("an archive could not be read", submission=submission.pk)
        raise StorageUnavailable(
            "The server cannot read files at the moment. Please try again in a few minutes."
        ) from error


def team_that_submits(user: Any, phase: Phase, *, reference: bool) -> Team:
    """The team for which the person submits in this phase: their own, or the organisers' for a reference entry."""
    competition = phase.competition
    if reference:
        if not competition.is_organised_by(user):
            raise NotAllowed("Only organisers of the competition can submit a reference entry.")
        team, _ = Team.objects.get_or_create(
            competition=competition,
            is_organisers=True,
            defaults={"name": f"Organisers of {competition}"[:60]},
        )
        return team
    mine = Team.objects.of(user).filter(competition=competition).first()
    if mine is None:
        raise NoTeam(f"You are not in a team of {competition} yet. Create a team or join one, then submit.")
    mine.competition = competition
    return mine


def counted_from(phase: Phase, begun_at: datetime, completed_at: datetime) -> datetime:
    """The moment at which an upload counts as received: when it began; one that waited for the opening, then."""
    return max(begun_at, min(phase.opens_at, completed_at))


def check_size(size: int | None) -> None:
    if not size:
        raise EmptyArchive(empty_file().message)
    if size > settings.MAX_UPLOAD_BYTES:
        raise ArchiveTooLarge(too_large(size, settings.MAX_UPLOAD_BYTES).message)


def check_not_submitted_before(submission: Submission) -> None:
    """Raise SameArchive, with the earlier result, if the team has submitted these bytes to this phase.

    A submission that failed by a server error does not count: sending it again is the right thing to do.
    """
    phase = submission.phase
    same = Submission.objects.filter(team=submission.team, phase=phase, sha256=submission.sha256)
    earlier = same.exclude(evaluation__state=Evaluation.State.FAILED).with_evaluation().order_by("pk").last()
    if earlier is None:
        return
    view = view_of(phase, submission.submitted_by, timezone.now())
    f1 = visible_scores(earlier.evaluation, view).f1
    known = f"F1 {f1}" if f1 is not None else Evaluation.State(earlier.state).label
    raise SameArchive(
        f"This archive has the same bytes as submission {earlier.pk} ({known}), so its result would be the same. "
        "Confirm that you want to submit it again.",
        submission=earlier.pk,
    )


def check_may_submit(
    user: Any,
    team: Team,
    phase: Phase,
    begun_at: datetime,
    completed_at: datetime | None = None,
    *,
    reference: bool = False,
) -> Extension | None:
    """Raise the refusals of ``why_not_submit`` and ``why_too_late`` unless this member may submit what began then; reference
    entries need only labels.

    ``completed_at``: when the last byte arrived, if it has. Returns the team's extension in the phase, if it has one.
    """
    if reference and phase.labels is not None:
        return None
    extension = Extension.objects.filter(team=team, phase=phase).first()
    taking_part = why_not_take_part(user, team)
    _check_phase(team, extension.on(phase) if extension else phase, begun_at, completed_at, taking_part)
    return extension


def _check_phase(
    team: Team,
    phase: Phase,
    begun_at: datetime,
    completed_at: datetime | None,
    taking_part: Refusal | None = None,
) -> QuotaUsage:
    """``phase``: as the team has it. Returns what the team has used of its quotas."""
    usage = Attempt.objects.usage(team, phase, begun_at)
    refusal = why_not_submit(phase, usage, begun_at, taking_part)
    if refusal is None and completed_at is not None:
        refusal = why_too_late(phase, begun_at, completed_at)
    if refusal is not None:
        raise refusal
    return usage


def why_too_late(phase: Phase, begun_at: datetime, now: datetime) -> Refusal | None:
    """The one rule for whether an upload that began in time may still finish now; None if it may.

    ``phase``: as the team has it (``Extension.objects.phase_of``).
    """
    ends_at = phase.grace_ends_at
    if phase.closes_at is None or ends_at is None or now < ends_at:
        return None
    if not phase.grace_minutes:
        return PhaseEnded(
            f"{phase.name} ended on {moment(phase.closes_at)}, before this upload was complete."
        )
    return PhaseEnded(
        f"{phase.name} ended on {moment(phase.closes_at)}. This upload began on {moment(begun_at)} and could finish until "
        f"{moment(ends_at)}."
    )


def why_not_submit(
    phase: Phase, usage: QuotaUsage, now: datetime, taking_part: Refusal | None
) -> Refusal | None:
    """The one rule for whether a team that has used so much of the quotas may submit now; None if it may.

    ``phase``: as the team has it (``Extension.objects.phase_of``). ``taking_part``: what
    ``participation.why_not_take_part`` says of the member and the team.
    """
    if phase.labels is None:
        return PhaseWithoutLabels(
            f"{phase.name} has no labels yet, so nothing can be scored. Please write to the organisers."
        )
    if not phase.has_opened(now):
        wait = timeuntil(phase.opens_at, now).replace("\N{NO-BREAK SPACE}", " ")
        return PhaseNotOpen(
            f"{phase.name} opens on {moment(phase.opens_at)} (in {wait}).",
            next_at=phase.opens_at,
        )
    if phase.closes_at is not None and phase.has_closed(now):
        return PhaseEnded(f"{phase.name} ended on {moment(phase.closes_at)}.")
    if taking_part is not None:
        return taking_part
    if usage.exhausted:
        return quota_refusal(phase, usage)
    if usage.invalid_today >= INVALID_PER_DAY:
        return QuotaUsedUp(
            f"{INVALID_PER_DAY} of your team's archives could not be scored today. Check the next one with "
            "`l4s check` before you upload it tomorrow (UTC).",
            next_at=usage.day_ends_at,
        )
    return None


def quota_refusal(phase: Phase, usage: QuotaUsage) -> QuotaUsedUp:
    if usage.exhausted == "total":
        return TotalUsedUp(f"Your team has used {_every(usage.total_limit)} of {phase.name}.")
    if usage.exhausted == "day":
        return QuotaUsedUp(
            f"Your team has used {_every(usage.day_limit)} for today (UTC) in {phase.name}. "
            f"The next one is accepted from {moment(usage.day_ends_at)}.",
            next_at=usage.day_ends_at,
        )
    fix = "Withdraw one to make room." if phase.allows_withdrawal else "None can be withdrawn in this phase."
    return BoardFull(
        f"Your team has {usage.on_board} result{pluralize(usage.on_board)} standing in {phase.name}; at most "
        f"{usage.board_limit} may stand at a time. {fix}"
    )


def _every(limit: int | None) -> str:
    return "its only submission" if limit == 1 else f"all {limit} submissions"


def withdraw(user: Any, submission: Submission) -> None:
    """Take a submission off the board, where the phase allows it; its counts are kept, its place is freed.

    Withdrawing it a second time changes nothing.
    """
    now = timezone.now()
    if not submission.team.has_member(user):
        raise NotAllowed("Only members of the team can withdraw its submissions.")
    with transaction.atomic():
        [held] = Submission.objects.filter(pk=submission.pk).lock()
        if refusal := why_not_withdraw(held, now):
            raise refusal
        if not Submission.objects.filter(pk=submission.pk, withdrawn_at=None).update(withdrawn_at=now):
            return
        Attempt.objects.free_board_place(submission.pk)
        Standing.objects.refresh(held.phase, held.team)
    submission.refresh_from_db()


def why_not_withdraw(submission: Submission, now: datetime) -> Refusal | None:
    """The one rule for whether the team may withdraw this submission; None if it may."""
    phase = Extension.objects.phase_of(submission.team, submission.phase)
    if not phase.allows_withdrawal:
        return NotWithdrawable(f"Submissions in {phase.name} cannot be withdrawn.")
    if phase.has_closed(now):
        return NotWithdrawable(f"{phase.name} has ended; its submissions are final.")
    if submission.state in (Evaluation.State.INVALID, Evaluation.State.FAILED):
        return NotWithdrawable("This submission has no score, so there is nothing to withdraw.")
    return None


def select(user: Any, submission: Submission, selected: bool) -> None:
    """Mark a submission as one that counts (at most ``phase.selected_limit``), or take the mark away."""
    now = timezone.now()
    phase = submission.phase
    if not submission.team.has_member(user):
        raise NotAllowed("Only members of the team can select its submissions.")
    if refusal := why_not_select(phase, now):
        raise refusal
    with transaction.atomic():
        [held] = Submission.objects.filter(pk=submission.pk).lock()
        others = Submission.objects.standing().filter(phase=phase, team=held.team, selected=True)
        if selected and others.exclude(pk=submission.pk).count() >= phase.selected_limit:
            raise Conflict(
                f"Your team has selected {phase.selected_limit} submissions already. Unselect one first."
            )
        Submission.objects.filter(pk=submission.pk).update(selected=selected)
        Standing.objects.refresh(phase, held.team)
    submission.refresh_from_db()


def why_not_select(phase: Phase, now: datetime) -> Refusal | None:
    """The one rule for whether teams may select submissions of the phase now; None if they may."""
    if phase.counts != Phase.Counts.SELECTED:
        return NotAllowed(f"In {phase.name}, {phase.get_counts_display()} counts; nothing is selected.")
    if phase.has_closed(now):
        return PhaseEnded(f"{phase.name} has ended; the selection is final.")
    return None


SENT = ("phase_id", "sha256", "method", "description", "link", "reference")
"""What the sender chose: the same key must come with the same again."""


def earlier_submission(submission: Submission) -> Submission | None:
    """The team's submission with the same idempotency key; None without one.

    A key holds as long as its submission, also after that was withdrawn. Raises KeyReused if it stands for something else.
    """
    if submission.idempotency_key is None:
        return None
    made = Submission.objects.with_evaluation()
    earlier = made.filter(team=submission.team, idempotency_key=submission.idempotency_key).first()
    if earlier is None:
        return None
    different = [name for name in SENT if getattr(earlier, name) != getattr(submission, name)]
    if different:
        fields = [{"phase_id": "phase", "sha256": "archive"}.get(name, name) for name in different]
        raise KeyReused(
            f"This Idempotency-Key was used for submission {earlier.pk}, with another {' and another '.join(fields)}. "
            "Use a new key for each new submission.",
            submission=earlier.pk,
            fields={field: [f"Not the same as in submission {earlier.pk}."] for field in fields},
        )
    return earlier


def fingerprint(submission: Submission) -> str:
    """A digest of what the sender chose."""
    return hashlib.sha256(repr([getattr(submission, name) for name in SENT]).encode()).hexdigest()[:32]


def sha256_of(archive: File) -> str:
    digest = hashlib.sha256()
    archive.seek(0)
    for chunk in archive.chunks():
        digest.update(chunk)
    archive.seek(0)
    return digest.hexdigest()


def harmless_name(name: str) -> str:
    """An uploaded file's name, safe to show: no control or bidirectional characters, at most 120."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in name)
    return shown[-120:]

"""What organisers do: labels, re-scores, disqualifications. Each act is logged with its reason."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, OuterRef, Subquery
from django.utils import timezone
from numpy import ndarray

from evaluation.scoring import labels as label_files
from evaluation.scoring.counts import sha256
from evaluation.task import MaskSpec
from evaluation.trust.site_files import write_sites
from leaderboard.models import (
    BulkAct,
    Evaluation,
    LabelSet,
    Phase,
    QuickLook,
    Standing,
)
from leaderboard.models.locks import lock_rows
from leaderboard.models.text import moment

from . import bulk
from .bulk_kinds import lacking
from .records import log_act, need_reason
from .refusals import Conflict, InvalidInput, check_organiser


def load_labels(
    user: Any,
    phase: Phase,
    masks: ndarray,
    spec: MaskSpec,
    note: str = "",
    *,
    sites: Sequence[str] | None = None,
) -> LabelSet:
    """Store hidden masks (bit-packed, see ``evaluation.scoring.labels``) as the phase's next version.

    A version loaded before the first submission is in force at once. A later one waits: every submission is scored on
    it behind all fresh ones, ``corrections.dry_run`` shows what would change, and ``corrections.apply_correction``
    puts it in force. Masks of a version that an import brought without them are restored. ``sites``: the site of each
    patch; if left out, those of the previous version are kept, where it has as many patches.

    Raises Conflict where submissions exist that could not be scored on these masks (``check_same_task``).
    """
    check_organiser(user, phase.competition)
    if sites is not None:
        check_sites(sites, spec.patches)
    with transaction.atomic():
        [phase] = lock_rows(Phase.objects.with_labels().filter(pk=phase.pk))
        digest = sha256(masks, spec)
        if lost := phase.label_sets.filter(sha256=digest, masks=b"").first():
            if sites is not None:
                LabelSet.objects.filter(pk=lost.pk).update(sites=list(sites))
            return restore_masks(user, phase, lost, masks)
        check_same_task(phase, spec)
        last = phase.label_sets.order_by("-version").defer("masks").first()
        if sites is None:
            sites = last.sites if last and last.patches == spec.patches else []
        label_set = LabelSet.objects.create(
            phase=phase,
            version=last.version + 1 if last else 1,
            patches=spec.patches,
            height=spec.height,
            width=spec.width,
            positive_pixels=label_files.positive_pixels(masks),
            sha256=digest,
            salt=secrets.token_hex(32),
            masks=label_files.compress(masks),
            sites=list(sites),
            note=note,
        )
        log_act(
            "labels loaded",
            user,
            phase,
            f"version {label_set.version}",
            note,
            {"commitment": label_set.commitment},
            public=True,
        )
        if phase.labels is None or not phase.submissions.exists():
            put_labels_in_force(user, phase, label_set)
        else:
            evaluate_ahead(user, phase, label_set)
    return label_set


def check_same_task(phase: Phase, spec: MaskSpec) -> None:
    """Raise Conflict if the phase has submissions that could not be scored on such labels."""
    current = phase.labels
    if current is None or not phase.submissions.exists():
        return
    if (spec.patches, spec.height, spec.width) != (current.patches, current.height, current.width):
        raise Conflict(
            f"These labels are {spec.patches} masks of {spec.height} × {spec.width} pixels, but the submissions of "
            f"{phase.name} were made for {current.patches} of {current.height} × {current.width} and could not be "
            "scored on them. Load labels of the same number and size, or load these into a new phase."
        )


def check_sites(sites: Sequence[str], patches: int) -> None:
    if sites and len(sites) != patches:
        raise InvalidInput(f"{len(sites)} sites are named for {patches} patches: name one for each, or none.")


def name_sites(user: Any, label_set: LabelSet, sites: Sequence[str], reason: str) -> None:
    """Say which site each patch belongs to (none: unknown). Like the labels they are hidden; no score depends on them."""
    check_organiser(user, label_set.phase.competition)
    reason = need_reason(reason)
    check_sites(sites, label_set.patches)
    digest = hashlib.sha256(write_sites(sites).encode()).hexdigest()
    with transaction.atomic():
        LabelSet.objects.filter(pk=label_set.pk).update(sites=list(sites))
        log_act(
            "sites named",
            user,
            label_set.phase,
            f"version {label_set.version}, {len(set(sites))} sites",
            reason,
            {"sha256": digest},
        )
    label_set.sites = list(sites)


def keep_images(user: Any, phase: Phase, images: Mapping[str, Sequence[bytes]]) -> None:
    """Keep PNG files of the phase's patches, in order, by kind (``evaluation.report.pictures.read_images``)."""
    check_organiser(user, phase.competition)
    with transaction.atomic():
        phase.quick_looks.all().delete()
        QuickLook.objects.bulk_create(
            (
                QuickLook(phase=phase, kind=kind, patch=number, png=content)
                for kind, pictures in images.items()
                for number, content in enumerate(pictures, start=1)
            ),
            batch_size=100,
        )
        patches = max((len(pictures) for pictures in images.values()), default=0)
        log_act("images kept", user, phase, f"{patches} patches", "", {"kinds": list(images)})


def restore_masks(user: Any, phase: Phase, label_set: LabelSet, masks: ndarray) -> LabelSet:
    """Restore masks that an import lacked; nothing is scored again. Inside the caller's transaction."""
    label_set.masks = label_files.compress(masks)
    label_set.save(update_fields=["masks"])
    log_act("masks restored", user, phase, f"version {label_set.version}", "", {"sha256": label_set.sha256})
    return label_set


def put_labels_in_force(user: Any, phase: Phase, label_set: LabelSet) -> None:
    """Switch a phase to a label set: one board is one version of labels. Inside the caller's transaction.

    What was scored on it already counts at once. Who waits with a fresh submission keeps the place in the queue and
    is scored on it; everything else that can be scored is queued behind. Standings under other versions stay.
    """
    waiting = Evaluation.objects.queued().filter(submission__phase=phase, priority=Evaluation.Priority.FRESH)
    taken = Evaluation.objects.unfinished().filter(label_set=label_set).values("submission")
    waiting.exclude(label_set=label_set).exclude(submission__in=taken).update(label_set=label_set)
    Phase.objects.filter(pk=phase.pk).update(labels=label_set)
    phase.labels = label_set
    scored = Evaluation.objects.filter(label_set=label_set, state=Evaluation.State.SCORED)
    # The sum keeps SQLite from reading all evaluations on the label set for each of its submissions.
    among = Evaluation.objects.annotate(version=F("label_set_id") + 0).filter(version=label_set.pk)
    newest = among.filter(submission=OuterRef("pk"), state=Evaluation.State.SCORED).order_by("-pk")
    phase.submissions.filter(pk__in=scored.values("submission")).update(
        evaluation=Subquery(newest.values("pk")[:1])
    )
    evaluate_ahead(user, phase, label_set)
    Standing.objects.rebuild(phase)
    Phase.objects.bump_board(phase.pk)


def evaluate_ahead(user: Any, phase: Phase, label_set: LabelSet) -> None:
    """Have all evaluated on the label set that has no score on it yet: a bulk act, so that many are queued in short transactions."""
    rest = lacking(phase.submissions.all(), label_set)
    if rest.exists():
        bulk.begin(
            user,
            BulkAct.Kind.EVALUATE,
            rest,
            f"Version {label_set.version} of the labels",
            label_set=label_set,
        )


def why_not_final(phase: Phase, now: datetime) -> Conflict | None:
    """The one rule for whether a phase's result is final: it has ended, and so has the grace for uploads; None if so."""
    if phase.uploads_have_ended(now):
        return None
    if phase.uploads_end_at is None or not phase.has_closed(now):
        return Conflict(f"{phase.name} has not ended. This is possible afterwards.")
    until = moment(phase.uploads_end_at)
    return Conflict(
        f"{phase.name} has ended, but uploads that began in time may finish until {until}. Try again then."
    )


def reveal_labels(user: Any, label_set: LabelSet, reason: str) -> None:
    """Show everyone the salt of the commitment, after the phase: who has the labels can check it from then on."""
    check_organiser(user, label_set.phase.competition)
    reason = need_reason(reason)
    now = timezone.now()
    if refusal := why_not_final(label_set.phase, now):
        raise refusal
    with transaction.atomic():
        if not LabelSet.objects.filter(pk=label_set.pk, revealed_at=None).update(revealed_at=now):
            raise Conflict(f"The salt of {label_set} is public already.")
        log_act(
            "commitment revealed",
            user,
            label_set.phase,
            f"version {label_set.version}",
            reason,
            {"commitment": label_set.commitment, "salt": label_set.salt},
            public=True,
        )
    label_set.refresh_from_db(fields=["revealed_at"])

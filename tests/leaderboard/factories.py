"""Rows for tests, made the way the server makes them: a score goes through the queue's own ``record_score``."""

import hashlib
import io
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from evaluation.archive import mask_zip
from evaluation.archive.problems import Problem, empty_file, internal_error
from evaluation.scoring import labels
from evaluation.scoring.counts import Counts, pack, sha256
from evaluation.task import MaskSpec
from leaderboard.models import (
    Attempt,
    Competition,
    Evaluation,
    LabelSet,
    Membership,
    Phase,
    Submission,
    Team,
    User,
)
from leaderboard.scoring import queue

PASSWORD = "a-long-enough-password"


def sign_in_again(client: Any, user: Any) -> None:
    """A session that has just given its password again: what changes of the account ask for."""
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [
        {"method": "password", "at": time.time(), "reauthenticated": True}
    ]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


TINY = MaskSpec(patches=3, height=16, width=16)

_number = count(1)


def make_user(username: str = "", **fields: Any) -> User:
    username = username or f"user{next(_number)}"
    fields.setdefault("email", f"{username}@example.org")
    return User.objects.create_user(username, password=PASSWORD, **fields)


def make_competition(
    slug: str = "landslides", *, organiser: User | None = None, **fields: Any
) -> Competition:
    fields.setdefault("is_published", True)
    fields.setdefault("name", "Landslides 2022" if slug == "landslides" else slug)
    competition = Competition.objects.create(slug=slug, **fields)
    if organiser:
        competition.organisers.add(organiser)
    return competition


def make_masks(spec: MaskSpec = TINY, seed: int = 0) -> np.ndarray:
    """Masks of shape (patches, height, width), uint8, about a tenth of the pixels positive; never empty."""
    masks = (np.random.default_rng(seed).random((spec.patches, spec.height, spec.width)) < 0.1).astype(
        np.uint8
    )
    masks[0, 0, 0] = 1
    return masks


def make_labels(phase: Phase, masks: np.ndarray | None = None) -> LabelSet:
    """The phase's next label set, put in force; queues nothing (``actions.judging.load_labels`` does)."""
    masks = make_masks() if masks is None else masks
    spec = MaskSpec(*masks.shape)
    packed = pack(masks)
    label_set = LabelSet.objects.create(
        phase=phase,
        version=phase.label_sets.count() + 1,
        patches=spec.patches,
        height=spec.height,
        width=spec.width,
        positive_pixels=int(masks.sum()),
        sha256=sha256(packed, spec),
        salt="0" * 64,
        masks=labels.compress(packed),
    )
    phase.labels = label_set
    phase.save(update_fields=["labels"])
    return label_set


def make_phase(
    competition: Competition, slug: str = "validation", *, labels: bool = True, **fields: Any
) -> Phase:
    """An open phase without quotas or grace, three patches of 16 x 16 pixels; ``labels=False`` leaves it without."""
    fields.setdefault("grace_minutes", 0)
    fields.setdefault("name", slug.capitalize())
    fields.setdefault("opens_at", timezone.now() - timedelta(days=10))
    phase = Phase.objects.create(competition=competition, slug=slug, **fields)
    if labels:
        make_labels(phase)
    return phase


def make_team(
    competition: Competition,
    name: str = "",
    *,
    owner: User | None = None,
    members: tuple[User, ...] = (),
    **fields: Any,
) -> Team:
    team = Team.objects.create(competition=competition, name=name or f"Team {next(_number)}", **fields)
    Membership.objects.create(team=team, user=owner or make_user(), role=Membership.Role.OWNER)
    for member in members:
        Membership.objects.create(team=team, user=member)
    return team


def make_archive(masks: np.ndarray | None = None) -> bytes:
    """An archive in the official format; by default the right answer to ``make_labels``."""
    content = io.BytesIO()
    mask_zip.write(content, make_masks() if masks is None else masks)
    return content.getvalue()


def upload(content: bytes | None = None, name: str = "masks.zip") -> SimpleUploadedFile:
    """An upload of this content; without any, of an archive that differs from all others by its ZIP comment."""
    if content is None:
        comment = b"archive %d" % next(_number)
        content = make_archive()[:-2] + len(comment).to_bytes(2, "little") + comment
    return SimpleUploadedFile(name, content, "application/zip")


def make_submission(
    team: Team,
    phase: Phase,
    counts: tuple[int, int, int] = (80, 20, 20),
    *,
    state: str = Evaluation.State.SCORED,
    problems: tuple[Problem, ...] = (),
    by: User | None = None,
    received_at: datetime | None = None,
    content: bytes | None = None,
    **fields: Any,
) -> Submission:
    """A submission whose evaluation is in ``state``; when scored, with ``counts`` = (TP, FP, FN) in all.

    Windows and quota limits are not asked, so that any past can be made. Without ``content`` nobody can read its archive.
    """
    digest = hashlib.sha256(content).hexdigest() if content is not None else f"{next(_number):064x}"
    content = b"an archive that nobody reads" if content is None else content
    received_at = received_at or timezone.now()
    submission = Submission(
        phase=phase,
        team=team,
        submitted_by=by or team.members.first(),
        method=fields.pop("method", "U-Net"),
        original_name="masks.zip",
        size=len(content),
        sha256=digest,
        received_at=received_at,
        **fields,
    )
    submission.archive.save("archive.zip", ContentFile(content), save=False)
    submission.save()
    if not submission.reference:
        Attempt.objects.reserve(submission, received_at)
    submission.evaluation = Evaluation.objects.create(
        submission=submission, label_set=phase.labels, queued_at=received_at
    )
    submission.save(update_fields=["evaluation"])
    if state != Evaluation.State.QUEUED:
        _finish(take(submission), state, counts, problems)
    return Submission.objects.with_evaluation().get(pk=submission.pk)


def take(submission: Submission) -> queue.Claim:
    """The claim on this submission's evaluation, whoever would be next in the queue."""
    evaluation = submission.evaluation
    now = timezone.now()
    Evaluation.objects.filter(pk=evaluation.pk).update(
        state=Evaluation.State.SCORING,
        tries=1,
        worker="test",
        started_at=now,
        lease_until=queue.lease_end(now),
    )
    evaluation.refresh_from_db()
    return queue.Claim(evaluation, evaluation.tries)


def score_now(submission: Submission, counts: tuple[int, int, int] = (80, 20, 20)) -> None:
    """A worker scores a submission that waits."""
    _finish(take(submission), Evaluation.State.SCORED, counts, ())


def record(held: queue.Claim, counts: tuple[int, int, int]) -> bool:
    """Write a score as a worker does, with empty masks."""
    label_set = held.evaluation.label_set
    spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
    per_patch = np.zeros((3, spec.patches), np.uint32)
    per_patch[:, 0] = counts
    masks = np.zeros(spec.packed_shape, np.uint8)
    return queue.record_score(held, Counts(*per_patch), labels.compress(masks), sha256(masks, spec))


def _finish(
    held: queue.Claim, state: str, counts: tuple[int, int, int], problems: tuple[Problem, ...]
) -> None:
    written = True
    if state == Evaluation.State.SCORED:
        written = record(held, counts)
    elif state == Evaluation.State.INVALID:
        written = queue.record_invalid(held, list(problems) or [empty_file()])
    elif state == Evaluation.State.FAILED:
        written = queue.record_failure(held, internal_error(), "0123456789ab")
    assert written


@dataclass
class Cast:
    """Who may see what: a team's owner and teammate, a member of another team, a stranger, an organiser."""

    competition: Competition
    phase: Phase
    team: Team
    other_team: Team
    owner: User
    teammate: User
    rival: User
    stranger: User
    organiser: User


def make_cast(**phase_fields: Any) -> Cast:
    organiser = make_user("organiser", is_staff=True)
    competition = make_competition(organiser=organiser)
    owner, teammate, rival = make_user("owner"), make_user("teammate"), make_user("rival")
    return Cast(
        competition=competition,
        phase=make_phase(competition, **phase_fields),
        team=make_team(competition, "Alpine", owner=owner, members=(teammate,)),
        other_team=make_team(competition, "Rivals", owner=rival),
        owner=owner,
        teammate=teammate,
        rival=rival,
        stranger=make_user("stranger"),
        organiser=organiser,
    )

"""Two acts on one team at once: neither fails, and what both leave behind is true.

The first act stops in the middle of its transaction until the second one waits for it (or is done). On SQLite there is
one writer at a time; what can go wrong does so on PostgreSQL: run with --backend=postgres.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from threading import Event
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from evaluation.scoring import labels
from evaluation.scoring.counts import Counts, pack, sha256
from leaderboard.actions import accounts, bulk, corrections, judging, rosters, teams, webhooks
from leaderboard.actions import submissions as actions
from leaderboard.actions.refusals import Conflict
from leaderboard.models import Evaluation, LabelSet, Notice, Phase, Standing, Submission, Team, WebhookCall
from leaderboard.models.attempts import AttemptQuerySet
from leaderboard.models.audit import AuditQuerySet
from leaderboard.models.boards import StandingQuerySet
from leaderboard.models.competitions import PhaseQuerySet
from leaderboard.models.notices import NoticeQuerySet
from leaderboard.notifications import notices
from leaderboard.scoring import queue
from tests.leaderboard.factories import (
    PASSWORD,
    TINY,
    Cast,
    make_archive,
    make_masks,
    make_submission,
    take,
    upload,
)

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(
    monkeypatch: Any, stop: tuple[type, str], first: Callable[[], Any], second: Callable[[], Any]
) -> list[Any]:
    """Both results. ``first`` stops before it calls the method named by ``stop`` while ``second`` runs against it."""
    owner, name = stop
    there, go_on = Event(), Event()
    original = getattr(owner, name)

    def stopping(*args: Any, **kwargs: Any) -> Any:
        if not there.is_set():
            there.set()
            assert go_on.wait(20)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, stopping)
    with ThreadPoolExecutor(2) as threads:
        acts: list[Future[Any]] = [threads.submit(closing, first)]
        assert there.wait(10), f"the first act never came to {name}: {acts[0].exception(0)!r}"
        acts.append(threads.submit(closing, second))
        wait(acts[1:], timeout=0.3)
        go_on.set()
        return [act.result(30) for act in acts]


def closing(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connection.close()


def score(held: queue.Claim, counts: tuple[int, int, int] = (80, 20, 20)) -> bool:
    per_patch = np.zeros((3, TINY.patches), np.uint32)
    per_patch[:, 0] = counts
    masks = np.zeros(TINY.packed_shape, np.uint8)
    return queue.record_score(held, Counts(*per_patch), labels.compress(masks), sha256(masks, TINY))


def send(cast: Cast) -> Submission:
    phase = Phase.objects.with_labels().get(pk=cast.phase.pk)
    return actions.submit(cast.owner, phase, upload(), method="U-Net")[0]


def waiting_submission(cast: Cast, team: Any = None) -> Submission:
    return make_submission(team or cast.team, cast.phase, state="queued", content=make_archive())


def second_version(cast: Cast) -> LabelSet:
    """Labels that are not in force yet, and on which everything is scored."""
    phase = Phase.objects.get(pk=cast.phase.pk)
    made = judging.load_labels(cast.organiser, phase, pack(make_masks(seed=5)), TINY)
    for row in Evaluation.objects.queued():
        score(take(Submission(evaluation=row)))
    return made


def test_a_team_submits_while_its_first_result_is_recorded(cast: Cast, monkeypatch) -> None:
    held = take(waiting_submission(cast))
    at_once(monkeypatch, (StandingQuerySet, "_put"), lambda: score(held), lambda: send(cast))
    assert Submission.objects.count() == 2
    assert Standing.objects.get().submission_id == held.evaluation.submission_id


def test_a_team_submits_while_its_labels_are_switched(cast: Cast, monkeypatch) -> None:
    make_submission(cast.team, cast.phase)

    corrected = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY)

    def switch() -> None:
        corrections.apply_correction(cast.organiser, corrected, "a wrong patch")

    _, sent = at_once(monkeypatch, (StandingQuerySet, "rebuild"), switch, lambda: send(cast))
    in_force = Phase.objects.get(pk=cast.phase.pk).labels_id
    assert Evaluation.objects.get(submission=sent).label_set_id == in_force


def test_a_team_withdraws_while_another_version_of_the_labels_is_put_in_force(
    cast: Cast, monkeypatch
) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(allows_withdrawal=True)
    gone, kept = (make_submission(team, cast.phase) for team in (cast.team, cast.other_team))
    new = second_version(cast)
    at_once(
        monkeypatch,
        (PhaseQuerySet, "bump_board"),
        lambda: corrections.apply_correction(cast.organiser, new, "a reason"),
        lambda: actions.withdraw(cast.owner, gone),
    )
    board = Standing.objects.filter(label_set=new)
    assert [standing.submission_id for standing in board] == [kept.pk]


@pytest.mark.parametrize("act", ["withdraw", "select", "disqualify"])
def test_a_submission_is_taken_out_while_its_score_is_recorded(cast: Cast, monkeypatch, act: str) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(allows_withdrawal=True, counts="selected")
    held = take(waiting_submission(cast))
    submission = Submission.objects.select_related("phase__competition", "team").get()
    acts = {
        "withdraw": lambda: actions.withdraw(cast.owner, submission),
        "select": lambda: actions.select(cast.owner, submission, True),
        "disqualify": lambda: bulk.disqualify(cast.organiser, submission, "a reason"),
    }
    step = "refresh_locked" if act == "disqualify" else "refresh"
    at_once(monkeypatch, (StandingQuerySet, step), acts[act], lambda: score(held))
    assert Standing.objects.count() == (1 if act == "select" else 0)
    assert Evaluation.objects.get().state == "scored"


def test_a_submission_is_withdrawn_while_labels_are_switched(cast: Cast, monkeypatch) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(allows_withdrawal=True)
    submission = make_submission(cast.team, cast.phase)
    kept = make_submission(cast.other_team, cast.phase)
    new = second_version(cast)
    at_once(
        monkeypatch,
        (AttemptQuerySet, "free_board_place"),
        lambda: actions.withdraw(cast.owner, submission),
        lambda: corrections.apply_correction(cast.organiser, new, "a reason"),
    )
    board = Standing.objects.filter(label_set=new)
    assert [standing.submission_id for standing in board] == [kept.pk]


@pytest.mark.parametrize("stop", [(StandingQuerySet, "refresh"), (AttemptQuerySet, "move_to")])
def test_a_score_is_recorded_while_its_team_is_merged(
    cast: Cast, monkeypatch, stop: tuple[type, str]
) -> None:
    held = take(waiting_submission(cast, cast.other_team))
    offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    at_once(monkeypatch, stop, lambda: rosters.decide_merger(cast.rival, offered, True), lambda: score(held))
    standing = Standing.objects.get()
    assert (standing.team_id, standing.submission_id) == (cast.team.pk, held.evaluation.submission_id)


def test_a_team_is_merged_while_its_score_is_recorded(cast: Cast, monkeypatch) -> None:
    held = take(waiting_submission(cast, cast.other_team))
    offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    at_once(
        monkeypatch,
        (StandingQuerySet, "_put"),
        lambda: score(held),
        lambda: rosters.decide_merger(cast.rival, offered, True),
    )
    standing = Standing.objects.get()
    assert (standing.team_id, standing.submission_id) == (cast.team.pk, held.evaluation.submission_id)


def test_the_last_two_organisers_delete_their_accounts(cast: Cast, monkeypatch) -> None:
    cast.competition.organisers.add(cast.stranger)

    def delete(user: Any) -> str:
        try:
            accounts.delete_account(user, PASSWORD)
        except Conflict:
            return "stays"
        return "gone"

    acts = (lambda: delete(cast.organiser), lambda: delete(cast.stranger))
    assert at_once(monkeypatch, (AuditQuerySet, "append"), *acts) == ["gone", "stays"]
    assert cast.competition.organisers.get() == cast.stranger


def test_a_team_is_renamed_while_labels_are_switched(cast: Cast, monkeypatch) -> None:
    make_submission(cast.team, cast.phase)
    new = second_version(cast)
    at_once(
        monkeypatch,
        (StandingQuerySet, "rebuild"),
        lambda: corrections.apply_correction(cast.organiser, new, "a reason"),
        lambda: teams.edit_team(cast.owner, cast.team, name="Another name"),
    )
    assert Standing.objects.get(label_set=new).team.name == "Another name"


@pytest.mark.parametrize("stop", ["bulk_create", "waiting"])
def test_two_beats_at_once_tell_everything_once(
    cast: Cast, monkeypatch: Any, mailoutbox: Any, stop: str
) -> None:
    """Both derive the same scores and deadlines and mail the same notices."""
    monkeypatch.setattr("leaderboard.platform.bell.ring", lambda task: None)
    monkeypatch.setattr(webhooks, "checked", lambda url: None)
    webhooks.set_webhook(cast.owner, cast.team, "https://hook.example/")
    now = timezone.now()
    Team.objects.update(created_at=now - timedelta(days=5))
    Phase.objects.update(closes_at=now + timedelta(hours=23, minutes=59))
    make_submission(cast.other_team, cast.phase, state="invalid", by=cast.rival)
    make_submission(cast.team, cast.phase, (80, 20, 20))
    at_once(monkeypatch, (NoticeQuerySet, stop), notices.work, notices.work)
    notices.work()
    sent = sorted((message.to[0].split("@")[0], message.subject.partition("] ")[2]) for message in mailoutbox)
    ends = "Validation ends in 24 hours"
    assert sent == [
        ("owner", ends), ("rival", ends), ("rival", "Validation: your archive is invalid"), ("teammate", ends),
    ]  # fmt: skip
    assert Notice.objects.count() == 4
    assert sorted(WebhookCall.objects.values_list("type", flat=True)) == [
        "phase.closing",
        "submission.scored",
    ]


def test_a_switch_of_labels_while_notices_are_derived(cast: Cast, monkeypatch: Any) -> None:
    """A switch of labels rebuilds the standings that the job is marking; neither waits for the other for ever."""
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    label_set = LabelSet.objects.select_related("phase__competition").get(pk=made.pk)
    at_once(
        monkeypatch,
        (NoticeQuerySet, "bulk_create"),
        notices.work,
        lambda: corrections.apply_correction(cast.organiser, label_set, "a mistake"),
    )
    assert Phase.objects.get().labels_id == label_set.pk
    assert Notice.objects.filter(kind="scored").count() == 2

"""What a webhook receives: the data of each event, with scores only as people who do not organise may see them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.conf import settings

from leaderboard.models import (
    Announcement,
    LabelSet,
    Notice,
    NoticeKind,
    Phase,
    Standing,
    Submission,
    Team,
    WebhookEvent,
)
from leaderboard.models.notices import BEFORE
from leaderboard.models.visibility import participants_view, visible_scores

from .webhooks import Event, hooks_of


def of_notices(notices: Iterable[Notice], now: datetime) -> Iterator[Event]:
    """The events of new notices, for teams that have a webhook."""
    notices = list(notices)
    hooks = hooks_of(notice.team_id for notice in notices)
    for notice in notices:
        if notice.team_id in hooks:
            yield _of_notice(notice, now)


def _of_notice(notice: Notice, now: datetime) -> Event:
    about = _about(notice.phase, notice.team)
    if notice.kind in BEFORE:
        before = notice.kind.removeprefix("deadline_")
        data = {**about, "closes_at": notice.phase.closes_at, "before": before}
        return Event(notice.team_id, WebhookEvent.CLOSING, data)
    if notice.kind == NoticeKind.OVERTAKEN:
        assert notice.rival is not None
        data = {**about, "rival": _team(notice.rival), **_rank(notice, now)}
        return Event(notice.team_id, WebhookEvent.OVERTAKEN, data)
    assert notice.submission is not None
    data = {**about, "submission": submission_data(notice.submission, now), "again": notice.again}
    return Event(notice.team_id, f"submission.{notice.submission.state}", data)


def _about(phase: Phase, team: Team) -> dict[str, Any]:
    return {
        "competition": phase.competition.slug,
        "phase": {"id": phase.pk, "slug": phase.slug, "name": phase.name},
        "team": _team(team),
    }


def _team(team: Team) -> dict[str, Any]:
    return {"id": team.pk, "name": team.name}


def _rank(notice: Notice, now: datetime) -> dict[str, int]:
    """The team's rank and the number of teams on the board that it sees."""
    kind = participants_view(notice.phase, now).board
    board = Standing.objects.filter(label_set=notice.phase.labels_id, kind=kind)
    own = board.filter(team=notice.team_id).first()
    return {} if own is None else {"rank": board.rank_of(own), "teams": board.count()}


def submission_data(submission: Submission, now: datetime) -> dict[str, Any]:
    """The submission's main fields as the API names them; scores are fractions of 1, null where they are hidden."""
    evaluation = submission.evaluation
    scores = visible_scores(evaluation, participants_view(submission.phase, now))
    metrics = {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    is_scored = submission.state == "scored"
    return {
        "id": submission.pk,
        "url": f"{settings.SITE_URL}/api/v1/submissions/{submission.pk}/",
        "method": submission.method,
        "state": submission.state,
        "received_at": submission.received_at,
        **{name: ratio and ratio.value for name, ratio in metrics.items()},
        "problems": []
        if is_scored or evaluation is None
        else [problem.as_dict() for problem in evaluation.found_problems],
    }


def of_announcement(announcement: Announcement, teams: Iterable[Team]) -> Iterator[Event]:
    for team in teams:
        said = {"title": announcement.title, "body": announcement.body, "publish_at": announcement.publish_at}
        data = {"competition": announcement.competition.slug, "team": _team(team), "announcement": said}
        yield Event(team.pk, WebhookEvent.ANNOUNCED, data)


def of_correction(phase: Phase, label_set: LabelSet, reason: str, teams: Iterable[Team]) -> Iterator[Event]:
    labels = {"version": label_set.version, "commitment": label_set.commitment}
    for team in teams:
        data = {**_about(phase, team), "labels": labels, "reason": reason}
        yield Event(team.pk, WebhookEvent.CORRECTED, data)

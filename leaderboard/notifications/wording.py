"""What the mails of each kind say. Scores only as people who do not organise may see them, at the time of the mail."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.timesince import timeuntil

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.models import (
    Attempt,
    Competition,
    Extension,
    Notice,
    NoticeKind,
    Phase,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.notices import BEFORE
from leaderboard.models.text import moment
from leaderboard.models.visibility import Ratio, View, participants_view, visible_scores
from leaderboard.reporting.results import result_of

from .letters import Letter

LISTED = 20
PROBLEMS = 10
A_LITTLE_LATE = timedelta(minutes=15)
ENDS_IN = {
    NoticeKind.DEADLINE_7D: "7 days",
    NoticeKind.DEADLINE_24H: "24 hours",
    NoticeKind.DEADLINE_1H: "1 hour",
}


def page_of(competition: Competition, path: str = "") -> str:
    return f"{settings.SITE_URL}/c/{competition.slug}/{path}"


def member_of(team: Team) -> str:
    return f"You get this because you are a member of {team}."


def scored(team: Team, notices: list[Notice], now: datetime) -> Letter | None:
    """A score; or several, in a list."""
    submissions = [notice.submission for notice in notices if notice.submission]
    if len(submissions) == 1:
        return _scored_one(team, submissions[0], notices[0].again, now)
    again = " again" if all(notice.again for notice in notices) else ""
    names = _names(notice.phase for notice in notices)
    return Letter(
        NoticeKind.SCORED,
        team.competition,
        f"{len(submissions)} submissions are scored{again}: {names}",
        ("See all submissions", page_of(team.competition, "submissions/")),
        rows=_listed([_line(submission, now) for submission in submissions]),
        reason=member_of(team),
    )


def _scored_one(team: Team, submission: Submission, again: bool, now: datetime) -> Letter:
    phase = submission.phase
    view = participants_view(phase, now)
    scores = visible_scores(submission.evaluation, view)
    shown = f"F1 {scores.f1}" if scores.f1 else ""
    word = "is scored again" if again else "is scored"
    metrics = {"Precision": scores.precision, "Recall": scores.recall}
    return Letter(
        NoticeKind.SCORED,
        team.competition,
        f"{phase.name}: {submission.method} {word}",
        ("See the result", f"{settings.SITE_URL}/submissions/{submission.pk}/"),
        figure=shown,
        caption=f"{submission.method} in {phase.name}" if shown else "",
        paragraphs=() if shown else (f"{phase.name} does not show this score yet.",),
        rows=(
            *((name, f"{ratio} %") for name, ratio in metrics.items() if ratio),
            *_placing(submission, view),
        ),
        reason=member_of(team),
    )


def _placing(submission: Submission, view: View) -> Iterable[tuple[str, str]]:
    result = result_of(submission, view)
    if result and result.place:
        yield "Rank of your team", f"{result.place.rank} of {result.place.teams}"
    if result:
        yield "Best of your team", "yes" if result.best else "no"


def _line(submission: Submission, now: datetime) -> tuple[str, str]:
    scores = visible_scores(submission.evaluation, participants_view(submission.phase, now))
    label = f"{submission.phase.name}, {moment(submission.received_at)}: {submission.method}"
    return label, f"F1 {scores.f1}" if scores.f1 else "not shown yet"


def invalid(team: Team, notices: list[Notice], now: datetime) -> Letter | None:
    """An archive that could not be scored, with its problems; or several."""
    submissions = [notice.submission for notice in notices if notice.submission]
    if len(submissions) == 1:
        return _invalid_one(team, submissions[0])
    names = _names(notice.phase for notice in notices)
    return Letter(
        NoticeKind.INVALID,
        team.competition,
        f"{names}: {len(submissions)} archives could not be scored",
        ("See all submissions", page_of(team.competition, "submissions/")),
        paragraphs=("They use no attempts of your team's quota.",),
        rows=_listed([(_line(each, now)[0], str(each.state)) for each in submissions]),
        reason="You get this because you uploaded them.",
    )


def _invalid_one(team: Team, submission: Submission) -> Letter:
    assert submission.evaluation is not None, "it has ended"
    problems = submission.evaluation.found_problems
    more = (f"and {len(problems) - PROBLEMS} more problems",) if len(problems) > PROBLEMS else ()
    failed = submission.evaluation.state == "failed"
    what = "could not be scored because of an error on the server" if failed else "is invalid"
    return Letter(
        NoticeKind.INVALID,
        team.competition,
        f"{submission.phase.name}: your archive {'could not be scored' if failed else 'is invalid'}",
        ("See the submission", f"{settings.SITE_URL}/submissions/{submission.pk}/"),
        paragraphs=(f"The archive of {submission.method} {what}. It uses no attempt of your team's quota.",),
        points=(*(str(problem) for problem in problems[:PROBLEMS]), *more),
        reason="You get this because you uploaded it.",
    )


def overtaken(team: Team, notices: list[Notice], now: datetime) -> Letter | None:
    """Who is ahead now, on boards that the team may see; None if it has caught up meanwhile."""
    found = [row for notice in notices if (row := _ahead(team, notice, now))]
    if not found:
        return None
    phases = list(dict.fromkeys(phase for phase, *_ in found))
    rows: dict[str, str] = {}
    for phase, rival, theirs, own in found:
        rows[f"{phase.name}: {rival}"] = f"F1 {Ratio(theirs.rank_key, KEY_SCALE)}"
        rows[f"{phase.name}: {team}"] = f"F1 {Ratio(own.rank_key, KEY_SCALE)}"
    rivals = list(dict.fromkeys(str(rival) for _, rival, *_ in found))
    who = f"{rivals[0]} is" if len(rivals) == 1 else f"{len(rivals)} teams are"
    phase, _, _, own = found[0]
    board = Standing.objects.filter(label_set=own.label_set_id, kind=own.kind)
    return Letter(
        NoticeKind.OVERTAKEN,
        team.competition,
        f"{_names(phases)}: {who} ahead of you",
        ("See the leaderboard", page_of(team.competition, f"board/{phase.slug}/")),
        figure=f"Rank {board.rank_of(own)}",
        caption=f"of {board.count()} teams in {phase.name}",
        rows=tuple(rows.items())[: 2 * LISTED],
        reason=member_of(team),
    )


def _ahead(team: Team, notice: Notice, now: datetime) -> tuple[Phase, Team, Standing, Standing] | None:
    """The rival's and the team's own row of the board that the team sees, if the rival's is better."""
    phase = notice.phase
    board = Standing.objects.filter(label_set=phase.labels_id, kind=participants_view(phase, now).board)
    rows = {row.team_id: row for row in board.filter(team__in=[team.pk, notice.rival_id])}
    own, theirs = rows.get(team.pk), rows.get(notice.rival_id or 0)
    if own is None or theirs is None or theirs.rank_key <= own.rank_key:
        return None
    assert notice.rival is not None
    return phase, notice.rival, theirs, own


def deadline(team: Team, notices: list[Notice], now: datetime) -> Letter | None:
    """One phase ends soon; None if it has ended meanwhile."""
    notice = notices[0]
    phase, kind = Extension.objects.phase_of(team, notice.phase), NoticeKind(notice.kind)
    if phase.closes_at is None or phase.has_closed(now):
        return None
    left = Attempt.objects.usage(team, phase, now).remaining
    is_due = (
        abs(phase.closes_at - BEFORE[kind] - now) <= A_LITTLE_LATE
    )  # neither late, nor extended for the team
    words = ENDS_IN[kind] if is_due else timeuntil(phase.closes_at, now)
    return Letter(
        kind,
        team.competition,
        f"{phase.name} ends in {words}",
        ("Submit", page_of(team.competition, "submit/")),
        figure=words,
        caption=f"until {moment(phase.closes_at)}",
        rows=() if left is None else (("Submissions left now", str(left)),),
        reason=f"{member_of(team)} It can still submit.",
    )


def _names(phases: Iterable[Phase]) -> str:
    return ", ".join(dict.fromkeys(phase.name for phase in phases))


def _listed(rows: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The newest rows; the last one counts those left out."""
    more = len(rows) - LISTED
    return (*rows[-LISTED:], *([("and earlier ones", str(more))] if more > 0 else []))


LETTERS: dict[NoticeKind, Callable[[Team, list[Notice], datetime], Letter | None]] = {
    NoticeKind.SCORED: scored,
    NoticeKind.INVALID: invalid,
    NoticeKind.OVERTAKEN: overtaken,
    **dict.fromkeys(ENDS_IN, deadline),
}

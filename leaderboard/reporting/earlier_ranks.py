"""Boards of the past, as far as today's rows show them; workers write down the ranks at the end of yesterday."""

from bisect import bisect_right
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from leaderboard.models import Phase, Standing, Submission
from leaderboard.models.submissions import SubmissionQuerySet
from leaderboard.models.visibility import View


def keep_ranks(phase: Phase, kind: str, midnight: datetime) -> int:
    """Write the ranks at this moment beside today's standings; returns how many there were."""
    ranks = ranks_at(phase, kind, midnight)
    moved = [
        standing
        for standing in Standing.objects.board(phase, kind).select_related(None)
        if standing.earlier_rank != ranks.get(standing.team_id)
    ]
    for standing in moved:
        standing.earlier_rank = ranks.get(standing.team_id)
    if moved:
        Standing.objects.bulk_update(moved, ["earlier_rank"], batch_size=500)
        Phase.objects.bump_board(phase.pk)
    return len(ranks)


def ranks_at(phase: Phase, kind: str, moment: datetime) -> dict[int, int]:
    """The rank of each team at this moment; none on a board's first day, when everybody is new."""
    keys = _keys_before(phase, kind, moment)
    ordered = sorted(keys.values())
    return {team: 1 + len(ordered) - bisect_right(ordered, key) for team, key in keys.items()}


def stood_at(phase: Phase, moment: datetime) -> SubmissionQuerySet:
    """The submissions that stood on the phase's board at this moment, also those that were withdrawn later."""
    past = Submission.objects.seen_over_time(phase).received_before(moment)
    return past.filter(Q(withdrawn_at=None) | Q(withdrawn_at__gte=moment))


def past_is_public(phase: Phase, view: View) -> bool:
    """Whether a viewer may see earlier boards: not where the phase hides its board or releases it by a Ladder, nor where
    selected submissions count, because a team may have chosen others then."""
    if view.board is None or phase.labels is None or phase.hidden_until_close:
        return False
    return phase.ladder_step is None and phase.counts != Phase.Counts.SELECTED


def _keys_before(phase: Phase, kind: str, moment: datetime) -> dict[int, int]:
    """The rank key of each team as it was at this moment. Reads only the submissions of teams that changed since."""
    standings = Standing.objects.board(phase, kind).order_by()
    rows = list(standings.select_related(None).values_list("team", "rank_key", "achieved_at"))
    keys = {team: key for team, key, achieved_at in rows if achieved_at < moment}
    changed = [team for team, _, achieved_at in rows if achieved_at >= moment]
    withdrawn = Submission.objects.filter(phase=phase, withdrawn_at__gte=moment).values("team")
    past = stood_at(phase, moment).filter(Q(team__in=changed) | Q(team__in=withdrawn)).order_by()
    made: Any
    if phase.counts == Phase.Counts.LATEST:
        made = past.order_by("received_at", "pk").values_list("team", "evaluation__rank_key")
    else:
        made = past.values_list("team").annotate(key=Max("evaluation__rank_key"))
    return keys | dict(made)

"""Awards: given by rank or by the committee, taken back with a reason; each act is in the public log."""

from typing import Any

from django.db import transaction
from django.template.defaultfilters import pluralize
from django.utils import timezone

from leaderboard.models import AuditEntry, Award, Competition, Evaluation, Phase, Prize, Standing, Team
from leaderboard.models.boards import with_ranks

from .descriptions import why_not_eligible
from .judging import why_not_final
from .organisers import in_turn
from .records import need_reason
from .refusals import Conflict, InvalidInput, NotAllowed, check_fields, check_organiser

NAMED = 10  # teams of which a sentence says the rule that they fail


def prepare_award(user: Any, competition: Competition, team: Team, title: str, citation: str = "") -> Award:
    """The award as it would be given, not saved yet; raises every refusal of ``give_award``."""
    check_organiser(user, competition)
    if team.competition_id != competition.pk:
        raise InvalidInput(f"Choose a team of {competition}.")
    if why_not := why_not_eligible(team):
        raise NotAllowed(f"{team} is not eligible. {why_not}")
    award = Award(competition=competition, team=team, title=title.strip(), citation=citation.strip())
    check_fields(award, "title", "citation")
    if competition.awards.filter(title=award.title).exists():
        raise Conflict(f"The award {award.title!r} has been given already. Take it back first.")
    prizes = list(competition.prizes.values_list("title", flat=True))
    award.position = prizes.index(award.title) if award.title in prizes else len(prizes)
    return award


def give_award(user: Any, competition: Competition, team: Team, title: str, citation: str = "") -> Award:
    """An award to an eligible team; the committee's prize is given the same way, with its citation."""
    with transaction.atomic():
        in_turn(competition)
        award = prepare_award(user, competition, team, title, citation)
        award.save()
        AuditEntry.objects.append(
            "award given",
            competition=competition,
            actor=user,
            subject=str(award),
            reason=award.citation,
            public=True,
        )
    return award


def take_award_back(user: Any, award: Award, reason: str) -> None:
    check_organiser(user, award.competition)
    reason = need_reason(reason)
    with transaction.atomic():
        AuditEntry.objects.append(
            "award taken back",
            competition=award.competition,
            actor=user,
            subject=str(award),
            reason=reason,
            public=True,
        )
        award.delete()


def give_ranked_awards(user: Any, competition: Competition, note: str = "") -> list[Award]:
    """Give each remaining award by rank to the eligible team at that rank, once the phase has ended.

    Ranks are among the eligible teams. Of the phases that have ended, all or none: where two teams share a rank, the organisers decide and give it
    by hand. ``note`` follows the citation, which names rank and phase.
    """
    given = competition.awards.values("title")
    waiting = competition.prizes.exclude(rank=None).exclude(title__in=given).select_related("phase__labels")
    without: list[str] = []
    with transaction.atomic():
        awards = []
        for prize in waiting:
            phase = prize.phase
            assert phase is not None, "an award by rank names its phase"
            if not_yet := why_not_final(phase, timezone.now()):
                without.append(not_yet.message)  # those of other phases are given
                continue
            winner = winner_of(competition, prize, phase)
            if winner is not None:
                citation = f"Rank {prize.rank} of {phase.name}. {note}"[:500]
                awards.append(give_award(user, competition, winner, prize.title, citation))
            else:
                without.append(why_no_winner(competition, prize, phase))
    if not awards:
        raise Conflict(" ".join(dict.fromkeys(without)) or "All awards by rank are given.")
    return awards


def why_no_winner(competition: Competition, prize: Prize, phase: Phase) -> str:
    """A sentence about an award that no eligible team gets, with the rule that each ranked team fails."""
    ranked = [standing.team for standing in Standing.objects.board(phase, Standing.Kind.EXACT)]
    among = Team.objects.filter(pk__in=[team.pk for team in ranked]).with_eligibility()
    fails = among.exclude(not_eligible="")  # type: ignore[misc]  # an annotation
    failing = set(fails.values_list("pk", flat=True))
    named = [f"{team}: {why_not_eligible(team)}" for team in ranked if team.pk in failing][:NAMED]
    eligible = len(ranked) - len(failing)
    more = f" And {len(failing) - NAMED} more." if len(failing) > NAMED else ""
    teams = f"{eligible} of {len(ranked)} ranked team{pluralize(len(ranked))} {pluralize(eligible, 'is,are')} eligible"
    reasons = f" Not eligible: {' '.join(named)}{more}" if named else ""
    return f"{prize.title}: no eligible team has rank {prize.rank} of {phase.name}; {teams}.{reasons}"


def winner_of(competition: Competition, prize: Prize, phase: Phase) -> Team | None:
    """The eligible team at the prize's rank of the phase; None where there is none."""
    if awaited := Evaluation.objects.awaited(phase).count():
        raise Conflict(
            f"{awaited} submission{pluralize(awaited)} of {phase.name} still wait{pluralize(awaited, 's,')} for a score, "
            "so the ranking is not final. Try again when the status page says that nothing waits."
        )
    ranked = eligible_ranking(competition, phase)
    found = [team for rank, team in ranked if rank == prize.rank]
    if len(found) > 1:
        raise Conflict(
            f"{' and '.join(map(str, found))} share rank {prize.rank}: give {prize.title} by hand."
        )
    return found[0] if found else None


def eligible_ranking(competition: Competition, phase: Phase) -> list[tuple[int, Team]]:
    """The exact ranking of the eligible teams among themselves, best first; equal F1 shares a rank."""
    board = Standing.objects.board(phase, Standing.Kind.EXACT)
    eligible = board.filter(team__in=Team.objects.eligible(competition))
    return [(rank, standing.team) for rank, standing in with_ranks(eligible)]

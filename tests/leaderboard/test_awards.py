"""Awards to be given, awards by rank and by the committee, the winners' page and its certificates."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import awards, descriptions, refusals
from leaderboard.models import Award, Competition, Phase, Prize
from tests.leaderboard.factories import (
    Cast,
    make_competition,
    make_phase,
    make_submission,
    make_team,
    make_user,
    score_now,
)

pytestmark = pytest.mark.django_db


def describe(team, by):
    return descriptions.hand_in_description(by, team, ContentFile(b"%PDF-1.7", name="method.pdf"))


@pytest.fixture
def over(cast: Cast) -> Cast:
    """The phase has ended; three teams ranked, of which the best handed in no description in time."""
    Competition.objects.filter(pk=cast.competition.pk).update(
        descriptions_due_at=timezone.now() + timedelta(hours=1)
    )
    cast.competition.refresh_from_db()
    for team, by in ((cast.team, cast.owner), (cast.other_team, cast.rival)):
        team.refresh_from_db()
        describe(team, by)
    for team, hits in ((make_team(cast.competition, "Late"), 90), (cast.team, 80), (cast.other_team, 70)):
        make_submission(team, cast.phase, (hits, 10, 10))
    for rank, title in ((1, "1st place"), (2, "2nd place"), (3, "3rd place")):
        Prize.objects.create(
            competition=cast.competition, title=title, phase=cast.phase, rank=rank, position=rank
        )
    Prize.objects.create(competition=cast.competition, title="Special prize", position=4)
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now() - timedelta(minutes=1))
    return cast


def test_awards_go_to_eligible_teams_and_are_logged(cast):
    Competition.objects.filter(pk=cast.competition.pk).update(
        descriptions_due_at=timezone.now() + timedelta(hours=1)
    )
    cast.competition.refresh_from_db()
    cast.team.refresh_from_db()
    with pytest.raises(refusals.NotAllowed, match="No method description has been handed in yet"):
        awards.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    described = describe(cast.team, cast.owner)
    award = awards.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    with pytest.raises(refusals.Conflict, match="given already"):
        awards.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    with pytest.raises(refusals.NotAllowed):
        awards.give_award(make_user("visitor"), cast.competition, cast.team, "Own prize")
    with pytest.raises(refusals.InvalidInput, match="team of Landslides"):
        awards.give_award(cast.organiser, cast.competition, make_team(make_competition("other")), "2nd")
    with pytest.raises(refusals.InvalidInput, match="slash"):
        awards.give_award(cast.organiser, cast.competition, cast.team, "1st/2nd")
    with pytest.raises(refusals.Conflict, match="holds the award '1st place'"):
        descriptions.rule_out(cast.organiser, described, "copied")
    with pytest.raises(refusals.InvalidInput, match="reason"):
        awards.take_award_back(cast.organiser, award, "")
    awards.take_award_back(cast.organiser, award, "a mistake")
    assert not Award.objects.exists()
    acts = cast.competition.audit.order_by("id").values_list("act", "public")
    assert list(acts) == [("award given", True), ("award taken back", True)]


def test_awards_by_rank_pass_over_who_is_not_eligible(over):
    given = awards.give_ranked_awards(over.organiser, over.competition)
    assert [str(award) for award in given] == ["1st place: Alpine", "2nd place: Rivals"]
    assert given[0].citation == "Rank 1 of Validation."
    assert [award.position for award in given] == [0, 1]
    with pytest.raises(
        refusals.Conflict, match="no eligible team has rank 3 of Validation; 2 of 3 ranked teams are eligible"
    ):
        awards.give_ranked_awards(over.organiser, over.competition)


def test_awards_by_rank_wait_for_the_end_and_for_a_decision_where_two_share_a_rank(over):
    make_submission(over.other_team, over.phase, (80, 10, 10))
    with pytest.raises(refusals.Conflict, match="Alpine and Rivals share rank 1: give 1st place by hand"):
        awards.give_ranked_awards(over.organiser, over.competition)
    Phase.objects.filter(pk=over.phase.pk).update(closes_at=timezone.now() + timedelta(hours=1))
    with pytest.raises(refusals.Conflict, match="has not ended"):
        awards.give_ranked_awards(over.organiser, over.competition)
    assert not Award.objects.exists(), "all or none"
    with pytest.raises(refusals.Conflict, match="All awards by rank are given"):
        awards.give_ranked_awards(over.organiser, make_competition("empty", organiser=over.organiser))


def test_awards_of_a_phase_that_has_ended_do_not_wait_for_another_phase(over):
    """The test phase is still to come; the winners of the validation are honoured meanwhile."""
    later = make_phase(over.competition, "test")
    for rank in (1, 2):
        Prize.objects.create(competition=over.competition, title=f"Test {rank}", phase=later, rank=rank)
    given = awards.give_ranked_awards(over.organiser, over.competition)
    assert [str(award) for award in given] == ["1st place: Alpine", "2nd place: Rivals"]
    with pytest.raises(refusals.Conflict, match="has not ended") as refused:
        awards.give_ranked_awards(over.organiser, over.competition)
    assert str(refused.value).count("Test has not ended") == 1


def test_only_an_organiser_gives_awards(over):
    with pytest.raises(refusals.NotAllowed):
        awards.give_ranked_awards(over.owner, over.competition)


def test_the_winners_page_from_what_can_be_won_to_the_certificate(over, client: Client) -> None:
    page = reverse("pages:winners", args=[over.competition.slug])
    text = client.get(page).content.decode()
    assert "Awards to be given" in text
    assert "rank 3 in Validation, among the eligible teams" in text
    assert "Give an award" not in text
    client.force_login(over.organiser)
    client.post(reverse("pages:give-ranked", args=[over.competition.slug]))
    prize = {"team": over.team.name, "title": "Special prize", "citation": "For <originality>."}
    text = client.post(page, prize, follow=True).content.decode()
    assert "For &lt;originality&gt;." in text
    answer = client.post(page, prize)
    assert answer.status_code == 409
    assert 'value="For &lt;originality&gt;."' in answer.content.decode(), "what was typed is still there"
    client.logout()
    text = client.get(page).content.decode()
    assert text.index("1st place") < text.index("2nd place") < text.index("Special prize")
    assert "Not yet awarded" in text
    paper = client.get(
        reverse("pages:certificate", args=[over.competition.slug, "Special prize"])
    ).content.decode()
    for words in ("Special prize", "Alpine", "owner, teammate", "For &lt;originality&gt;."):
        assert words in " ".join(paper.split())


def test_no_award_by_rank_while_a_submission_waits_for_its_score(over: Cast) -> None:
    waiting = make_submission(over.other_team, over.phase, state="queued")
    with pytest.raises(refusals.Conflict, match="1 submission of Validation still waits for a score"):
        awards.give_ranked_awards(over.organiser, over.competition)
    score_now(waiting, (99, 1, 1))
    first, *_ = awards.give_ranked_awards(over.organiser, over.competition)
    assert first.team == over.other_team

"""Method descriptions, awards and prizes in the admin: the same actions as everywhere, each logged once."""

import pytest
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import reverse

from leaderboard.actions import descriptions
from leaderboard.models import Award, MethodDescription, Phase, Prize, Team
from tests.leaderboard.factories import Cast, make_submission

PDF = b"%PDF-1.7 what we did"


@pytest.fixture
def organiser(client: Client, cast: Cast) -> Client:
    client.force_login(cast.organiser)
    return client


@pytest.fixture
def description(cast: Cast) -> MethodDescription:
    return descriptions.hand_in_description(cast.owner, cast.team, ContentFile(PDF, name="method.pdf"))


def url(name: str, *args: object) -> str:
    return reverse(f"admin:leaderboard_{name}", args=args)


def acts(cast: Cast) -> list[tuple[str, str, str]]:
    return list(cast.competition.audit.order_by("id").values_list("act", "subject", "reason"))


def test_a_description_is_read_and_ruled_out(
    cast: Cast, organiser: Client, description: MethodDescription
) -> None:
    answer = organiser.get(url("methoddescription_pdf", description.pk))
    assert (answer.content, answer["Content-Type"]) == (PDF, "application/pdf")
    assert "attachment" in answer["Content-Disposition"]
    rule_out = url("methoddescription_rule_out", description.pk)
    assert "required" in organiser.post(rule_out, {"confirmed": "yes", "reason": ""}).content.decode()
    page = organiser.post(
        rule_out, {"confirmed": "yes", "reason": "names nobody"}, follow=True
    ).content.decode()
    assert "The description of Alpine is ineligible." in page
    assert "ruled the method description out: names nobody" in page
    assert "(&#x27;" not in page
    assert not Team.objects.eligible(cast.competition).filter(pk=cast.team.pk).exists()
    accept = url("methoddescription_accept", description.pk)
    organiser.post(accept, {"confirmed": "yes", "reason": "found them on page two"})
    assert Team.objects.eligible(cast.competition).filter(pk=cast.team.pk).exists()
    assert acts(cast) == [
        ("description ineligible", "Alpine", "names nobody"),
        ("description accepted", "Alpine", "found them on page two"),
    ]


def test_the_committee_gives_its_prize_with_its_citation_and_takes_it_back(
    cast: Cast, organiser: Client
) -> None:
    body = {"team": cast.team.pk, "title": "Special prize", "citation": "For originality."}
    page = organiser.post(url("award_add"), body, follow=True).content.decode()
    assert "Special prize: Alpine" in page
    assert acts(cast) == [("award given", "Special prize: Alpine", "For originality.")], "logged once"
    assert "has been given already" in organiser.post(url("award_add"), body).content.decode()
    award = Award.objects.get()
    page = organiser.get(url("award_change", award.pk)).content.decode()
    assert reverse("pages:certificate", args=[cast.competition.slug, "Special prize"]) in page
    organiser.post(url("award_take_back", award.pk), {"confirmed": "yes", "reason": "a mistake"})
    assert not Award.objects.exists()
    assert acts(cast)[1] == ("award taken back", "Special prize: Alpine", "a mistake")


def test_who_is_not_eligible_gets_no_award(
    cast: Cast, organiser: Client, description: MethodDescription
) -> None:
    descriptions.rule_out(cast.organiser, description, "copied")
    body = {"team": cast.team.pk, "title": "1st place", "citation": ""}
    page = organiser.post(url("award_add"), body).content.decode()
    assert "Alpine is not eligible." in page
    assert "copied" in page
    assert not Award.objects.exists()


def test_prizes_are_made_and_given_by_rank(cast: Cast, organiser: Client) -> None:
    body = {"competition": cast.competition.pk, "title": "1st place", "rank": 1, "position": 1, "note": ""}
    assert "needs a phase and a rank" in organiser.post(url("prize_add"), body).content.decode()
    organiser.post(url("prize_add"), {**body, "phase": cast.phase.pk})
    prize = Prize.objects.get()
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    give = url("competition_give_ranked", cast.competition.pk)
    sent = {"confirmed": "yes", "reason": "Jury of 21 June."}
    assert "has not ended" in organiser.post(give, sent).content.decode()
    Phase.objects.update(opens_at="2020-01-01T00:00Z", closes_at="2020-02-01T00:00Z")
    page = organiser.post(give, sent, follow=True).content.decode()
    assert "Given: 1st place: Rivals." in page
    assert Award.objects.get().citation == "Rank 1 of Validation. Jury of 21 June."
    assert [act for act, *_ in acts(cast)] == ["prize added", "award given"]
    assert organiser.post(url("prize_delete", prize.pk), {"post": "yes"}).status_code == 302
    assert acts(cast)[-1][0] == "prize deleted"

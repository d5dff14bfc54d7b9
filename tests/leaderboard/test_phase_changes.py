"""Saving a phase: what surprises comes first, rules change with a public reason, old addresses lead on."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import bulk, phase_changes
from leaderboard.models import AuditEntry, Competition, Phase, Submission
from tests.leaderboard.admin_forms import as_sent
from tests.leaderboard.factories import Cast, make_phase, make_submission

pytestmark = pytest.mark.django_db

RISKY = [
    ({"hidden_until_close": True}, {"hidden_until_close": False}, "see the scores of 1 team on the board"),
    ({"visible_metrics": "f1"}, {"visible_metrics": "all"}, "with precision and recall"),
    ({"freezes_at": timezone.now()}, {"freezes_at": None}, "instead of the frozen or stepwise board"),
    ({}, {"closes_at": timezone.now() - timedelta(hours=1)}, "ends at once"),
    ({}, {"opens_at": timezone.now() + timedelta(days=1)}, "closes until"),
    ({"quota_total": 5}, {"quota_total": 0}, "1 team has used more than 0 submissions in total"),
    ({"quota_on_board": 5}, {"quota_on_board": 0}, "1 team has used more than 0 places on the board"),
    ({"allows_withdrawal": True}, {"allows_withdrawal": False}, "can no longer withdraw"),
    ({}, {"slug": "dev"}, "Links to …/validation/ lead to the new address"),
]


@pytest.fixture
def phase(cast: Cast) -> Phase:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=5, quota_on_board=5)
    cast.phase.refresh_from_db()
    make_submission(cast.team, cast.phase)
    return cast.phase


@pytest.fixture
def organiser(cast: Cast, client: Client) -> Client:
    client.force_login(cast.organiser)
    return client


def save(client: Client, phase: Phase, **fields: Any) -> Any:
    address = reverse("admin:leaderboard_phase_change", args=[phase.pk])
    data = {**as_sent(client.get(address)), **fields}
    return client.post(address, {name: value for name, value in data.items() if value is not None})


@pytest.mark.parametrize(("before", "after", "sentence"), RISKY)
def test_each_consequence_is_a_sentence(
    phase: Phase, before: dict[str, Any], after: dict[str, Any], sentence: str
) -> None:
    Phase.objects.filter(pk=phase.pk).update(**before)
    old, new = (Phase.objects.with_labels().get(pk=phase.pk) for _ in range(2))
    now = timezone.now()
    assert phase_changes.consequences(old, new, now) == []
    for name, value in after.items():
        setattr(new, name, value)
    found = phase_changes.consequences(old, new, now)
    assert len(found) == 1
    assert sentence in found[0]


def test_an_end_beyond_the_next_opening_is_said(cast: Cast, phase: Phase) -> None:
    following = make_phase(cast.competition, slug="test", opens_at=timezone.now() + timedelta(days=3))
    old, new = (Phase.objects.with_labels().get(pk=phase.pk) for _ in range(2))
    new.closes_at = following.opens_at + timedelta(days=1)
    assert "both will be open" in phase_changes.consequences(old, new, timezone.now())[0]


def test_nothing_is_saved_before_it_is_confirmed(organiser: Client, phase: Phase) -> None:
    Phase.objects.filter(pk=phase.pk).update(hidden_until_close=True)
    page = save(organiser, phase, hidden_until_close=None, reason="the end is near").content.decode()
    assert "see the scores of 1 team on the board, which is hidden now. This cannot be undone." in page
    phase.refresh_from_db()
    assert phase.hidden_until_close
    response = save(organiser, phase, hidden_until_close=None, reason="the end is near", confirmed="on")
    assert response.status_code == 302, response.content.decode()
    phase.refresh_from_db()
    assert not phase.hidden_until_close


def test_a_rule_needs_a_reason_and_both_are_public(organiser: Client, cast: Cast, phase: Phase) -> None:
    assert "Please give a reason" in save(organiser, phase, quota_total=7).content.decode()
    assert save(organiser, phase, quota_total=7, reason="a weekend more").status_code == 302
    entry = AuditEntry.objects.get(act="phase changed")
    assert (entry.public, entry.reason, entry.details) == (
        True,
        "a weekend more",
        {"quota_total": ["5", "7"]},
    )
    page = organiser.get(reverse("pages:trust", args=[cast.competition.slug])).content.decode()
    assert "a weekend more" in page
    assert "No entry is withheld" in page


def test_withheld_entries_are_counted(organiser: Client, cast: Cast, phase: Phase) -> None:
    save(organiser, phase, quota_total=7, reason="a secret", withhold="names a person")
    bulk.disqualify(cast.organiser, Submission.objects.get(), "a fault", withhold="names a person")
    page = organiser.get(reverse("pages:trust", args=[cast.competition.slug])).content.decode()
    assert "2 entries are withheld" in page
    assert "a secret" not in page


def test_other_fields_need_no_reason(organiser: Client, phase: Phase) -> None:
    assert save(organiser, phase, summary="Another summary").status_code == 302
    assert not AuditEntry.objects.get(act="phase changed").public


def test_old_addresses_lead_to_the_new_ones(
    organiser: Client, cast: Cast, phase: Phase, client: Client
) -> None:
    assert save(organiser, phase, slug="dev", confirmed="on").status_code == 302
    old = reverse("pages:competition", args=[cast.competition.slug])
    assert client.get(f"{old}board/validation/?page=1")["Location"] == f"{old}board/dev/?page=1"
    Competition.objects.filter(pk=cast.competition.pk).update(slug="slides")
    cast.competition.refresh_from_db()
    phase_changes.keep_former_slugs(cast.competition, None, "landslides")
    assert client.get(old)["Location"] == "/c/slides/"
    assert client.get(f"{old}board/validation/")["Location"] == "/c/slides/board/dev/"
    assert client.get("/c/nowhere/").status_code == 404


def test_a_bulk_act_refreshes_each_team_once(cast: Cast, django_assert_max_num_queries: Any) -> None:
    for _ in range(20):
        make_submission(cast.team, cast.phase)
        make_submission(cast.other_team, cast.phase)
    with django_assert_max_num_queries(60):
        assert (
            bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), "copied").number_changed == 40
        )
    assert Submission.objects.exclude(disqualified_at=None).count() == 40
    assert AuditEntry.objects.filter(act="disqualified").count() == 2
    assert bulk.begin(cast.organiser, "restore", Submission.objects.all(), "not copied").number_changed == 40

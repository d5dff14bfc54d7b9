"""Saving a competition's settings: what surprises comes first, rules change with a public reason."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import competition_changes
from leaderboard.models import AuditEntry, Competition, MethodDescription
from tests.leaderboard.admin_forms import as_sent
from tests.leaderboard.factories import Cast

pytestmark = pytest.mark.django_db
NOW = timezone.now()
PAST, AHEAD = NOW - timedelta(days=1), NOW + timedelta(days=1)

RISKY = [
    ({}, {"is_published": False}, "2 teams can neither see it nor submit"),
    ({"is_published": False}, {"is_published": True}, "At once everyone can see"),
    ({}, {"roster_locks_at": PAST}, "Teams are locked at once"),
    ({"roster_locks_at": PAST}, {"roster_locks_at": AHEAD}, "open again until"),
    ({}, {"mergers_until": PAST}, "can no longer merge"),
    ({}, {"descriptions_due_at": NOW - timedelta(days=3)}, "1 team handed in a description after"),
    ({}, {"descriptions_due_at": PAST}, "1 team without a description is not eligible"),
    ({"descriptions_due_at": PAST}, {"descriptions_due_at": None}, "Every team becomes eligible"),
    ({}, {"max_team_size": 1}, "1 team has more than 1 members"),
    ({}, {"slug": "other"}, "lead to the new address"),
]


@pytest.fixture
def organiser(cast: Cast, client: Client) -> Client:
    MethodDescription.objects.create(team=cast.team, pdf=b"%PDF", uploaded_at=NOW - timedelta(days=2))
    client.force_login(cast.organiser)
    return client


@pytest.mark.parametrize(("before", "after", "sentence"), RISKY)
def test_each_consequence_is_a_sentence(
    cast: Cast, organiser: Client, before: dict[str, Any], after: dict[str, Any], sentence: str
) -> None:
    Competition.objects.filter(pk=cast.competition.pk).update(**before)
    old, new = (Competition.objects.get(pk=cast.competition.pk) for _ in range(2))
    assert competition_changes.consequences(old, new, NOW) == []
    for name, value in after.items():
        setattr(new, name, value)
    found = competition_changes.consequences(old, new, NOW)
    assert sentence in " ".join(found)


def test_a_save_with_consequences_waits_for_a_reason_and_a_yes(cast: Cast, organiser: Client) -> None:
    address = reverse("admin:leaderboard_competition_change", args=[cast.competition.pk])

    def save(**more: str) -> Any:
        return organiser.post(address, {**as_sent(organiser.get(address)), "max_team_size": "1", **more})

    answer = save()
    assert answer.status_code == 200, AuditEntry.objects.get().details
    assert b"Please give a reason" in answer.content
    page = save(reason="the rules say so").content
    assert b"1 team has more than 1 members" in page
    assert b"Nothing is saved yet" in page
    cast.competition.refresh_from_db()
    assert cast.competition.max_team_size is None
    assert save(reason="the rules say so", confirmed="on").status_code == 302
    cast.competition.refresh_from_db()
    assert cast.competition.max_team_size == 1
    entry = AuditEntry.objects.get()
    assert (entry.reason, entry.public, entry.details) == (
        "the rules say so",
        True,
        {"max_team_size": ["", "1"]},
    )


def test_words_need_no_reason(cast: Cast, organiser: Client) -> None:
    address = reverse("admin:leaderboard_competition_change", args=[cast.competition.pk])
    sent = {**as_sent(organiser.get(address)), "summary": "Find them."}
    assert organiser.post(address, sent).status_code == 302
    assert AuditEntry.objects.get().public is False
    cast.competition.refresh_from_db()
    assert cast.competition.summary == "Find them."

"""Organisers speak to teams: to whom it goes, when, where it is read, and what can still be changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import announcements
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed
from leaderboard.models import Announcement, AuditEntry
from leaderboard.notifications.announcements import send_due
from tests.leaderboard.factories import Cast, make_competition, make_submission, make_team

pytestmark = pytest.mark.django_db


def write(cast: Cast, **fields: Any) -> Announcement:
    return Announcement(competition=cast.competition, title="A new date", body="It is **later**.", **fields)


def sent_to() -> set[str]:
    return {address for message in mail.outbox for address in message.to}


@pytest.fixture
def addresses(cast: Cast) -> dict[str, str]:
    people = {"owner": cast.owner, "teammate": cast.teammate, "rival": cast.rival}
    assert all(person.email for person in people.values())
    return {name: person.email for name, person in people.items()}


def test_everyone_gets_one_mail_and_reads_it_on_the_page(
    cast: Cast, addresses: dict[str, str], client: Client
) -> None:
    announcements.announce(cast.organiser, write(cast))
    now = timezone.now()
    assert (send_due(now), send_due(now)) == (1, 0)
    assert sent_to() == set(addresses.values())
    assert len(mail.outbox) == 3
    assert "It is **later**." in mail.outbox[0].body
    page = client.get(reverse("pages:announcements", args=[cast.competition.slug])).content.decode()
    assert "It is <strong>later</strong>." in page
    assert (
        "A new date"
        in client.get(reverse("pages:competition", args=[cast.competition.slug])).content.decode()
    )
    feed = client.get(reverse("pages:announcements-feed", args=[cast.competition.slug]))
    assert feed["Content-Type"].startswith("application/atom+xml")
    assert "A new date" in feed.content.decode()
    assert AuditEntry.objects.get(act="announced").public


@pytest.mark.parametrize(
    ("audience", "readers"),
    [("no_submission", {"rival"}), ("no_description", {"owner", "teammate", "rival"})],
)
def test_an_audience_is_mailed_and_nothing_is_public(
    cast: Cast, addresses: dict[str, str], client: Client, audience: str, readers: set[str]
) -> None:
    make_submission(cast.team, cast.phase)
    announcements.announce(cast.organiser, write(cast, audience=audience))
    send_due(timezone.now())
    assert sent_to() == {addresses[name] for name in readers}
    page = client.get(reverse("pages:announcements", args=[cast.competition.slug])).content.decode()
    assert "A new date" not in page
    assert not AuditEntry.objects.get(act="announced").public


def test_one_team(cast: Cast, addresses: dict[str, str]) -> None:
    announcements.announce(cast.organiser, write(cast, audience="team", team=cast.other_team))
    send_due(timezone.now())
    assert sent_to() == {addresses["rival"]}
    elsewhere = make_team(make_competition("elsewhere"), "Others")
    with pytest.raises(InvalidInput, match="another competition"):
        announcements.announce(cast.organiser, write(cast, audience="team", team=elsewhere))


def test_a_scheduled_one_waits_and_can_be_changed_and_cancelled(cast: Cast, client: Client) -> None:
    later = timezone.now() + timedelta(days=1)
    row = announcements.announce(cast.organiser, write(cast, publish_at=later))
    assert send_due(timezone.now()) == 0
    page = reverse("pages:announcements", args=[cast.competition.slug])
    assert "A new date" not in client.get(page).content.decode()
    row.title = "Another date"
    announcements.announce(cast.organiser, row)
    assert send_due(later) == 1
    assert mail.outbox[0].subject.endswith("Another date")
    with pytest.raises(Conflict, match="has been mailed"):
        announcements.announce(cast.organiser, row)
    with pytest.raises(Conflict, match="has been mailed"):
        announcements.cancel(cast.organiser, row)
    other = announcements.announce(cast.organiser, write(cast, publish_at=later))
    announcements.cancel(cast.organiser, other)
    assert send_due(later) == 0


def test_only_organisers_announce(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        announcements.announce(cast.owner, write(cast))


def test_the_desk_shows_what_happens_before_it_sends(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    address = reverse("admin:leaderboard_announcement_add")
    now = timezone.now()
    data = {
        "competition": cast.competition.pk,
        "title": "A new date",
        "body": "It is **later**.",
        "audience": "everyone",
        "publish_at_0": f"{now:%Y-%m-%d}",
        "publish_at_1": "00:00:00",
    }
    page = client.post(address, data).content.decode()
    assert "It goes to 3 people by mail at once." in page
    assert "<strong>later</strong>" in page
    assert not Announcement.objects.exists()
    assert client.post(address, {**data, "confirmed": "on"}).status_code == 302
    row = Announcement.objects.get()
    assert row.author == cast.organiser
    send_due(now)
    change = reverse("admin:leaderboard_announcement_change", args=[row.pk])
    assert client.post(change, {**data, "title": "Changed", "confirmed": "on"}).status_code == 403

"""The dates of a competition as iCalendar, read by a parser that nobody here wrote."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from leaderboard.models import Competition, Phase
from leaderboard.reporting.calendar_file import calendar_of
from tests.leaderboard.factories import make_competition, make_phase

NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def competition(db: None) -> Competition:
    return make_competition(
        name='Rutschungen „Höhe“; Tal, 2026 \\ "quoted"',
        roster_locks_at=NOW + timedelta(days=3),
        descriptions_due_at=NOW + timedelta(days=40),
    )


def events(competition: Competition) -> dict[str, Any]:
    read = Calendar.from_ical(calendar_of(competition, NOW))
    return {str(event["UID"]): event for event in read.walk("VEVENT")}


def test_every_date_is_an_event_in_utc(competition: Competition) -> None:
    closes_at = NOW + timedelta(days=30)
    phase = make_phase(competition, name="Test", summary="Line, one;\r\nline two \\", closes_at=closes_at)
    endless = make_phase(competition, "endless", name="Forever")
    found = events(competition)
    host = "127.0.0.1"
    assert set(found) == {
        f"phase-{phase.pk}-opens@{host}",
        f"phase-{phase.pk}-closes@{host}",
        f"phase-{endless.pk}-opens@{host}",
        f"competition-{competition.pk}-roster@{host}",
        f"competition-{competition.pk}-descriptions@{host}",
    }
    opens = found[f"phase-{phase.pk}-opens@{host}"]
    assert opens["SUMMARY"] == f"{competition.name}: Test opens"
    assert opens["DESCRIPTION"] == "Line, one;\nline two \\"
    closes = found[f"phase-{phase.pk}-closes@{host}"]
    assert closes.decoded("DTSTART") == closes_at
    assert closes.decoded("DTSTART").utcoffset() == timedelta(0)
    assert closes.decoded("DTSTAMP") == NOW
    assert closes["URL"] == f"{settings.SITE_URL}/c/{competition.slug}/submit/"
    assert [alarm.decoded("TRIGGER") for alarm in closes.walk("VALARM")] == [
        timedelta(days=-7),
        timedelta(days=-1),
        timedelta(hours=-1),
    ]
    assert not opens.walk("VALARM")


def test_a_moved_deadline_is_the_same_event_at_another_time(competition: Competition) -> None:
    phase = make_phase(competition, closes_at=NOW + timedelta(days=30))
    before = events(competition)
    Phase.objects.filter(pk=phase.pk).update(closes_at=NOW + timedelta(days=31))
    after = events(competition)
    assert before.keys() == after.keys()
    moved = [uid for uid in before if before[uid].decoded("DTSTART") != after[uid].decoded("DTSTART")]
    assert moved == [f"phase-{phase.pk}-closes@127.0.0.1"]


def test_lines_are_folded_between_characters(competition: Competition) -> None:
    make_phase(competition, summary="ü€𝄞" * 60)
    text = calendar_of(competition, NOW)
    lines = text.encode().split(b"\r\n")
    assert lines.pop() == b""
    assert max(len(line) for line in lines) <= 75
    for line in lines:
        line.decode()  # no part ends inside a character
    assert not any(ord(character) < 32 for line in lines for character in line.decode())
    assert any(event.get("DESCRIPTION") == "ü€𝄞" * 60 for event in events(competition).values())


def test_page_and_api_lead_to_it(competition: Competition, client: Client) -> None:
    make_phase(competition, closes_at=datetime.fromisoformat("2027-03-01T00:00:00Z"))
    address = reverse("pages:calendar", args=[competition.slug])
    assert address in client.get(reverse("pages:competition", args=[competition.slug])).content.decode()
    assert client.get("/api/v1/competitions/landslides/").json()["calendar"].endswith(address)
    answer = client.get(address)
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert "landslides.ics" in answer["Content-Disposition"]
    assert b"DTSTART:20270301T000000Z\r\n" in answer.content
    Competition.objects.update(is_published=False)
    assert client.get(address).status_code == 404

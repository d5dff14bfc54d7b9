"""The dates of a competition as an iCalendar file (RFC 5545), which calendars subscribe to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.conf import settings

from leaderboard.models import Competition

OCTETS_IN_A_LINE = 75
ALARMS = ("-P7D", "-P1D", "-PT1H")  # the moments of the reminders by mail


@dataclass(frozen=True)
class Event:
    """One moment. ``key`` names it for ever, so that a calendar moves the event with its date."""

    key: str
    at: datetime
    title: str
    text: str
    url: str
    is_deadline: bool = False


def events_of(competition: Competition) -> Iterator[Event]:
    """The beginning and the end of each phase, and the other deadlines of the teams."""
    home = f"{settings.SITE_URL}/c/{competition.slug}/"
    for phase in competition.phases.all():
        key, board = f"phase-{phase.pk}", f"{home}board/{phase.slug}/"
        yield Event(f"{key}-opens", phase.opens_at, f"{phase.name} opens", phase.summary, board)
        if phase.closes_at:
            text = f"An upload that began in time may finish within {phase.grace_minutes} minutes."
            title = f"{phase.name}: last submissions"
            yield Event(f"{key}-closes", phase.closes_at, title, text, f"{home}submit/", is_deadline=True)
    key, team = f"competition-{competition.pk}", f"{home}team/"
    if at := competition.roster_locks_at:
        text = "From then on, nobody can join, leave or be removed."
        yield Event(f"{key}-roster", at, "Teams are locked", text, team, is_deadline=True)
    if at := competition.descriptions_due_at:
        text = "Only teams that hand one in by then are eligible."
        yield Event(f"{key}-descriptions", at, "Method descriptions are due", text, team, is_deadline=True)


def calendar_of(competition: Competition, now: datetime) -> str:
    """The calendar file; all times are UTC. ``now`` is the moment of its making."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//{_text(settings.SITE_NAME)}//Leaderboard//EN",
        "CALSCALE:GREGORIAN",
        f"NAME:{_text(competition.name)}",
        f"X-WR-CALNAME:{_text(competition.name)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT6H",
    ]
    for event in events_of(competition):
        lines += _event(competition, event, now)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _event(competition: Competition, event: Event, now: datetime) -> Iterable[str]:
    host = urlsplit(settings.SITE_URL).hostname
    title = f"{competition.name}: {event.title}"
    yield from ("BEGIN:VEVENT", f"UID:{event.key}@{host}", f"DTSTAMP:{_utc(now)}")
    yield from (f"DTSTART:{_utc(event.at)}", f"SUMMARY:{_text(title)}")
    if event.text:
        yield f"DESCRIPTION:{_text(event.text)}"
    yield from (f"URL:{event.url}", "TRANSP:TRANSPARENT")
    for trigger in ALARMS if event.is_deadline else ():
        alarm = ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{_text(title)}", f"TRIGGER:{trigger}")
        yield from (*alarm, "END:VALARM")
    yield "END:VEVENT"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    """A TEXT value: backslash, semicolon, comma and line break are escaped, other control characters dropped."""
    value = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    value = value.replace("\r\n", "\n").replace("\n", "\\n")
    return "".join(character for character in value if character.isprintable())


def _folded(line: str) -> Iterator[str]:
    """The line in parts of at most 75 octets, none of which ends inside a character."""
    part, size = "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > OCTETS_IN_A_LINE:
            yield part
            part, size = " ", 1
        part, size = part + character, size + octets
    yield part

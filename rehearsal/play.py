"""Plays the whole calendar of a competition file and returns what was found."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core import mail
from django.test.utils import override_settings

from leaderboard.actions.calendars import dated
from leaderboard.models import Competition, User

from . import phase_acts, team_acts
from .acts import Act
from .clock import Clock
from .findings import Findings
from .hidden import NOT_LOOKED_FOR
from .rulebook import Rulebook
from .stage import Stage

SETTINGS = {
    "EMAIL_BACKEND": "leaderboard.notifications.mails.Outbox",
    "MAIL_DELIVERY_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    "API_RATES": {"person": 10**9, "address": 10**9, "upload": 10**9, "password": 10**9},
}


class NotScratch(Exception):
    """There is something in this database; a rehearsal makes people, teams and scores up."""


def rehearse(document: dict[str, Any], *, thorough: bool = True) -> Findings:
    """Play the calendar of a checked competition file on the empty database that is in use.

    Not ``thorough``: hidden numbers are looked for only before and after the end of a phase, as a member of another team
    and in mails, logs and export; every rule is tried all the same.

    Raises NotScratch where the database holds anything. CompetitionFileInvalid names what is wrong with the file.
    """
    if User.objects.exists() or Competition.objects.exists():
        raise NotScratch(
            "This database holds people or competitions: a rehearsal runs on an empty one alone."
        )
    findings = Findings(not_looked_for=list(NOT_LOOKED_FOR))
    book = Rulebook.of(dated(document)[0])
    clock = Clock(book.begins_at)
    with override_settings(**SETTINGS), clock.in_force():
        mail.outbox = []
        stage = Stage(dated(document)[0], book, clock, findings, thorough=thorough)
        acts = team_acts.acts_of(stage)
        for rules in book.phases:
            acts += phase_acts.acts_of(stage, rules)
        with listening(stage.walk.log):
            for act in sorted(acts, key=lambda act: (act.moment, act.order)):
                play(act, clock, findings)
    for rule in findings.rules:
        rule.detail = rule.detail if rule.held is not True else ""
    return findings


def play(act: Act, clock: Clock, findings: Findings) -> None:
    """An error of the server, or of an act that could not go on, is a finding like any other."""
    clock.now = act.moment
    try:
        act.do()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
        findings.check(f"The rehearsal goes on: {act.name}", f"{act.moment:%Y-%m-%d %H:%M:%S}", False, told)


@contextmanager
def listening(log: logging.Handler) -> Iterator[None]:
    """All that is logged goes to the walk, and not to the terminal."""
    root = logging.getLogger()
    others, root.handlers = root.handlers, [log]
    try:
        yield
    finally:
        root.handlers = others

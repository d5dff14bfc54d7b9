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
    """The database is not empty; a rehearsal needs an empty one, because it makes up people, teams and scores."""


def rehearse(document: dict[str, Any], *, thorough: bool = True) -> Findings:
    """Play the calendar of a validated competition file on the current, empty database.

    Not ``thorough``: search for hidden numbers only before and after the end of a phase, as a member of another team and
    in mails, logs and export; every rule is still tried.

    Raises NotScratch if the database is not empty, CompetitionFileInvalid if the file is invalid.
    """
    if User.objects.exists() or Competition.objects.exists():
        raise NotScratch(
            "This database contains people or competitions: a rehearsal only runs on an empty database."
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
    """An error in the server or in an act is a finding like any other."""
    clock.now = act.moment
    try:
        act.do()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        cause = f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
        findings.check(f"The act succeeds: {act.name}", f"{act.moment:%Y-%m-%d %H:%M:%S}", False, cause)


@contextmanager
def listening(log: logging.Handler) -> Iterator[None]:
    """Send all log records to the walk instead of the terminal."""
    root = logging.getLogger()
    others, root.handlers = root.handlers, [log]
    try:
        yield
    finally:
        root.handlers = others

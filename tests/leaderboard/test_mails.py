"""The outbox: nothing is sent in a request, nothing is lost, and undeliverable mail is reported."""

from collections.abc import Iterator
from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.core.mail import EmailMessage, send_mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring.counts import pack
from leaderboard.actions import bulk, bulk_kinds, corrections, judging, outbox
from leaderboard.actions.refusals import Conflict, NotAllowed
from leaderboard.models import AuditEntry, LabelSet, Mail
from leaderboard.models.mails import GIVEN_UP_AFTER
from leaderboard.notifications import mails
from tests.leaderboard.factories import TINY, Cast, make_masks, make_submission, make_user


class Server(BaseEmailBackend):
    """A mail server that remembers what it took and may refuse addresses or be away."""

    taken: list[EmailMessage] = []
    refuses: dict[str, int] = {}
    is_away = False

    def open(self) -> bool:
        if self.is_away:
            raise ConnectionRefusedError
        return True

    def send_messages(self, messages: Any) -> int:
        for message in messages:
            (address,) = message.to
            if code := self.refuses.get(address):
                raise SMTPRecipientsRefused({address: (code, b"no")})
            if address.startswith("drops"):
                raise SMTPServerDisconnected
            self.taken.append(message)
        return len(messages)


@pytest.fixture(autouse=True)
def server(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    settings.EMAIL_BACKEND = "leaderboard.notifications.mails.Outbox"
    settings.MAIL_DELIVERY_BACKEND = f"{__name__}.Server"
    monkeypatch.setattr(mails.deliver, "apply_async", lambda **_: None)
    for module in (bulk, bulk_kinds):
        monkeypatch.setattr(module, "ring_on_commit", lambda task: None)
    for name, value in (("taken", []), ("refuses", {}), ("is_away", False)):
        monkeypatch.setattr(Server, name, value)
    return Server


def later() -> None:
    Mail.objects.update(next_try_at=timezone.now())


def addresses() -> list[str]:
    return sorted(address for message in Server.taken for address in message.to)


def test_mail_waits_in_a_row_and_each_address_gets_its_own(server: type[Server]) -> None:
    send_mail("Subject", "Text", None, ["a@example.org", "b@example.org"])
    assert Mail.objects.count() == 2
    assert not server.taken
    assert mails.deliver() == 2
    assert addresses() == ["a@example.org", "b@example.org"]
    assert (server.taken[0].subject, server.taken[0].body) == ("Subject", "Text")
    assert server.taken[0].message()["Auto-Submitted"] == "auto-generated"
    assert not Mail.objects.exists()
    assert mails.deliver() == 0


def test_an_act_that_is_taken_back_sends_nothing() -> None:
    with transaction.atomic():
        send_mail("Subject", "Text", None, ["a@example.org"])
        transaction.set_rollback(True)
    assert mails.deliver() == 0


def test_attachments_are_refused() -> None:
    with pytest.raises(ValueError, match="link"):
        EmailMessage("s", "t", to=["a@example.org"], attachments=[("a.txt", "a", "text/plain")]).send()


def test_a_server_that_is_away_loses_nothing(server: type[Server]) -> None:
    send_mail("Subject", "Text", None, ["a@example.org", "b@example.org"])
    server.is_away = True
    assert mails.deliver() == 0
    assert sorted(Mail.objects.values_list("tries", flat=True)) == [0, 1]  # one was enough to see it
    assert not Mail.objects.due(timezone.now()).filter(tries=1).exists()
    server.is_away = False
    assert mails.deliver() == 1
    later()
    assert mails.deliver() == 1
    assert addresses() == ["a@example.org", "b@example.org"]


def test_a_lost_connection_ends_the_run_and_the_others_follow(server: type[Server]) -> None:
    send_mail("Subject", "Text", None, ["drops@example.org", "b@example.org"])
    assert mails.deliver() == 0
    assert mails.deliver() == 1
    assert Mail.objects.get().to == "drops@example.org"


def test_one_address_that_waits_holds_nobody_up(server: type[Server]) -> None:
    server.refuses["grey@example.org"] = 450
    send_mail("Subject", "Text", None, ["grey@example.org", "b@example.org"])
    assert mails.deliver() == 1
    mail = Mail.objects.get()
    assert (mail.tries, mail.state, mail.error) == (1, "waiting", "SMTPRecipientsRefused")
    server.refuses.clear()
    later()
    assert mails.deliver() == 1


def test_a_refused_address_is_given_up_at_once_and_organisers_are_informed_once(
    cast: Cast, server: type[Server]
) -> None:
    server.refuses |= {"a@example.org": 550, "b@example.org": 550}
    mails.send(cast.competition, "Labels", "Text", ["a@example.org", "b@example.org"])
    assert mails.deliver() == 1  # the notice to the organiser
    assert addresses() == [cast.organiser.email]
    assert "a@example.org" in server.taken[0].body
    assert {mail.state for mail in Mail.objects.all()} == {"given up"}
    entries = AuditEntry.objects.filter(act="mail given up", competition=cast.competition)
    assert entries.count() == 2
    assert "example.org" not in str(list(entries.values("subject", "details")))


def test_after_two_days_it_is_given_up_and_the_notice_of_it_makes_no_notice(
    cast: Cast, server: type[Server]
) -> None:
    server.is_away = True
    mails.send(cast.competition, "Labels", "Text", ["a@example.org"])
    Mail.objects.update(queued_at=timezone.now() - GIVEN_UP_AFTER)
    mails.deliver()
    assert Mail.objects.failed().get().to == "a@example.org"
    assert Mail.objects.waiting().get().to == cast.organiser.email
    Mail.objects.waiting().update(queued_at=timezone.now() - GIVEN_UP_AFTER)
    AuditEntry.objects.filter(act="mail given up").update(at=timezone.now() - timedelta(days=1))
    mails.deliver()
    assert not Mail.objects.waiting().exists()
    Mail.objects.update(failed_at=timezone.now() - timedelta(days=15))
    mails.deliver()
    assert not Mail.objects.exists()


def test_two_workers_never_hold_the_same_mail() -> None:
    send_mail("Subject", "Text", None, ["a@example.org"])
    assert mails._claim() is not None
    assert mails._claim() is None


def test_a_slow_server_is_left_after_some_seconds(server: type[Server], monkeypatch: Any) -> None:
    rung = []
    monkeypatch.setattr(mails, "SECONDS_AT_A_TIME", -1)
    monkeypatch.setattr(mails, "ring", lambda task: rung.append(task))
    send_mail("Subject", "Text", None, [f"{n}@example.org" for n in range(3)])
    assert [mails.deliver() for _ in range(4)] == [1, 1, 1, 0]
    assert len(rung) == 3


def test_a_correction_mails_85_teams_without_a_server(cast: Cast, server: type[Server]) -> None:
    """The request only writes rows; the mails follow when the server is back."""
    from tests.leaderboard.factories import make_team

    for number in range(83):
        team = make_team(cast.competition, owner=make_user(f"owner-{number}"))
        make_submission(team, cast.phase)
    for team in (cast.team, cast.other_team):
        make_submission(team, cast.phase)
    made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    server.is_away = True
    corrections.apply_correction(
        cast.organiser, LabelSet.objects.select_related("phase__competition").get(pk=made.pk), "wrong"
    )
    assert Mail.objects.waiting().count() == 86  # two members in one of the 85 teams
    mails.deliver()
    server.is_away = False
    later()
    assert mails.deliver() == 86  # two members in one of the 85 teams
    assert len(set(addresses())) == 86  # two members in one of the 85 teams


def test_organisers_send_again_or_discard(cast: Cast, server: type[Server], client: Client) -> None:
    server.refuses["a@example.org"] = 550
    mails.send(cast.competition, "Labels", "a-secret-code", ["a@example.org"])
    mail = Mail.objects.get()
    with pytest.raises(Conflict):
        outbox.send_again(cast.organiser, mail, "now")
    mails.deliver()
    with pytest.raises(NotAllowed):
        outbox.send_again(cast.owner, mail, "now")
    client.force_login(cast.organiser)
    assert "could not be delivered" in client.get("/admin/").content.decode()
    for page in ("changelist", "change"):
        arguments = [mail.pk] if page == "change" else []
        shown = client.get(reverse(f"admin:leaderboard_mail_{page}", args=arguments)).content.decode()
        assert "a@example.org" in shown
        assert "a-secret-code" not in shown
    server.refuses.clear()
    again = reverse("admin:leaderboard_mail_again", args=[mail.pk])
    client.post(again, {"confirmed": "1", "reason": "the mailbox was full"})
    assert mails.deliver() == 1
    assert "a@example.org" in addresses()
    send_mail("Code", "of an account", None, ["b@example.org"])
    of_an_account = Mail.objects.get()
    shown = client.get(reverse("admin:leaderboard_mail_change", args=[of_an_account.pk]))
    assert shown.status_code == 302
    with pytest.raises(NotAllowed):
        outbox.discard(cast.organiser, of_an_account, "not mine")
    outbox.discard(make_user("root", is_superuser=True), of_an_account, "spam")
    assert not Mail.objects.exists()

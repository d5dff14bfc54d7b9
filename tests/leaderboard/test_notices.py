"""Mails about one's own submissions and deadlines: who gets which, once, and nothing that a phase hides."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring.counts import pack
from leaderboard.actions import (
    accounts,
    announcements,
    bulk,
    bulk_kinds,
    corrections,
    judging,
    notices,
    single_teams,
)
from leaderboard.actions.submissions import withdraw
from leaderboard.models import (
    Announcement,
    Evaluation,
    LabelSet,
    Notice,
    NoticeChoice,
    NoticeKind,
    Phase,
    Standing,
    Submission,
)
from leaderboard.notifications import notices as job
from leaderboard.notifications.announcements import send_due
from leaderboard.notifications.letters import read_token, unsubscribe_token
from tests.leaderboard.factories import (
    PASSWORD,
    TINY,
    Cast,
    make_competition,
    make_masks,
    make_phase,
    make_submission,
    make_team,
    make_user,
    score_now,
)

pytestmark = pytest.mark.django_db
GOOD, BETTER, POOR = (90, 10, 10), (95, 5, 5), (50, 50, 50)
ALL_ON = {kind.value: True for kind in NoticeKind}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bulk, bulk_kinds):
        monkeypatch.setattr(module, "ring_on_commit", lambda task: None)


@pytest.fixture
def wanting(cast: Cast) -> Cast:
    """The cast, in which everybody wants every mail."""
    for person in (cast.owner, cast.teammate, cast.rival, cast.stranger, cast.organiser):
        notices.choose(person, ALL_ON)
    return cast


def run() -> list[Any]:
    """The mails of one run of the job."""
    before = len(mail.outbox)
    job.work()
    return mail.outbox[before:]


def to(messages: list[Any]) -> list[str]:
    return sorted(address.split("@")[0] for message in messages for address in message.to)


def later(**delta: float) -> None:
    """As if all that has been mailed had been mailed so much earlier."""
    for notice in Notice.objects.exclude(mailed_at=None):
        Notice.objects.filter(pk=notice.pk).update(mailed_at=notice.mailed_at - timedelta(**delta))


def html_of(message: Any) -> str:
    return message.alternatives[0].content


# Scored


def test_a_score_goes_once_to_the_members_who_want_it(cast: Cast) -> None:
    notices.choose(cast.teammate, {"scored": True})
    made = make_submission(cast.team, cast.phase, (80, 20, 20), method="U-Net <b>")
    [message] = run()
    assert to([message]) == ["teammate"]
    assert message.subject.endswith("Validation: U-Net <b> is scored")
    assert "F1 80.00" in message.body
    assert "Precision: 80.00 %" in message.body
    assert "Rank of your team: 1 of 1" in message.body
    assert f"/submissions/{made.pk}/" in message.body
    assert "U-Net &lt;b&gt;" in html_of(message)
    assert "<b>" not in html_of(message)
    assert run() == []


def test_a_mail_shows_itself_without_loading_anything(wanting: Cast) -> None:
    make_submission(wanting.team, wanting.phase)
    html = html_of(run()[0])
    assert not re.search(r"<(img|link|script|iframe)|@import|url\(|src=", html)
    assert html.count("<!doctype html>") == 1


def test_several_scores_within_minutes_are_one_mail(wanting: Cast) -> None:
    make_submission(wanting.team, wanting.phase, method="first")
    assert to(run()) == ["owner", "teammate"]
    for name in ("second", "third"):
        make_submission(wanting.team, wanting.phase, method=name)
    assert run() == []
    later(minutes=11)
    messages = run()
    assert to(messages) == ["owner", "teammate"]
    assert "2 submissions are scored" in messages[0].subject
    assert "second" in messages[0].body
    assert "first" not in messages[0].body


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, {"80.00", "90.91", "71.43"}),
        ({"visible_metrics": "f1"}, {"80.00"}),
        ({"hidden_until_close": True}, set()),
        ({"ladder_step": "0.1", "ladder_start": "0.1"}, set()),
        ({"freezes_at": timezone.now() - timedelta(days=1)}, {"80.00", "90.91", "71.43"}),
    ],
)
def test_what_a_phase_hides_stands_in_no_mail(wanting: Cast, fields: dict[str, Any], shown: set[str]) -> None:
    Phase.objects.filter(pk=wanting.phase.pk).update(
        **fields, closes_at=timezone.now() + timedelta(hours=12), quota_total=9
    )
    phase = Phase.objects.get(pk=wanting.phase.pk)
    make_submission(wanting.other_team, phase, POOR)
    make_submission(wanting.team, phase, (1000, 100, 400))
    messages = run()
    assert to(messages).count("owner") == 1
    text = "".join(message.body + html_of(message) for message in messages if "scored" in message.subject)
    assert {number for number in ("80.00", "90.91", "71.43") if number in text} == shown
    board_is_shown = not {"hidden_until_close", "ladder_step", "freezes_at"} & set(fields)
    assert ("Rank of your team" in text) == board_is_shown


def test_a_score_on_labels_that_are_not_in_force_is_no_news(wanting: Cast) -> None:
    make_submission(wanting.team, wanting.phase)
    run()
    later(days=1)
    judging.load_labels(wanting.organiser, wanting.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    ahead = Evaluation.objects.unfinished().get()
    assert ahead.label_set_id != wanting.phase.labels_id
    Evaluation.objects.filter(pk=ahead.pk).update(
        state="scored", tp=1, fp=1, fn=1, rank_key=1, finished_at=timezone.now()
    )
    assert run() == []
    assert not Evaluation.objects.unnoticed().exists()


def test_scoring_everything_again_is_one_mail_per_person(wanting: Cast) -> None:
    """However long it takes: it waits for the last one."""
    Notice.objects.all().delete()
    for _ in range(3):
        make_submission(wanting.team, wanting.phase)
    make_submission(wanting.other_team, wanting.phase, GOOD)
    run()
    later(days=1)
    bulk.rescore(wanting.organiser, Submission.objects.all(), "a new scorer")
    waiting = list(
        Evaluation.objects.unfinished().select_related("submission__team", "submission__phase", "label_set")
    )
    assert len(waiting) == 4
    for number, evaluation in enumerate(waiting):
        assert run() == []
        evaluation.submission.evaluation = evaluation
        score_now(evaluation.submission, (70 + number, 20, 20))
    messages = run()
    assert to(messages) == ["owner", "rival", "teammate"]
    assert any("3 submissions are scored again" in message.subject for message in messages)
    assert run() == []


def test_what_ended_long_ago_is_passed_over(wanting: Cast) -> None:
    """As after an import, or an outage of days."""
    make_submission(wanting.team, wanting.phase)
    Evaluation.objects.update(finished_at=timezone.now() - timedelta(days=2))
    assert run() == []
    assert not Evaluation.objects.unnoticed().exists()


def test_reference_entries_and_withdrawn_submissions_are_no_news(wanting: Cast) -> None:
    organisers = make_team(wanting.competition, owner=wanting.organiser, is_organisers=True)
    make_submission(organisers, wanting.phase, GOOD, reference=True)
    Phase.objects.update(allows_withdrawal=True)
    withdraw(wanting.owner, make_submission(wanting.team, Phase.objects.get()))
    assert run() == []


# Invalid


def test_an_invalid_archive_is_the_business_of_who_uploaded_it(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, state="invalid", by=cast.teammate)
    [message] = run()
    assert to([message]) == ["teammate"]
    assert "your archive is invalid" in message.subject
    assert "The file is empty" in message.body or "no bytes" in message.body
    assert "uses no attempt" in message.body
    assert run() == []
    notices.choose(cast.teammate, {"invalid": False})
    later(hours=1)
    make_submission(cast.team, cast.phase, state="invalid", by=cast.teammate)
    assert run() == []


def test_a_failure_of_the_server_is_said_to_be_one(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, state="failed", by=cast.owner)
    [message] = run()
    assert "error on the server" in message.body


def test_a_hundred_invalid_archives_are_two_mails(cast: Cast) -> None:
    for number in range(100):
        make_submission(cast.team, cast.phase, state="invalid", by=cast.owner)
        if number == 0:
            assert len(run()) == 1
    assert run() == []
    later(minutes=11)
    [message] = run()
    assert "99 archives could not be scored" in message.subject
    assert "and earlier ones: 79" in message.body


# Overtaken


def test_who_is_overtaken_hears_of_it_once_an_hour(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, GOOD)
    make_submission(cast.other_team, cast.phase, POOR)
    assert run() == []  # Rivals is new, and below
    make_submission(cast.other_team, cast.phase, BETTER)
    messages = run()
    assert to(messages) == ["owner", "teammate"]
    assert messages[0].subject.endswith("Validation: Rivals is ahead of you")
    assert "Rank 2, of 2 teams in Validation" in messages[0].body
    assert "F1 95.00" in messages[0].body
    third = make_team(cast.competition, "Third")
    make_submission(third, cast.phase, (94, 6, 6))
    assert run() == []
    later(hours=1)
    messages = run()
    assert to(messages) == ["owner", "teammate"]
    assert "Third is ahead" in messages[0].subject
    assert "Rank 3" in messages[0].body


def test_nobody_is_overtaken_twice_by_the_same_score_or_by_a_lower_one(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, GOOD)
    make_submission(cast.other_team, cast.phase, BETTER)
    run()
    later(days=1)
    make_submission(cast.other_team, cast.phase, BETTER)
    make_submission(cast.other_team, cast.phase, POOR)
    make_submission(cast.other_team, cast.phase, (99, 1, 1))  # it was ahead already
    assert run() == []


def test_who_has_caught_up_before_the_mail_hears_nothing(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, GOOD)
    make_submission(cast.other_team, cast.phase, BETTER)
    job.derive(timezone.now())
    make_submission(cast.team, cast.phase, (99, 1, 1))
    assert [message for message in run() if "ahead" in message.subject and "owner" in message.to[0]] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_until_close": True},
        {"freezes_at": timezone.now() - timedelta(days=1)},
        {"ladder_step": "0.2", "ladder_start": "0.9"},
    ],
)
def test_a_board_that_is_not_shown_overtakes_nobody(cast: Cast, fields: dict[str, Any]) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(**fields, closes_at=timezone.now() + timedelta(days=30))
    phase = Phase.objects.get(pk=cast.phase.pk)
    make_submission(cast.team, phase, GOOD)
    make_submission(cast.other_team, phase, BETTER)
    assert run() == []
    assert not Notice.objects.filter(kind="overtaken").exists()


def test_a_board_hidden_before_the_mail_is_not_told(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, GOOD)
    make_submission(cast.other_team, cast.phase, BETTER)
    job.derive(timezone.now())
    Phase.objects.update(hidden_until_close=True)
    assert run() == []


def test_standings_older_than_notices_overtake_nobody_at_first(cast: Cast) -> None:
    """After the update to this version: a new score of a team that was ahead already."""
    make_submission(cast.other_team, cast.phase, BETTER)
    make_submission(cast.team, cast.phase, GOOD)
    Evaluation.objects.update(noticed_at=timezone.now())
    assert set(Standing.objects.values_list("noticed_key", flat=True)) == {None}
    make_submission(cast.other_team, cast.phase, (99, 1, 1))
    assert run() == []


# Deadlines


def at(moment: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(timezone, "now", lambda: moment)
    try:
        return run()
    finally:
        monkeypatch.undo()


@pytest.fixture
def ending(wanting: Cast) -> Cast:
    Phase.objects.update(
        opens_at=timezone.now() - timedelta(days=1),
        closes_at=timezone.now() + timedelta(days=30),
        quota_total=2,
    )
    wanting.phase.refresh_from_db()
    return wanting


def test_reminders_come_once_at_their_times(ending: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    end = ending.phase.closes_at
    everybody = ["owner", "rival", "teammate"]
    for before, words in (
        (timedelta(days=7), "7 days"),
        (timedelta(days=1), "24 hours"),
        (timedelta(hours=1), "1 hour"),
    ):
        assert at(end - before - timedelta(minutes=1), monkeypatch) == []
        messages = at(end - before + timedelta(minutes=1), monkeypatch)
        assert to(messages) == everybody
        assert messages[0].subject.endswith(f"Validation ends in {words}")
        assert "Submissions left now: 2" in messages[0].body
        assert at(end - before + timedelta(minutes=2), monkeypatch) == []
    assert at(end + timedelta(minutes=1), monkeypatch) == []


def test_a_late_reminder_says_how_much_time_is_left(ending: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = at(ending.phase.closes_at - timedelta(hours=20), monkeypatch)
    assert messages[0].subject.replace("\xa0", " ").endswith("Validation ends in 20 hours")


def test_a_moved_end_is_reminded_of_again(ending: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    end = ending.phase.closes_at
    assert len(at(end - timedelta(days=7), monkeypatch)) == 3
    Phase.objects.update(closes_at=end + timedelta(days=3))
    assert at(end - timedelta(days=6), monkeypatch) == []
    assert len(at(end - timedelta(days=4), monkeypatch)) == 3
    assert at(end - timedelta(days=1), monkeypatch) == []  # the former end


def test_only_who_can_still_submit_is_reminded(ending: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        make_submission(ending.team, ending.phase)  # all of its quota
    make_team(ending.competition, "Organisers", owner=ending.organiser, is_organisers=True)
    run()
    messages = at(ending.phase.closes_at - timedelta(days=1), monkeypatch)
    assert to(messages) == ["rival"]


def test_the_quota_of_the_day_counts_on_the_last_day_only(
    ending: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = (timezone.now() + timedelta(days=12)).replace(hour=0, minute=0, second=0, microsecond=0)
    Phase.objects.update(quota_total=None, quota_per_day=1, closes_at=midnight)
    phase = Phase.objects.get()
    submitted = midnight - timedelta(hours=23)
    make_submission(ending.team, phase, received_at=submitted)
    Evaluation.objects.update(noticed_at=timezone.now())
    assert to(at(midnight - timedelta(hours=22), monkeypatch)) == ["rival"]
    Notice.objects.all().delete()
    Phase.objects.update(closes_at=midnight + timedelta(hours=1))
    assert to(at(midnight - timedelta(hours=22), monkeypatch)) == ["owner", "rival", "teammate"]


@pytest.mark.parametrize("case", ["unpublished", "without labels", "too short", "not open", "a new team"])
def test_no_reminder(ending: Cast, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    end = ending.phase.closes_at
    if case == "unpublished":
        ending.competition.is_published = False
        ending.competition.save()
    elif case == "without labels":
        Phase.objects.update(labels=None)
    elif case == "too short":
        Phase.objects.update(opens_at=end - timedelta(days=6))
    elif case == "not open":
        Phase.objects.update(opens_at=end - timedelta(days=7) + timedelta(hours=3))
    else:
        for team in (ending.team, ending.other_team):
            team.created_at = end - timedelta(days=6, hours=23)
            team.save()
    assert at(end - timedelta(days=7) + timedelta(hours=2), monkeypatch) == []


def test_a_team_with_a_later_end_is_reminded_of_that(ending: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    end = timezone.now() + timedelta(days=20)
    Phase.objects.update(closes_at=end)
    ending.phase.refresh_from_db()
    later = end + timedelta(days=2)
    single_teams.extend(ending.organiser, ending.team, ending.phase, "a power cut", closes_at=later)
    mail.outbox.clear()
    assert to(at(end - timedelta(days=7), monkeypatch)) == ["rival"]
    assert to(at(end - timedelta(hours=1), monkeypatch)) == ["rival"]
    messages = at(later - timedelta(hours=1), monkeypatch)
    assert to(messages) == ["owner", "teammate"]
    assert messages[0].subject.endswith("Validation ends in 1 hour")
    assert at(later - timedelta(minutes=30), monkeypatch) == []


def test_a_team_with_a_larger_quota_is_reminded_while_it_has_some_left(
    ending: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        make_submission(ending.team, ending.phase)  # all that the phase allows everyone
    run()
    single_teams.extend(ending.organiser, ending.team, ending.phase, "a lost upload", quota_total=3)
    mail.outbox.clear()
    messages = at(ending.phase.closes_at - timedelta(days=1), monkeypatch)
    assert to(messages) == ["owner", "rival", "teammate"]


def test_two_phases_that_end_together_are_two_reminders(
    ending: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_phase(ending.competition, "second", opens_at=ending.phase.opens_at, closes_at=ending.phase.closes_at)
    messages = at(ending.phase.closes_at - timedelta(days=7), monkeypatch)
    assert to(messages).count("rival") == 2
    assert len({message.subject for message in messages}) == 2


# Corrections and announcements


def test_a_correction_goes_to_the_members_of_teams_that_submitted(cast: Cast) -> None:
    make_submission(cast.team, cast.phase)
    notices.choose(cast.owner, {"correction": False})
    made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    label_set = LabelSet.objects.select_related("phase__competition").get(pk=made.pk)
    mail.outbox.clear()
    corrections.apply_correction(cast.organiser, label_set, "two patches were swapped")
    [message] = mail.outbox
    assert to([message]) == ["teammate"]
    assert "Why: two patches were swapped" in message.body
    assert '<a href="http://127.0.0.1:8000/c/landslides/labels/validation/"' in html_of(message)


def test_an_announcement_is_text_and_html_and_can_be_switched_off(cast: Cast) -> None:
    notices.choose(cast.rival, {"announcement": False})
    body = "It is **later**, see [the rules](/c/landslides/rules/).\n\n![map](https://example.org/map.png)"
    announcements.announce(
        cast.organiser, Announcement(competition=cast.competition, title="A new date", body=body)
    )
    send_due(timezone.now())
    assert to(mail.outbox) == ["owner", "teammate"]
    assert Announcement.objects.get().recipients == 2
    message = mail.outbox[0]
    assert "It is **later**" in message.body
    assert "It is <strong>later</strong>" in html_of(message)
    assert 'href="http://127.0.0.1:8000/c/landslides/rules/"' in html_of(message)
    assert "<img" not in html_of(message)


# Choosing


def test_the_defaults() -> None:
    choices = NoticeChoice.objects.of(make_user())
    assert {kind for kind, wanted in choices.items() if not wanted} == {"scored", "deadline_1h"}


def test_one_page_for_all_kinds(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    address = reverse("pages:notices")
    page = client.get(address).content.decode()
    assert cast.owner.email in page
    for kind in NoticeKind:
        box = re.search(rf'<input type="checkbox" name="{kind.value}"[^>]*>', page)
        assert box is not None
        assert ("checked" in box[0]) == (kind.value not in ("scored", "deadline_1h"))
    assert client.post(address, {"scored": "on", "correction": "on"}).status_code == 302
    wanted = {kind for kind, on in NoticeChoice.objects.of(cast.owner).items() if on}
    assert wanted == {"scored", "correction"}
    assert NoticeChoice.objects.of(cast.rival)["overtaken"]


def test_the_same_by_api(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    address = "/api/v1/account/notifications/"
    assert client.get(address).json()["scored"] is False
    changed = client.patch(address, {"scored": True}, "application/json")
    assert (changed.json()["scored"], changed.json()["overtaken"]) == (True, True)
    assert NoticeChoice.objects.of(cast.owner)["scored"]
    assert client.patch(address, {"scored": "perhaps"}, "application/json").status_code == 400
    assert client.get("/api/v1/account/").json()["mails_wanted"]["scored"] is True


def test_who_cannot_be_reached_is_not_written_to(wanting: Cast) -> None:
    wanting.owner.is_active = False
    wanting.owner.save()
    wanting.teammate.email = ""
    wanting.teammate.save()
    make_submission(wanting.team, wanting.phase)
    assert run() == []


def test_deleting_the_account_deletes_the_choices(wanting: Cast) -> None:
    accounts.delete_account(wanting.rival, PASSWORD)
    assert not NoticeChoice.objects.filter(user=wanting.rival.pk).exists()


# Unsubscribing


def test_one_click_signed_out_ends_one_kind(wanting: Cast) -> None:
    make_submission(wanting.team, wanting.phase)
    message = next(message for message in run() if message.to == [wanting.owner.email])
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = message.extra_headers["List-Unsubscribe"].strip("<>")
    assert url in message.body
    assert url in html_of(message)
    assert f"Choose what you get: http://127.0.0.1:8000{reverse('pages:notices')}" in message.body
    browser = Client(enforce_csrf_checks=True)  # a mail program: no cookies, no token of ours
    address = url.removeprefix("http://127.0.0.1:8000")
    assert "Unsubscribe" in browser.get(address).content.decode()
    browser.head(address)
    assert NoticeChoice.objects.of(wanting.owner)["scored"]  # opening it changes nothing
    answer = browser.post(address, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    expected = {**ALL_ON, "scored": False}
    assert NoticeChoice.objects.of(wanting.owner) == expected
    assert NoticeChoice.objects.of(wanting.teammate) == ALL_ON
    assert browser.post(address).status_code == 200
    later(days=1)
    make_submission(wanting.team, wanting.phase)
    assert to(run()) == ["teammate"]


def test_a_forged_link_does_nothing(wanting: Cast, client: Client) -> None:
    token = unsubscribe_token(wanting.owner, NoticeKind.SCORED)
    other = unsubscribe_token(wanting.rival, NoticeKind.INVALID)
    forged = ["", "x", token[:-1], f"{token}x", other.split(":")[0] + token[token.index(":") :]]
    for wrong in forged:
        answer = client.post(reverse("pages:unsubscribe", query={"token": wrong}))
        assert answer.status_code == 404
        assert "Sign in" in answer.content.decode()
        assert read_token(wrong) is None
    assert NoticeChoice.objects.of(wanting.owner) == ALL_ON


def test_the_link_of_a_deleted_account_is_unknown(cast: Cast, client: Client) -> None:
    token = unsubscribe_token(cast.rival, NoticeKind.SCORED)
    accounts.delete_account(cast.rival, PASSWORD)
    assert client.post(reverse("pages:unsubscribe", query={"token": token})).status_code == 404


def test_the_path_of_the_link_has_no_secret() -> None:
    parts = urlsplit(reverse("pages:unsubscribe", query={"token": "secret"}))
    assert "secret" not in parts.path


def test_teams_of_two_competitions_do_not_mix(wanting: Cast) -> None:
    other = make_competition("other")
    phase = make_phase(other)
    team = make_team(other, "Elsewhere", owner=wanting.owner)
    make_submission(team, phase)
    messages = run()
    assert to(messages) == ["owner"]
    assert Notice.objects.get().team == team

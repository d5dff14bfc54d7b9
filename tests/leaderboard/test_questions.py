"""Questions: who reads them when, who answers, what is mailed, how they are moderated."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from leaderboard.actions import questions
from leaderboard.actions.accounts import delete_account
from leaderboard.actions.refusals import InvalidInput, NotAllowed, QuestionsClosed, TooMany
from leaderboard.models import AuditEntry, Competition, Question, User
from tests.leaderboard.api import API, assert_told, client_of
from tests.leaderboard.factories import PASSWORD, Cast

pytestmark = pytest.mark.django_db


def ask(cast: Cast, **fields: Any) -> Question:
    fields = {"title": "Which bands?", "body": "Is band 13 the slope?", **fields}
    return questions.ask(cast.owner, cast.competition, **fields)


def page_of(cast: Cast, query: str = "") -> str:
    return reverse("pages:questions", args=[cast.competition.slug]) + query


def reads(cast: Cast, user: User | None, text: str) -> tuple[bool, bool]:
    """Whether somebody finds the text on the page, and in the API."""
    client = Client()
    if user is not None:
        client.force_login(user)
    on_page = text in client.get(page_of(cast)).content.decode()
    in_api = text in client_of(user).get(f"{API}/questions/").content.decode()
    return on_page, in_api


def test_only_author_and_organisers_read_it_before_the_public_answer(cast: Cast) -> None:
    question = ask(cast)
    everyone = (cast.owner, cast.organiser, cast.teammate, cast.rival, cast.stranger, None)
    assert [reads(cast, user, "band 13") for user in everyone] == [(True, True)] * 2 + [(False, False)] * 4
    questions.answer(cast.organiser, question, "Yes, in degrees.", public=True)
    assert [reads(cast, user, "in degrees") for user in everyone] == [(True, True)] * 6
    anonymous = Client().get(page_of(cast)).content.decode()
    assert cast.owner.username not in anonymous, "who asked is not public"


def test_a_private_answer_is_read_by_its_author_alone(cast: Cast) -> None:
    question = ask(cast, wants_privacy=True)
    with pytest.raises(InvalidInput, match="asked privately"):
        questions.answer(cast.organiser, question, "For all", public=True)
    questions.answer(cast.organiser, question, "Between us.", public=False)
    assert reads(cast, cast.owner, "Between us") == (True, True)
    assert reads(cast, cast.teammate, "Between us") == (False, False)


def test_mails_tell_organisers_of_a_question_and_its_author_of_answers(cast: Cast) -> None:
    question = ask(cast)
    assert [message.to for message in mail.outbox] == [[cast.organiser.email]]
    assert "band 13" in mail.outbox[0].body
    assert f"/questions/{question.pk}/" in mail.outbox[0].body
    mail.outbox.clear()
    questions.answer(cast.organiser, question, "Yes.", public=True)
    questions.answer(cast.organiser, question, "No: band 13 is the slope, 14 the height.", public=True)
    assert [message.to for message in mail.outbox] == [[cast.owner.email]] * 2
    assert "Answered" in mail.outbox[0].subject
    assert "Answer changed" in mail.outbox[1].subject
    assert list(AuditEntry.objects.order_by("id").values_list("act", flat=True)) == [
        "question answered",
        "answer changed",
    ]


def test_only_organisers_answer_and_moderate(cast: Cast) -> None:
    question = ask(cast)
    for act in (
        lambda: questions.answer(cast.owner, question, "Mine", public=True),
        lambda: questions.hide(cast.owner, question, "why"),
        lambda: questions.delete(cast.rival, question, "why"),
    ):
        with pytest.raises(NotAllowed):
            act()
    with pytest.raises(InvalidInput, match="Write an answer"):
        questions.answer(cast.organiser, question, "  ", public=True)


def test_hidden_means_author_and_organisers_alone_until_shown_again(cast: Cast) -> None:
    question = ask(cast)
    questions.answer(cast.organiser, question, "Yes.", public=True)
    questions.hide(cast.organiser, question, "It names a person.")
    assert reads(cast, None, "band 13") == (False, False)
    assert reads(cast, cast.owner, "It names a person.") == (True, True)
    questions.show(cast.organiser, question, "The name is gone.")
    assert reads(cast, None, "band 13") == (True, True)
    with pytest.raises(InvalidInput, match="reason"):
        questions.hide(cast.organiser, question, " ")


def test_deleting_keeps_the_reason_and_not_the_text(cast: Cast) -> None:
    questions.delete(cast.organiser, ask(cast, title="Spam here"), "advertising")
    assert not Question.objects.exists()
    entry = AuditEntry.objects.get(act="question deleted")
    assert entry.reason == "advertising"
    assert "Spam" not in str(entry.details) + entry.subject


def test_a_closed_page_takes_no_question_and_keeps_the_answers(cast: Cast, client: Client) -> None:
    question = ask(cast)
    Competition.objects.update(takes_questions=False)
    cast.competition.refresh_from_db()
    with pytest.raises(QuestionsClosed):
        ask(cast)
    body = {"competition": cast.competition.slug, "title": "Again?", "body": "?"}
    assert_told(client_of(cast.owner).post(f"{API}/questions/", body), 403, "questions_closed")
    tab = f'href="{page_of(cast)}"'
    home = reverse("pages:competition", args=[cast.competition.slug])
    assert tab not in client.get(home).content.decode()
    questions.answer(cast.organiser, question, "Yes.", public=True)
    assert tab in client.get(home).content.decode()
    page = client.get(page_of(cast)).content.decode()
    assert "takes no more questions" in page or "take no more questions" in page


def test_thirty_questions_a_day_are_enough(cast: Cast) -> None:
    for number in range(30):
        ask(cast, title=f"Question {number}")
    with pytest.raises(TooMany, match="30 questions in a day"):
        ask(cast)
    body = {"competition": cast.competition.slug, "title": "Again?", "body": "?"}
    assert_told(client_of(cast.owner).post(f"{API}/questions/", body), 429, "too_many")


def test_texts_are_plain_and_addresses_become_links(cast: Cast, client: Client) -> None:
    question = ask(cast, body="<script>alert(1)</script> see https://example.org/a?b=1&c=2")
    questions.answer(cast.organiser, question, "**not bold** <b>x</b> javascript:alert(1)", public=True)
    page = client.get(page_of(cast)).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert '<a href="https://example.org/a?b=1&amp;c=2" rel="nofollow">' in page
    assert "**not bold** &lt;b&gt;x&lt;/b&gt;" in page
    assert 'href="javascript' not in page
    with pytest.raises(InvalidInput, match="cannot be used"):
        ask(cast, title="Turned \u202e around")


def test_search_finds_all_words_in_question_or_answer(cast: Cast, client: Client) -> None:
    first, second = ask(cast), ask(cast, title="How many patches?", body="In all.")
    questions.answer(cast.organiser, first, "Yes, in degrees.", public=True)
    questions.answer(cast.organiser, second, "245.", public=True)
    page = client.get(page_of(cast, "?q=slope+DEGREES")).content.decode()
    assert "Which bands?" in page
    assert "How many patches?" not in page
    found = client_of().get(f"{API}/questions/", {"q": "245"}).json()["results"]
    assert [row["title"] for row in found] == ["How many patches?"]
    assert "Nothing was found" in client.get(page_of(cast, "?q=nowhere")).content.decode()
    assert client.get(page_of(cast, "?page=9")).status_code == 404


def test_the_pages_ask_and_answer(cast: Cast, client: Client) -> None:
    assert client.post(page_of(cast), {"title": "Which bands?"})["Location"].startswith("/accounts/login/")
    client.force_login(cast.owner)
    assert client.post(page_of(cast), {"title": "Which bands?"}).status_code == 400
    done = client.post(page_of(cast), {"title": "Which bands?", "body": "All?"}, follow=True)
    assert "The organisers have your question" in done.content.decode()
    question = Question.objects.get()
    address = reverse("pages:question", args=[cast.competition.slug, question.pk])
    assert client.post(address, {"answer": "Mine"}).status_code == 403
    client.force_login(cast.organiser)
    assert "To answer" in client.get(page_of(cast)).content.decode()
    assert client.post(address, {"answer": "  "}).status_code == 400
    assert client.post(address, {"answer": "All 14.", "public": "on"}).status_code == 302
    question.refresh_from_db()
    assert (question.answer, question.is_public, question.answered_by) == ("All 14.", True, cast.organiser)


def test_the_api_asks_lists_and_answers(cast: Cast) -> None:
    body = {"competition": cast.competition.slug, "title": "Which bands?", "body": "All?"}
    made = client_of(cast.owner).post(f"{API}/questions/", body)
    assert made.status_code == 201
    assert (made.json()["state"], made.json()["mine"]) == ("open", True)
    address = f"{API}/questions/{made.json()['id']}/"
    assert client_of(cast.rival).get(address).status_code == 404
    assert_told(
        client_of(cast.owner).post(f"{address}answer/", {"answer": "x", "public": True}), 403, "not_allowed"
    )
    answered = client_of(cast.organiser).post(f"{address}answer/", {"answer": "All 14.", "public": True})
    assert answered.json()["state"] == "answered"
    assert client_of().get(address).json()["answer"] == "All 14."
    assert client_of().get(f"{API}/questions/", {"open": True}).json()["results"] == []
    assert_told(client_of().post(f"{API}/questions/", body), 401, "not_authenticated")
    assert_told(client_of(cast.owner).post(f"{API}/questions/", {**body, "title": "?"}), 400, "invalid")


def test_the_desk_hides_and_deletes_with_a_reason(cast: Cast, client: Client) -> None:
    question = ask(cast)
    client.force_login(cast.organiser)
    for act, word in (("hide", "hidden"), ("show", "open")):
        address = reverse(f"admin:leaderboard_question_{act}", args=[question.pk])
        assert client.post(address, {"reason": "Because.", "confirmed": "1"}).status_code == 302
        question.refresh_from_db()
        assert question.state == word
    address = reverse("admin:leaderboard_question_remove", args=[question.pk])
    assert client.post(address, {"reason": "Because.", "confirmed": "1"}).status_code == 302
    assert not Question.objects.exists()


def test_who_deletes_the_account_leaves_public_questions_without_a_name(cast: Cast) -> None:
    public, private = ask(cast), ask(cast, title="Between us", wants_privacy=True)
    questions.answer(cast.organiser, public, "Yes.", public=True)
    questions.answer(cast.organiser, private, "Yes.", public=False)
    delete_account(cast.owner, PASSWORD)
    assert list(Question.objects.values_list("pk", "asked_by")) == [(public.pk, None)]

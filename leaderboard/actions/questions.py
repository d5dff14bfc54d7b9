"""Participants ask, organisers answer, for everyone or privately."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, Competition, Question
from leaderboard.models.locks import lock_rows
from leaderboard.notifications import mails

from .records import need_reason
from .refusals import InvalidInput, QuestionsClosed, check_fields, check_helper, check_organiser
from .teams import check_not_too_many


def ask(
    user: Any, competition: Competition, title: str, body: str, *, wants_privacy: bool = False
) -> Question:
    """Ask the organisers, who are notified by mail."""
    if not competition.takes_questions:
        raise QuestionsClosed(f"{competition} takes no more questions. The answered ones remain readable.")
    check_not_too_many(user.questions.all(), "questions")
    question = Question(
        competition=competition,
        asked_by=user,
        title=" ".join(title.split()),
        body=body.strip(),
        wants_privacy=wants_privacy,
    )
    check_fields(question, "title", "body")
    with transaction.atomic():
        question.save()
        organisers = competition.organisers.filter(is_active=True).exclude(email="").exclude(pk=user.pk)
        text = f"{question.body}\n\nAnswer it: {address_of(question)}\n"
        mails.send(
            competition, f"Question: {question.title}", text, organisers.values_list("email", flat=True)
        )
    return question


def answer(user: Any, question: Question, answer: str, public: bool) -> None:
    """Answer, or replace the answer. Who asked is notified by mail."""
    check_helper(user, question.competition)
    with transaction.atomic():
        [held] = lock_rows(Question.objects.filter(pk=question.pk))
        if public and held.wants_privacy:
            sentence = "This was asked privately. Answer privately, or write an announcement for everyone."
            raise InvalidInput(sentence, fields={"public": [sentence]})
        is_new = held.answered_at is None
        held.answer, held.is_public = answer.strip(), public
        check_fields(held, "answer")
        if not held.answer:
            raise InvalidInput("Write an answer.", fields={"answer": ["Write an answer."]})
        held.answered_at, held.answered_by = timezone.now(), user
        held.save(update_fields=["answer", "is_public", "answered_at", "answered_by"])
        _log("question answered" if is_new else "answer changed", user, held, {"public": public})
        _tell_author(held, "Answered" if is_new else "Answer changed")
    question.refresh_from_db()


def hide(user: Any, question: Question, reason: str) -> None:
    """Only its author and the organisers can read it from now on; its author reads the reason too."""
    _moderate(user, question, "question hidden", need_reason(reason), hidden=True)


def show(user: Any, question: Question, reason: str) -> None:
    """Undo ``hide``."""
    _moderate(user, question, "question shown again", need_reason(reason), hidden=False)


def delete(user: Any, question: Question, reason: str) -> None:
    """Delete a question with its answer; the log keeps who did it and why, but not the text."""
    check_organiser(user, question.competition)
    reason = need_reason(reason)
    with transaction.atomic():
        _log("question deleted", user, question, {}, reason, subject=f"question {question.pk}")
        question.delete()


def address_of(question: Question) -> str:
    return f"{settings.SITE_URL}/c/{question.competition.slug}/questions/{question.pk}/"


def _moderate(user: Any, question: Question, act: str, reason: str, *, hidden: bool) -> None:
    check_helper(user, question.competition)
    question.hidden_at = timezone.now() if hidden else None
    question.hidden_reason = reason if hidden else ""
    check_fields(question, "hidden_reason")
    with transaction.atomic():
        question.save(update_fields=["hidden_at", "hidden_reason"])
        _log(act, user, question, {}, reason)


def _tell_author(question: Question, what: str) -> None:
    author = question.asked_by
    if author is None or not author.email:
        return
    where = "for everyone" if question.is_public else "for you alone"
    text = (
        f"You asked: {question.title}\n\n{question.answer}\n\n--\nThe organisers of {question.competition}, {where}\n"
        f"{address_of(question)}\n"
    )
    mails.send(question.competition, f"{what}: {question.title}", text, [author.email])


def _log(
    act: str, user: Any, question: Question, details: dict[str, Any], reason: str = "", subject: str = ""
) -> None:
    AuditEntry.objects.append(
        act,
        competition=question.competition,
        actor=user,
        subject=subject or f"question {question.pk}: {question.title}",
        reason=reason,
        details=details,
    )

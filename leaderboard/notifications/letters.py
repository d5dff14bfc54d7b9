"""A mail of a kind that people can switch off: text and HTML from one description, and one click that ends it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from leaderboard.models import Competition, NoticeKind, User

from .mails import unsubscribe_headers

SALT = "unsubscribe"
ADDRESS = "/unsubscribe/"


@dataclass(frozen=True)
class Letter:
    """What a mail says. ``figure`` is its one large number, with ``caption`` below; ``rows`` are pairs of label and value;
    ``text`` and ``html`` are a longer body; ``button`` is (label, address)."""

    kind: NoticeKind
    competition: Competition
    subject: str
    button: tuple[str, str]
    figure: str = ""
    caption: str = ""
    paragraphs: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    points: tuple[str, ...] = ()
    text: str = ""
    html: SafeString = field(default_factory=SafeString)
    reason: str = ""


def unsubscribe_token(user: User, kind: NoticeKind) -> str:
    """Signed, without an end: it can do nothing but switch this kind off for this person."""
    return signing.dumps([user.pk, kind.value], salt=SALT)


def read_token(token: str) -> tuple[int, NoticeKind] | None:
    """The person's id and the kind that an unsubscribe token stands for; None for anything else."""
    try:
        number, kind = signing.loads(token, salt=SALT)
        return int(number), NoticeKind(kind)
    except (signing.BadSignature, ValueError, TypeError):
        return None


def unsubscribe_address(user: User, kind: NoticeKind) -> str:
    """The token follows the ?: no log keeps it."""
    return f"{settings.SITE_URL}{ADDRESS}?token={unsubscribe_token(user, kind)}"


def post(letters: Iterable[tuple[Letter, Iterable[User]]]) -> int:
    """Put each letter into the outbox, a mail of its own for each person; returns how many."""
    return send(written(letters))


def written(letters: Iterable[tuple[Letter, Iterable[User]]]) -> list[EmailMultiAlternatives]:
    """The mails, ready for ``send``: they take a while to write, which belongs before a transaction."""
    return [message for letter, people in letters for message in _messages(letter, people)]


def send(messages: list[EmailMultiAlternatives]) -> int:
    """Put mails into the outbox; returns how many."""
    if messages:
        get_connection().send_messages(messages)
    return len(messages)


def _messages(letter: Letter, people: Iterable[User]) -> Iterator[EmailMultiAlternatives]:
    for person in people:
        unsubscribe = unsubscribe_address(person, letter.kind)
        context = {
            "letter": letter,
            "site_name": settings.SITE_NAME,
            "settings_url": f"{settings.SITE_URL}/account/notifications/",
            "unsubscribe": unsubscribe,
        }
        message = EmailMultiAlternatives(
            f"[{settings.SITE_NAME}] {letter.subject}",
            render_to_string("mail/letter.txt", context),
            to=[person.email],
            headers=unsubscribe_headers(unsubscribe),
        )
        message.attach_alternative(render_to_string("mail/letter.html", context), "text/html")
        message.competition = letter.competition  # type: ignore[attr-defined]
        yield message

"""Who may do what: reads permissions.txt and asks the server the same, address by address, as each role."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from leaderboard.actions.accounts import create_token
from leaderboard.actions.teams import invite
from leaderboard.models import (
    Announcement,
    AuditEntry,
    Award,
    BulkAct,
    Competition,
    DataFile,
    Extension,
    JoinRequest,
    JuryVote,
    LabelReport,
    Mail,
    Merger,
    MethodDescription,
    NoticeKind,
    Page,
    PatchPicture,
    Phase,
    PhaseReport,
    Picture,
    Prize,
    PublishedEntry,
    Question,
    QuickLook,
    RefusedUpload,
    Rehearsal,
    Review,
    Role,
    Terms,
    TermsAcceptance,
    Upload,
    User,
    Webhook,
    Worker,
)
from leaderboard.notifications.letters import unsubscribe_token
from leaderboard.reporting import reports
from rehearsal.walk import TIMES_AND_SIZES
from tests.leaderboard.factories import (
    PASSWORD,
    Cast,
    make_competition,
    make_submission,
    make_team,
    make_user,
    sign_in_again,
    upload,
)

TABLE = Path(__file__).with_name("permissions.txt")
ROLES = (
    "nobody",
    "stranger",
    "rival",
    "teammate",
    "owner",
    "elsewhere",
    "organiser",
    "administrator",
    "helper",
    "jury",
)


@dataclass(frozen=True)
class Row:
    """What each role is answered when it sends ``method`` to the address called ``name``."""

    name: str
    method: str
    hidden: bool
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.name}{'@hidden' if self.hidden else ''}"


def rows() -> Iterator[Row]:
    for line in TABLE.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            name, _, hidden = words[0].partition("@")
            yield Row(name, words[1], bool(hidden), tuple(words[2:]))


def names_of_all_addresses() -> set[str]:
    """Every address of the site by its name; one without a name by its pattern."""
    return set(_walk(get_resolver(), "", ""))


def _walk(resolver: URLResolver, path: str, namespace: str) -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _walk(entry, path + str(entry.pattern), inner)
        elif isinstance(entry, URLPattern):
            yield namespace + entry.name if entry.name else path + str(entry.pattern)


def of_a_competition() -> set[str]:
    """The addresses of pages and API that name a competition or a row of one, and the lists of such rows."""
    lists = {"api:competition-list", "api:phase-list", "api:question-list"}
    return lists | {
        name
        for name, pattern in _patterns(get_resolver(), "", "")
        if name.startswith(("pages:", "api:")) and "<" in pattern
    }


def _patterns(resolver: URLResolver, path: str, namespace: str) -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _patterns(entry, path + str(entry.pattern), inner)
        elif isinstance(entry, URLPattern) and entry.name:
            yield namespace + entry.name, path + str(entry.pattern)


def viewers(row: Row) -> list[str]:
    """The roles that see different things at an address that can be looked at."""
    if row.method != "GET" or row.hidden:
        return []
    answers = dict(zip(ROLES, row.cells, strict=True))
    return [role for role in ("nobody", "stranger", "owner", "organiser", "administrator")
            if answers[role] == "200"]  # fmt: skip


class Stage:
    """The cast on a competition with one row of everything, and who plays each role.

    The phase shows F1 alone; ``SECRETS`` are what only some roles may read anywhere on the site.
    """

    def __init__(self, cast: Cast) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(
            allows_withdrawal=True, counts="selected", visible_metrics="f1"
        )
        cast.phase.refresh_from_db()
        self.cast = cast
        elsewhere = make_competition("elsewhere", organiser=make_user("elsewhere", is_staff=True))
        self.submission = make_submission(
            cast.team, cast.phase, COUNTS, by=cast.owner, description=DESCRIPTION, selected=True
        )
        self.invitation, self.invitation_token = invite(cast.owner, cast.team)
        self.token = create_token(cast.owner, "laptop")[0]
        self.page = Page.objects.create(competition=cast.competition, slug="rules", title="Rules", body="…")
        teammate = cast.team.memberships.get(user=cast.teammate)
        self.picture = Picture.objects.create(
            competition=cast.competition,
            name="a.png",
            media_type="image/png",
            content=b"PNG",
            sha256="0" * 64,
        )
        self.link = DataFile.objects.create(
            competition=cast.competition, name="now.zip", url="https://example.org/now.zip"
        )
        self.terms = Terms.objects.create(competition=cast.competition, version=1, body="Be fair.")
        for person in (cast.owner, cast.teammate, cast.rival):
            TermsAcceptance.objects.create(terms=self.terms, user=person)
        self.behind: dict[str, Any] = {
            "invitation": self.invitation,
            "remove-member": teammate,
            "make-owner": teammate,
            "membership": teammate,
            "auditentry": AuditEntry.objects.append("something", competition=cast.competition),
            "competition": cast.competition,
            "leaderboard_page": self.page,
            "phase": cast.phase,
            "labelset": cast.phase.labels,
            "publishedentry": PublishedEntry.objects.create(
                phase=cast.phase, name="Paper", f1=50, source="T"
            ),
            "user": cast.owner,
            "apitoken": self.token,
            "evaluation": self.submission.evaluation,
            "attempt": self.submission.attempt,
            "leaderboard_team": cast.team,
            "labelreport": LabelReport.objects.create(
                phase=cast.phase, team=cast.team, patch=1, text=DESCRIPTION
            ),
            "phasereport": PhaseReport.objects.create(
                phase=cast.phase,
                label_set=cast.phase.labels,
                built_at=timezone.now(),
                published_at=timezone.now(),
                content=reports.build(cast.phase, replicates=20),
            ),
            "leaderboard_mail": Mail.objects.create(
                competition=cast.competition,
                to="away@example.org",
                subject="Labels",
                failed_at=timezone.now(),
            ),
            "announcement": Announcement.objects.create(
                competition=cast.competition, title="Dates", body=DESCRIPTION, audience="no_submission"
            ),
            "bulkact": BulkAct.objects.create(
                competition=cast.competition,
                kind="disqualify",
                reason=DESCRIPTION,
                rows=[self.submission.pk],
                total=1,
            ),
            "extension": Extension.objects.create(
                team=cast.team, phase=cast.phase, quota_total=5, reason="ill"
            ),
            "refusedupload": RefusedUpload.objects.create(
                phase=cast.phase,
                user=cast.owner,
                team=cast.team,
                code="too_large",
                day=timezone.now().date(),
                last_at=timezone.now(),
                sentence=DESCRIPTION,
            ),
            "worker": Worker.objects.create(name="host:1", seen_at=timezone.now()),
            "leaderboard_terms": self.terms,
            "leaderboard_termsacceptance": self.terms.acceptances.first(),
            "picture": self.picture,
            "datafile": self.link,
            "leaderboard_rehearsal": Rehearsal.objects.create(competition=cast.competition),
            "question": Question.objects.create(
                competition=cast.competition, asked_by=cast.owner, title="Labels", body=QUESTION
            ),
            "review": Review.objects.create(
                phase=cast.phase,
                kind="same_masks",
                team=cast.team,
                other=cast.other_team,
                evidence={"masks": 1},
                note=DESCRIPTION,
            ),
            "emailaddress": EmailAddress.objects.create(user=cast.owner, email="second@example.org"),
            "usersession": UserSession.objects.create(
                user=cast.owner, ip="192.0.2.7", session_key="of nobody", user_agent="Firefox"
            ),
            "authenticator": Authenticator.objects.create(user=cast.owner, type="totp", data={}),
        }
        Webhook.objects.create(
            team=cast.team, url="https://8.8.8.8/hook", secret=WEBHOOK_SECRET, created_by=cast.owner
        )
        later = Phase.objects.create(
            competition=cast.competition,
            slug="later",
            name="Later",
            opens_at=timezone.now() + timedelta(days=1),
        )
        self.data_file = DataFile.objects.create(
            competition=cast.competition, phase=later, name="later.zip", url="https://example.org/later.zip"
        )
        QuickLook.objects.create(phase=cast.phase, patch=1, kind="true", png=b"PNG")
        PatchPicture.objects.create(report=self.behind["phasereport"], patch=1, kind="vote", png=b"PNG")
        self.award = Award.objects.create(
            competition=cast.competition, team=cast.team, title="First", citation="of all"
        )
        description = MethodDescription.objects.create(
            team=cast.team,
            pdf=b"%PDF-1.7",
            sha256="0" * 64,
            uploaded_by=cast.owner,
            uploaded_at=timezone.now(),
        )
        applicant = make_user("applicant")
        self.asked = JoinRequest.objects.create(team=cast.team, user=applicant)
        third = make_team(cast.competition, "Third")
        self.offered = Merger.objects.create(team=third, other=cast.team)
        self.proposed = Merger.objects.create(team=cast.team, other=cast.other_team)
        self.third = third
        self.behind |= {
            "award": self.award,
            "prize": Prize.objects.create(
                competition=cast.competition, title="Third", phase=cast.phase, rank=1
            ),
            "joinrequest": self.asked,
            "join-request": self.asked,
            "api:upload": Upload.objects.create(
                user=cast.owner, phase=cast.phase, length=2, expires_at=timezone.now() + timedelta(days=1)
            ),
            **dict.fromkeys(
                ("api:team", "api:team-remove-member", "api:team-make-owner", "api:team-membership"),
                cast.team,
            ),
            **dict.fromkeys(
                ("api:team-webhook", "api:team-webhook-secret", "api:team-webhook-test"), cast.team
            ),
            **dict.fromkeys(("pages:team-page", "pages:team-badge"), cast.team),
            "merger": self.offered,
            "methoddescription": description,
        }
        self.people: dict[str, User | None] = {
            "nobody": None,
            "elsewhere": elsewhere.organisers.get(),
            "helper": make_user("helper", is_staff=True),
            "jury": make_user("juror"),
            "administrator": make_user("root", is_staff=True, is_superuser=True),
            **{role: getattr(cast, role) for role in ("stranger", "rival", "teammate", "owner", "organiser")},
        }
        for kind in ("helper", "jury"):
            Role.objects.create(competition=cast.competition, user=self.people[kind], kind=kind)
        special = Prize.objects.create(competition=cast.competition, title="Special")
        self.special = special
        vote = JuryVote.objects.create(
            prize=special, juror=self.people["jury"], team=cast.team, reason="A new idea."
        )
        self.behind |= {
            "leaderboard_role": Role.objects.get(kind="helper"),
            "juryvote": vote,
            "jury-method": description,
        }
        self.sign_in()

    def sign_in(self) -> None:
        """A browser for each role, with a session of its own."""
        self.clients = {role: Client(raise_request_exception=False) for role in ROLES}
        for role, user in self.people.items():
            if user:
                sign_in_again(self.clients[role], user)

    def ask(self, row: Row, role: str) -> Any:
        """Send the row's request as the role and take back whatever it changed; returns the answer."""
        session = dict(self.clients[role].cookies)
        with transaction.atomic():
            Competition.objects.filter(pk=self.cast.competition.pk).update(is_published=not row.hidden)
            send = getattr(self.clients[role], row.method.lower())
            has_body = row.method in ("POST", "PATCH", "PUT")
            sent = self.body(row.name) if has_body else {}
            answer = send(self.address(row.name), headers=self.headers(row.name), **sent)
            answer.text_told = "" if answer.streaming else answer.content.decode("utf-8", "replace")
            if row.name == "metrics":  # a time may have the digits of a secret
                answer.text_told = TIMES_AND_SIZES.sub("", answer.text_told)
            transaction.set_rollback(True)
        self.clients[role].cookies.clear()
        self.clients[role].cookies.update(session)
        return answer

    def headers(self, name: str) -> dict[str, str]:
        """What the upload protocol asks for."""
        if not name.startswith("api:upload"):
            return {}
        phase = b64encode(str(self.cast.phase.pk).encode()).decode()
        metadata = {"Upload-Length": "2", "Upload-Metadata": f"phase {phase}"}
        return {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", **metadata}

    def address(self, name: str) -> str:
        """The address with the rows of the cast's competition in it."""
        row = self.row_behind(name)
        if "/" in name:
            return f"/{name}".replace("<path:object_id>", str(row.pk)).replace("(?P<url>.*)$", "nothing/")
        if name == "pages:join":
            return reverse(name, query={"invitation": self.invitation_token})
        if name == "pages:unsubscribe":
            token = unsubscribe_token(self.cast.owner, NoticeKind.SCORED)
            return reverse(name, query={"token": token})
        slug = {"slug": self.cast.competition.slug}
        known = {
            "phase_slug": self.cast.phase.slug,
            "page_slug": self.page.slug,
            "prefix": self.token.token_key,
            "app_label": "leaderboard",
            "key": "unknown",
            "version": 1,
            "title": self.award.title,
            **dict.fromkeys(("pk", "object_id", "id"), row.pk),
        }
        for arguments in (
            {},
            slug,
            *({key: known[key]} for key in known),
            *({**slug, key: known[key]} for key in known),
        ):
            try:
                return reverse(name, kwargs=arguments)
            except NoReverseMatch:
                continue
        if name == "pages:report-picture":
            return reverse(name, args=[self.cast.competition.slug, self.cast.phase.slug, 1, "vote"])
        if name == "pages:picture":
            return reverse(name, args=[self.cast.competition.slug, self.picture.name])
        if name in ("pages:data-file", "api:competition-data-file"):
            return reverse(name, args=[self.cast.competition.slug, self.data_file.name])
        if name == "pages:image":
            return reverse(name, args=[self.cast.competition.slug, self.cast.phase.slug, 1, "true"])
        if name == "pages:mask-picture":
            return reverse(name, args=[self.submission.pk, 1, "errors"])
        if name == "pages:team-badge":
            return reverse(name, args=[self.cast.competition.slug, row.pk, self.cast.phase.slug])
        if name == "pages:old-board":
            return reverse(name, args=[self.cast.competition.slug, self.cast.phase.slug, 1])
        if name == "admin:view_on_site":
            return reverse(name, args=[ContentType.objects.get_for_model(row).pk, row.pk])
        raise LookupError(f"{name} has arguments that tests/leaderboard/permissions.py does not know.")

    def row_behind(self, name: str) -> Any:
        """The row that an address of this name is about: the longest known word in it, else the submission."""
        words = [word for word in self.behind if word in name]
        return self.behind[max(words, key=len)] if words else self.submission

    def body(self, name: str) -> dict[str, Any]:
        """A complete request, so that only permission can be missing."""
        archive = {"phase": self.cast.phase.pk, "archive": upload(b"PK"), "method": "U-Net"}
        forms: dict[str, dict[str, Any]] = {
            "pages:submit": archive,
            "pages:ask-to-join": {"team": self.cast.team.name},
            "pages:decide-request": {"request": self.asked.pk, "accept": "yes"},
            "pages:propose-merger": {"team": self.third.name},
            "pages:withdraw-request": {"request": self.asked.pk},
            "pages:decide-merger": {"merger": self.offered.pk, "accept": "yes"},
            "pages:withdraw-merger": {"merger": self.proposed.pk},
            "pages:terms": {"version": "1"},
            "pages:jury": {"prize": self.special.pk, "team": self.cast.team.name, "reason": "Better."},
            "pages:questions": {"title": "A question", "body": "How?"},
            "pages:question": {"answer": "So."},
            "pages:edit-team": {"name": "Renamed"},
            "pages:description": {"file": upload(b"%PDF-1.7", "method.pdf")},
            "pages:winners": {"team": self.cast.team.name, "title": "Second"},
            "pages:take-award-back": {"award": self.award.pk, "reason": "a mistake"},
            "api:submission-list": archive,
            "api:team-description": {"file": upload(b"%PDF-1.7", "method.pdf")},
            "pages:team": {"name": "A new team"},
            "pages:create-token": {"name": "new", "scopes": ["submit"]},
            "pages:revoke-token": {"digest": self.token.digest},
            "pages:select": {"selected": "1"},
            "pages:labels": {"patch": 1, "text": "wrong"},
            "pages:account-delete": {"password": PASSWORD},
            "pages:webhook": {"url": "https://8.8.8.8/other", "events": ["submission.scored"]},
        }
        json: dict[str, dict[str, Any]] = {
            "api:submission-select": {"selected": False},
            "api:competition-accept-terms": {"version": 1},
            "api:question-list": {
                "competition": self.cast.competition.slug,
                "title": "A question",
                "body": "How?",
            },
            "api:question-answer": {"answer": "So.", "public": True},
            "api:token-list": {"name": "new", "scopes": ["submit"]},
            "api:team-list": {"competition": self.cast.competition.slug, "name": "A new team"},
            "api:team-detail": {"affiliation": "Institute"},
            "api:team-remove-member": {"username": "teammate"},
            "api:team-make-owner": {"username": "teammate"},
            "api:team-membership": {"is_named": True},
            "api:submission-note": {"text": "to remember", "tags": []},
            "api:join-request-list": {"team": self.cast.team.pk},
            "api:invitation-list": {"team": self.cast.team.pk},
            "api:invitation-accept": {"token": self.invitation_token},
            "api:merger-list": {"team": self.cast.team.pk, "other": self.third.pk},
            "api:account-delete-account": {"password": PASSWORD},
            "api:team-webhook": {"url": "https://8.8.8.8/other"},
            "api:account-notifications": {"scored": True},
        }
        if name == "api:upload":
            return {"data": b"PK", "content_type": "application/offset+octet-stream"}
        if name == "api:uploads":
            return {"content_type": "application/octet-stream"}
        if name in json:
            return {"data": json[name], "content_type": "application/json"}
        return {"data": forms.get(name, {"reason": "A reason."} if name.startswith("admin:") else {})}


COUNTS = (8131, 1237, 2999)  # of the phase that shows F1 alone: precision 86.80 %, recall 73.05 %
WEBHOOK_SECRET = "whsec_d2hhdC1zaWducy10aGUtY2FsbHM="
DESCRIPTION = "what-only-the-team-and-the-organisers-read"
QUESTION = "what-only-its-author-and-the-organisers-read"
HIDDEN_METRICS = ("86.80", "0.8679", "86,80", "73.05", "0.7305", "73,05")
MAY_READ_METRICS = ("organiser", "administrator")
MAY_READ_DESCRIPTION = ("teammate", "owner", *MAY_READ_METRICS)
MAY_READ_QUESTION = ("owner", "helper", *MAY_READ_METRICS)
ODD = (
    "q",
    "page",
    "p",
    "phase",
    "state",
    "next",
    "o",
    "id__exact",
    "team__id__exact",
    "limit",
    "invitation",
    "version",
)
LOG_IN = ("/accounts/login/", "/admin/login/")


def word_for(answer: Any) -> str:
    """The status; or "login" and "index" for a way to the log-in and back to the admin's first page."""
    if answer.status_code in (301, 302):
        if answer["Location"].startswith(LOG_IN):
            return "login"
        if answer["Location"] == "/admin/":
            return "index"
    return str(answer.status_code)


def unprotected(answer: Any, *, may_be_framed: bool = False) -> list[str]:
    """What every answer must carry and this one does not."""
    policy = answer.get("Content-Security-Policy", "")
    framed_by = "*" if may_be_framed else "'none'"
    held = {
        "no content policy": "default-src 'self'" in policy and f"frame-ancestors {framed_by}" in policy,
        "the browser may guess its type": answer.get("X-Content-Type-Options") == "nosniff",
        "it may be framed": may_be_framed or answer.get("X-Frame-Options") == "DENY",
        "it may use sensors": "camera=()" in answer.get("Permissions-Policy", ""),
        "its address goes along": answer.get("Referrer-Policy") == "same-origin",
    }
    return [lack for lack, holds in held.items() if not holds]


def leaks(answer: Any, role: str) -> list[str]:
    """What the answer tells that the role must not read."""
    secrets = [WEBHOOK_SECRET, *([] if role in MAY_READ_DESCRIPTION else [DESCRIPTION])]
    secrets = [] if role in MAY_READ_DESCRIPTION else [DESCRIPTION]
    secrets += [] if role in MAY_READ_QUESTION else [QUESTION]
    secrets += [] if role in MAY_READ_METRICS else HIDDEN_METRICS
    return [secret for secret in secrets if secret in answer.text_told]

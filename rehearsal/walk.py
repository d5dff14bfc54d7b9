"""Opens every URL as every kind of viewer, reads mails, logs and the export, and searches for hidden numbers."""

import io
import itertools
import logging
import re
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib import admin
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from leaderboard.models import Award, Competition, LabelSet, MethodDescription, Submission

from .findings import Findings, Leak
from .hidden import Hidden, Viewer

NAMESPACES = {"", "pages:", "api:"}
# URLs that show no data of a row, or accept only POST
NOT_OPENED = {
    *((f"api:{name}", ()) for name in ("schema", "docs", "unknown", "account-delete-account")),
    *((f"pages:{name}", ()) for name in ("account-delete", "create-token", "revoke-token")),
    *((f"pages:{name}", ()) for name in ("revoke-tokens", "end-sessions")),
    *((f"pages:{name}", ("slug",)) for name in ("ask-to-join", "decide-merger", "decide-request", "invite")),
    *((f"pages:{name}", ("slug",)) for name in ("propose-merger", "take-award-back")),
}
TIMES_AND_SIZES = re.compile(r"^\S*(?:seconds|bytes|created)\S* .*$", re.MULTILINE)  # in /metrics
OF_A_SUBMISSION = (
    "pages:submission",
    "pages:receipt",
    "pages:archive",
    "pages:masks",
    "pages:mask-bits",
    "pages:mask-labels",
    "pages:mask-picture",
    "api:submission-detail",
    "api:submission-receipt",
    "api:submission-archive",
    "api:submission-note",
    "api:submission-counts",
)
KINDS_OF_PICTURES = ("true", "mask", "errors")
SAMPLE = 8  # submissions whose pages every viewer tries to open: those with a score, and some of each team


class Walk:
    """Knows the URLs; remembers which mails and log lines have been read."""

    def __init__(
        self, competition: Competition, findings: Findings, hidden: Hidden, viewers: list[Viewer]
    ) -> None:
        self.competition, self.findings, self.hidden, self.viewers = competition, findings, hidden, viewers
        self.log = _Lines()
        self.mails_read = 0

    def look(self, moment: str, now: datetime, sample: list[int]) -> None:
        """Read everything that can be read now, as every viewer."""
        found, shared = 0, self.addresses(sample)
        for viewer in self.viewers:
            client = Client(SERVER_NAME="localhost", raise_request_exception=False)
            if viewer.user is not None:
                client.force_login(viewer.user, backend="django.contrib.auth.backends.ModelBackend")
            if viewer.is_organiser:
                found += self.control(client, sample)
                continue
            of_staff = self.of_admin(sample) if viewer.user is not None and viewer.user.is_staff else []
            for address in [*shared, *of_staff]:
                answer = client.get(address)
                if answer.status_code >= 500:
                    self.findings.check(
                        f"{address} can be opened", "the server", False, f"{answer.status_code} {moment}"
                    )
                self.search(text_of(answer), viewer, address, moment, now)
                self.check_whose(address, answer.status_code, viewer)
        if sample and self.hidden.by_form:
            self.findings.check(
                "The search finds the numbers on the organisers' pages", "the rehearsal itself", found > 0
            )
        self.read_export(moment, now)
        self.read_mails_and_log(moment, now)

    def check_whose(self, address: str, status: int, viewer: Viewer) -> None:
        """Check that only its team and organisers can open a submission, its archive and its receipt."""
        if found := re.search(r"/submissions/(\d+)/", address):
            team = Submission.objects.values_list("team__name", flat=True).get(pk=found[1])
            held = status != 200 or team == viewer.team
            rule = "Only its team and organisers can open a submission"
            self.findings.check(rule, "the server", held, f"{viewer.name} can open {address}")

    def control(self, client: Client, sample: list[int]) -> int:
        """The number of hidden numbers that the search finds on organisers' pages."""
        pages = [client.get(reverse("pages:submission", args=[pk])) for pk in sample]
        return sum(1 for page in pages for _ in self.hidden.found_in(text_of(page)))

    def search(self, text: str, viewer: Viewer, where: str, moment: str, now: datetime) -> None:
        self.findings.answers_read += 1
        for secret, written in self.hidden.leaks(text, viewer, now):
            self.findings.leak(Leak(str(secret), viewer.name, moment, where, written))

    def read_mails_and_log(self, moment: str, now: datetime) -> None:
        """Read mails as their recipients, and the log as anybody: not only organisers read logs."""
        by_address = {viewer.user.email: viewer for viewer in self.viewers if viewer.user}
        for message in mail.outbox[self.mails_read :]:
            for address in message.recipients():
                reader = by_address.get(address, Viewer(f"the mailbox {address}"))
                self.search(
                    f"{message.subject}\n{message.body}", reader, f"mail {message.subject!r}", moment, now
                )
        self.mails_read = len(mail.outbox)
        for line in self.log.taken():
            self.search(line, Viewer("the log"), line[:120], moment, now)

    def read_export(self, moment: str, now: datetime) -> None:
        """Read the static pages of ``export_competition``, which are meant to be public."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "export.zip"
            call_command(
                "export_competition", self.competition.slug, path, stdout=io.StringIO(), stderr=io.StringIO()
            )
            with zipfile.ZipFile(path) as package:
                for name in package.namelist():
                    if name.startswith("site/"):
                        text = package.read(name).decode()
                        self.search(text, Viewer("a reader of the export"), name, moment, now)

    def addresses(self, sample: list[int]) -> list[str]:
        """Every URL of pages and API with all possible arguments; none for URLs about other kinds of rows."""
        competition = self.competition
        rows: dict[str, Any] = {
            "slug": [competition.slug],
            "phase_slug": list(competition.phases.values_list("slug", flat=True)),
            "page_slug": list(competition.pages.values_list("slug", flat=True)),
            "version": {
                *LabelSet.objects.filter(phase__competition=competition).values_list("version", flat=True)
            },
            "patch": [1],
            "kind": KINDS_OF_PICTURES,
            "title": list(Award.objects.filter(competition=competition).values_list("title", flat=True)),
        }
        rows_by_kind = {
            "submission": sample,
            "phase": list(competition.phases.values_list("pk", flat=True)),
            "team": list(competition.teams.values_list("pk", flat=True))[:3],
            "description": list(
                MethodDescription.objects.filter(team__competition=competition).values_list("pk", flat=True)
            ),
            "question": list(competition.questions.values_list("pk", flat=True))[:3],
        }
        found = []
        for name, words in sorted(addresses() - NOT_OPENED):
            rows["pk"] = rows_by_kind.get(kind_of(name), ())
            for values in itertools.product(*(rows.get(word, ()) for word in words)):
                found.append(reverse(name, kwargs=dict(zip(words, values, strict=True))))
        return found

    def of_admin(self, sample: list[int]) -> list[str]:
        """The admin's lists, and the pages of this competition's submissions and labels."""
        lists = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]
        labels = LabelSet.objects.filter(phase__competition=self.competition).values_list("pk", flat=True)
        return [
            *(reverse(f"admin:{name}_changelist") for name in lists),
            *(reverse("admin:leaderboard_submission_change", args=[pk]) for pk in sample),
            *(reverse("admin:leaderboard_labelset_change", args=[pk]) for pk in labels),
        ]


@cache
def addresses() -> frozenset[tuple[str, tuple[str, ...]]]:
    """Name and arguments of every URL of pages and API, and of those without a namespace."""
    return frozenset(found for found in _addresses(get_resolver(), "", ()) if found[0])


def _addresses(
    resolver: URLResolver, namespace: str, words: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in resolver.url_patterns:
        inner = (*words, *getattr(entry.pattern, "converters", ()))
        if isinstance(entry, URLResolver):
            below = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            if below in NAMESPACES and not str(entry.pattern).startswith("accounts/"):
                yield from _addresses(entry, below, inner)
        elif isinstance(entry, URLPattern) and entry.name:
            yield namespace + entry.name, inner


def kind_of(name: str) -> str:
    """The kind of row that a URL with a number is about; "" if it accepts only POST."""
    if name in OF_A_SUBMISSION:
        return "submission"
    if name.startswith("pages:team-"):
        return "team"
    if name == "pages:question":
        return "question"
    if name == "pages:jury-method":
        return "description"
    return next((kind for kind in ("phase", "team", "question") if name.startswith(f"api:{kind}")), "")


def text_of(answer: Any) -> str:
    """Headers (except Content-Length) and body; streamed files are skipped."""
    body = "" if answer.streaming else answer.content.decode("utf-8", "replace")
    if answer.request["PATH_INFO"] == "/metrics":
        body = TIMES_AND_SIZES.sub("", body)
    headers = "\n".join(f"{name}: {value}" for name, value in answer.items() if name != "Content-Length")
    return f"{headers}\n{body}"


def sample_of(competition: Competition, shown: set[int], most: int) -> list[int]:
    """Submissions for every viewer to try: the newest of up to ``most`` teams, and half as many that no board has shown."""
    made = Submission.objects.filter(phase__competition=competition).order_by("-pk")
    newest: dict[int, int] = {}
    for pk, team in made.values_list("pk", "team"):
        newest.setdefault(team, pk)
    unshown = [pk for pk in made.values_list("pk", flat=True) if pk not in shown]
    return sorted({*list(newest.values())[:most], *unshown[: most // 2]})


class _Lines(logging.Handler):
    """Keeps log lines in the server's own format."""

    def __init__(self) -> None:
        super().__init__()
        root = logging.getLogger()
        self.setFormatter(next((h.formatter for h in root.handlers if h.formatter), None))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def taken(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

"""The stage: the competition from the file, made-up people and teams, and what they can do on the server."""

import io
import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from evaluation.archive import mask_zip
from leaderboard.actions import competition_files, participation, teams
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Evaluation, LabelSet, Submission, Terms, User
from leaderboard.notifications import mails
from leaderboard.reporting import counting
from leaderboard.scoring import tasks

from . import masks
from .clock import Clock
from .findings import Findings
from .hidden import NUMBER, Hidden, Viewer, forms_of, forms_read, readings
from .rulebook import PhaseRules, Rulebook, SubmissionRecord
from .walk import Walk, sample_of

API = "/api/v1"
TEAMS = ("Ridge", "Scarp", "Toe", "Brim", "Scree", "Talus", "Flow", "Fan", "Apron")
POSITIVES = 90_007
QUOTAS = {
    "quota_total": "The total quota of submissions per team",
    "quota_per_day": "The daily quota of submissions per team",
    "quota_on_board": "The quota of results per team on the board",
}
REFUSED = {
    "early": "phase_not_open",
    "ended": "phase_ended",
    "total": "total_used_up",
    "day": "quota_used_up",
    "board": "board_full",
}


class Stage:
    """Everything that an act needs."""

    def __init__(
        self,
        document: dict[str, Any],
        rulebook: Rulebook,
        clock: Clock,
        findings: Findings,
        *,
        thorough: bool,
    ) -> None:
        self.rulebook, self.clock, self.findings, self.thorough = rulebook, clock, findings, thorough
        self.hidden, self.scored = Hidden(), 0
        self.entries: list[SubmissionRecord] = []
        self._ordinary(document)
        self.people: dict[str, User] = {}
        self.organiser = self.person("organiser", is_staff=True)
        self.elsewhere = self.person("elsewhere", is_staff=True)
        self.competition = self.create(document)
        self.phases = {phase.slug: phase for phase in self.competition.phases.all()}
        self.positives: dict[PhaseRules, int] = {}
        for rules in rulebook.phases:
            labels = LabelSet.objects.get(phase=self.phases[rules.get("slug")])
            self.positives[rules] = labels.positive_pixels
            texts = {
                "salt": labels.salt,
                "SHA-256": labels.sha256,
                "start of the SHA-256": labels.sha256[:12],
            }
            self.hidden.add_labels(rules, labels.positive_pixels, texts)
        self.walk = Walk(self.competition, findings, self.hidden, self.viewers())
        self._clients: dict[str, tuple[datetime, Client]] = {}

    def _ordinary(self, document: dict[str, Any]) -> None:
        """Made-up numbers must not look like numbers in the file's own texts."""
        text = json.dumps(document, default=str)
        self.hidden.ordinary = {
            form
            for match in NUMBER.finditer(text)
            for part in readings(match[0])
            for form in forms_read(part)
        }
        for phase in document["phases"]:
            for entry in phase.get("published", []):
                numbers = (
                    Fraction(str(entry[key])) / 100 for key in ("f1", "precision", "recall") if key in entry
                )
                self.hidden.ordinary.update(form for number in numbers for form in forms_of(number))

    def create(self, document: dict[str, Any]) -> Any:
        """Create the competition from its file with the real command's actions, but with made-up labels."""
        with tempfile.TemporaryDirectory() as folder:
            for number, phase in enumerate(document["phases"]):
                path = Path(folder) / f"{number}.zip"
                mask_zip.write(path, masks.labels(POSITIVES + 1009 * number))
                phase["labels"] = {"path": str(path), "note": "made up"}
            head = {**document["competition"], "is_published": True}
            document = {
                **document,
                "competition": head,
                "organisers": [self.organiser.username],
                "folder": Path(folder),
            }
            competition = competition_files.apply(competition_files.plan(document))
        other = {
            "competition": {
                "slug": "rehearsal-elsewhere",
                "name": "Another competition",
                "is_published": True,
            }
        }
        other["phases"] = [{"slug": "one", "name": "One", "opens_at": self.clock.now}]  # type: ignore[assignment]
        competition_files.apply(competition_files.plan({**other, "organisers": [self.elsewhere.username]}))
        return competition

    # People

    def person(self, name: str, **rights: bool) -> User:
        if name not in self.people:
            address = f"{name.lower()}@rehearsal.invalid"
            self.people[name] = User.objects.create(
                username=name.lower(), email=address, country="AT", **rights
            )
            for terms in Terms.objects.select_related("competition"):
                participation.accept_terms(self.people[name], terms.competition, terms.version)
        return self.people[name]

    def owner(self, team: str) -> User:
        return self.person(f"{team}-owner")

    def team(self, name: str) -> Any:
        return self.competition.teams.get(name=name)

    def found_teams(self) -> None:
        for name in TEAMS:
            team = teams.create_team(self.owner(name), self.competition, name)
            if team.needs_approval:
                participation.approve_team(self.organiser, team, "rehearsal")

    def viewers(self) -> list[Viewer]:
        few = [
            Viewer("another team", self.owner("Toe"), "Toe"),
            Viewer("the organiser", self.organiser, is_organiser=True),
        ]
        if not self.thorough:
            return few
        return [
            *few,
            Viewer("anyone"),
            Viewer("the team Ridge", self.owner("Ridge"), "Ridge"),
            Viewer("an organiser of another competition", self.elsewhere),
        ]

    def client(self, user: User | None) -> Client:
        """A logged-in client, renewed when the clock has moved far, because sessions expire after two weeks."""
        name = user.username if user else ""
        at, client = self._clients.get(name, (None, None))
        if client is None or at is None or abs((self.clock.now - at).days) > 7:
            client = Client(SERVER_NAME="localhost", raise_request_exception=False)
            if user:
                client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            self._clients[name] = self.clock.now, client
        return client

    def get(self, address: str, user: User | None = None) -> Any:
        return self.client(user).get(address)

    def post(self, address: str, user: User, data: dict[str, Any]) -> Any:
        return self.client(user).post(address, data, content_type="application/json")

    # Submissions

    def submit(
        self,
        team: str,
        rules: PhaseRules,
        f1: Fraction | None = None,
        *,
        counts: tuple[int, int, int] | None = None,
        by_page: bool = False,
        complete_at: datetime | None = None,
        spoilt: bool = False,
    ) -> SubmissionRecord | None:
        """Submit an archive and compare the outcome with the rulebook; returns the entry if accepted.

        ``counts`` or about ``f1``; ``complete_at``: when its last byte arrives; ``spoilt``: an invalid archive.
        """
        counts = counts or self.hidden.draw(self.positives[rules], f1 or Fraction(1, 2))
        content = b"PK, but not an archive" if spoilt else masks.archive_of(self.positives[rules], counts)
        mine = [entry for entry in self.entries if entry.phase is rules and entry.team == team]
        before = Submission.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        begun = self.clock.now
        answer = self._send(team, rules, content, by_page, complete_at)
        expected = rules.refusal(mine, begun, self.clock.now)
        made = Submission.objects.filter(pk__gt=before).first()
        self._compare(rules, expected, made, answer, team)
        if made is None:
            return None
        received_at = rules.counted_from(begun, self.clock.now)
        entry = SubmissionRecord(rules, team, counts, received_at, made.pk, given_back=spoilt)
        self.entries.append(entry)
        if not spoilt:
            self.hidden.add(entry)
        self.remember()
        return entry

    def _send(
        self, team: str, rules: PhaseRules, content: bytes, by_page: bool, complete_at: datetime | None
    ) -> Any:
        fields = {
            "phase": self.phases[rules.get("slug")].pk,
            "method": "Made up",
            "allow_duplicate": "true",
            "archive": SimpleUploadedFile("masks.zip", content, "application/zip"),
        }
        address = f"/c/{self.competition.slug}/submit/" if by_page else f"{API}/submissions/"
        body = encode_multipart(BOUNDARY, fields)
        stream = SlowBody(body, self.clock, complete_at)
        extra: dict[str, Any] = {"wsgi.input": stream}
        return self.client(self.owner(team)).generic("POST", address, body, MULTIPART_CONTENT, **extra)

    def _compare(self, rules: PhaseRules, expected: str, made: Any, answer: Any, team: str) -> None:
        """One finding for the rule that accepts or refuses the submission."""
        now = self.clock.now
        names = {
            "total": (QUOTAS["quota_total"], "quota_total"),
            "day": (QUOTAS["quota_per_day"], "quota_per_day"),
            "board": (QUOTAS["quota_on_board"], "quota_on_board"),
            "early": ("No submissions are accepted before the opening", "opens_at"),
            "ended": ("No submissions are accepted from the end on", "closes_at"),
            "": ("Submissions within dates and quotas are accepted", "slug"),
        }
        rule, key = names[expected]
        held = (made is None) == bool(expected)
        if held and expected and answer.headers["Content-Type"].endswith("json"):
            held = answer.json()["code"] == REFUSED[expected]
        outcome = f"{team} at {now:%Y-%m-%d %H:%M:%S}: {'accepted' if made else f'refused with {answer.status_code}'}"
        self.findings.check(rule, rules.where(key), held, outcome)

    def score(self) -> None:
        """Run the real worker code until the queue is empty; the counts must match the masks."""
        while tasks.work() != "nothing waits":
            pass
        for entry in self.entries[self.scored :]:
            found = Evaluation.objects.get(submission=entry.pk)
            counts = None if entry.given_back else entry.counts
            held = (found.tp, found.fp, found.fn) == (counts or (None, None, None))
            self.findings.check("The counts match the masks", "the scorer", held, f"submission {entry.pk}")
        self.scored = len(self.entries)
        self.remember()

    def remember(self) -> None:
        """What the public board shows now is known from now on."""
        for rules in self.rulebook.phases:
            self.hidden.show(rules, self.entries, self.clock.now)

    def withdraw(self, entry: SubmissionRecord) -> bool:
        answer = self.post(f"{API}/submissions/{entry.pk}/withdraw/", self.owner(entry.team), {})
        entry.withdrawn = entry.withdrawn or answer.status_code == 200
        self.remember()
        return answer.status_code == 200

    def select(self, entry: SubmissionRecord, selected: bool) -> bool:
        answer = self.post(
            f"{API}/submissions/{entry.pk}/select/", self.owner(entry.team), {"selected": selected}
        )
        if answer.status_code == 200:
            entry.selected = selected
        self.remember()
        return answer.status_code == 200

    def look(self, moment: str, *, decisive: bool = False) -> None:
        """Send waiting mail and open everything as every viewer; ``decisive``: even if not thorough."""
        mails.deliver()
        counting.keep_up(self.clock.now)
        self.remember()
        if self.thorough or decisive:
            sample = sample_of(self.competition, self.hidden.shown, 8 if self.thorough else 2)
            self.walk.look(moment, self.clock.now, sample)

    def refuses(self, act: Callable[[], Any]) -> str:
        """The code of an action's refusal; "" if it succeeds."""
        try:
            act()
        except Refusal as refused:
            return refused.code
        return ""


class SlowBody(io.BytesIO):
    """A request body; after its last byte has been read, the clock is set to ``complete_at``."""

    def __init__(self, content: bytes, clock: Clock, complete_at: datetime | None) -> None:
        super().__init__(content)
        self.length, self.clock, self.complete_at = len(content), clock, complete_at

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if data and self.tell() == self.length and self.complete_at is not None:
            self.clock.now = self.complete_at
        return data

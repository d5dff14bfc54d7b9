"""What belongs to a competition, table by table, and its rows as JSON.

A row names other rows by their number in the export, never by a database's id, so that the same competition gives the
same lines on every server. All columns of a model are written unless they are named as kept apart.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import models

from evaluation.scoring.counts import Counts
from leaderboard.models import (
    Announcement,
    Attempt,
    AuditEntry,
    Award,
    Competition,
    Evaluation,
    Extension,
    Invitation,
    JoinRequest,
    JuryVote,
    LabelReport,
    LabelSet,
    Membership,
    Merger,
    MethodDescription,
    Page,
    Phase,
    PhaseReport,
    Picture,
    Prediction,
    Prize,
    PublishedEntry,
    Question,
    QuickLook,
    Review,
    Role,
    Standing,
    Submission,
    Team,
    Terms,
    TermsAcceptance,
    User,
)
from leaderboard.models.ownership import COMPETITION_OF

Row = dict[str, Any]
KINDS = ("tp", "fp", "fn")


@dataclass(frozen=True)
class Table:
    """The rows of one model, in the order of their making.

    ``apart``: columns that go into files of their own, or stay here. ``later``:
    references to tables further down, set once those are there. ``amend`` changes a row on its way out.
    """

    name: str
    model: type[models.Model]
    apart: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    amend: Callable[[Any, Row], None] | None = None
    orders: tuple[str, ...] = ("pk",)

    @property
    def file(self) -> str:
        return f"data/{self.name}.jsonl"

    @property
    def path(self) -> str:
        return COMPETITION_OF[self.model]

    def rows(self, competition: Competition) -> models.QuerySet[Any]:
        rows = self.model._default_manager.filter(**{self.path: competition.pk})
        return rows.defer(*self.apart).order_by(*self.orders)

    def columns(self) -> list["models.Field[Any, Any]"]:
        return [
            column
            for column in self.model._meta.concrete_fields
            if column.name not in self.apart and not (column.primary_key and not column.remote_field)
        ]


def _amend_evaluation(evaluation: Evaluation, row: Row) -> None:
    """What a worker holds right now goes back into the queue."""
    if evaluation.state == Evaluation.State.SCORING:
        row |= {"state": Evaluation.State.QUEUED, "lease_until": None, "worker": "", "started_at": None}


def _amend_audit(entry: AuditEntry, row: Row) -> None:
    """An entry that came from another server leaves as it was there: with the digests of its first chain."""
    details = dict(entry.details)
    row |= details.pop("original", {})
    row["details"] = details


TABLES = (
    Table("pages", Page),
    Table("pictures", Picture),
    Table("phases", Phase, later=("labels",)),
    Table("label_sets", LabelSet, apart=("masks", "sites")),
    Table("quick_looks", QuickLook),
    Table("published_entries", PublishedEntry),
    Table("teams", Team, later=("merged_into",)),
    Table("announcements", Announcement),
    Table("questions", Question),
    Table("terms", Terms),
    Table("terms_accepted", TermsAcceptance),
    Table("members", Membership),
    Table("invitations", Invitation),
    Table("join_requests", JoinRequest),
    Table("mergers", Merger, apart=("moved",)),
    Table("extensions", Extension),
    Table("descriptions", MethodDescription),
    Table("prizes", Prize),
    Table("awards", Award),
    Table("roles", Role),
    Table("jury_votes", JuryVote),
    Table("submissions", Submission, later=("evaluation",)),
    Table("evaluations", Evaluation, amend=_amend_evaluation),
    Table("predictions", Prediction, apart=("masks",)),
    Table("attempts", Attempt),
    Table(
        "standings",
        Standing,
        apart=("earlier_rank", "noticed_key"),  # of one day, and of one server's mails
        orders=("phase_id", "label_set_id", "kind", "-rank_key", "achieved_at", "team_id"),
    ),
    Table("label_reports", LabelReport),
    Table("reports", PhaseReport),
    Table("reviews", Review),
    Table("audit", AuditEntry, amend=_amend_audit),
)
NOT_EXPORTED = {
    "BulkAct": "how one server did what its audit log says",
    "DataFile": "public data, large and kept apart: the new server names its own",
    "SubmissionNote": "a team's own, which organisers do not read",
    "PatchPicture": "shows hidden labels: a report that is built again has them",
    "CompetitionFigures": "counted from the submissions",
    "PhaseFigures": "counted from the submissions",
    "Rehearsal": "played on one server, from a file that can be played again",
    "FormerSlug": "addresses of one server",
    "RefusedUpload": "a month of one server's refusals",
    "Worker": "a process of one server",
    "Mail": "on its way, from one server",
    "Notice": "on its way, from one server",
    "Webhook": "has a secret, and calls for one server",
    "WebhookCall": "on its way, from one server",
    "NoticeChoice": "a person's own, for the mails of one server",
    "Upload": "on its way, to one server",
    "UploadPart": "on its way, to one server",
    "ApiToken": "a secret of one person on one server",
    "SignIn": "where a person signs in to one server",
}


def users_of(competition: Competition) -> models.QuerySet[Any]:
    """Everybody whom a row of the competition names, by user name."""
    named: list[Any] = [Competition.organisers.through.objects.filter(competition=competition).values("user")]
    for table in TABLES:
        rows = table.model._default_manager.filter(**{table.path: competition.pk}).order_by()
        for column in table.columns():
            if column.related_model is User:
                named.append(rows.exclude(**{column.name: None}).values(column.name))
    anybody = models.Q(pk__in=named[0])
    for some in named[1:]:
        anybody |= models.Q(pk__in=some)
    return User.objects.filter(anybody).order_by("username")


USER_COLUMNS = ("username", "email", "first_name", "last_name", "affiliation", "country", "date_joined")


@dataclass
class Numbers:
    """Which number in the export a row of the database has, and back; numbers begin at 1."""

    of: dict[type[models.Model], dict[Any, int]] = field(default_factory=dict)

    def add(self, row: models.Model) -> int:
        known = self.of.setdefault(type(row), {})
        return known.setdefault(row.pk, len(known) + 1)

    def find(self, model: Any, pk: Any) -> int | None:
        return None if pk is None else self.of[model][pk]


def lines(table: Table, competition: Competition, numbers: Numbers) -> Iterator[Row]:
    """The table's rows as JSON objects. References to tables further down stand in ``later_lines``."""
    for row in table.rows(competition).iterator(chunk_size=500):
        number = numbers.add(row)
        line: Row = {"number": number}
        for column in table.columns():
            if column.name not in table.later:
                line[column.name] = encode(column, row, numbers)
        if table.amend:
            table.amend(row, line)
        yield line


def later_lines(table: Table, competition: Competition, numbers: Numbers) -> Iterator[Row]:
    """The references of a table to rows further down, e.g. which evaluation of a submission is in force."""
    rows = table.rows(competition).values_list("pk", *(f"{name}_id" for name in table.later))
    for pk, *targets in rows.iterator(chunk_size=2000):
        line: Row = {"number": numbers.of[table.model][pk]}
        for name, target in zip(table.later, targets, strict=True):
            line[name] = numbers.find(table.model._meta.get_field(name).related_model, target)
        yield line


def encode(column: Any, row: models.Model, numbers: Numbers) -> Any:
    """One column as JSON: a reference as a number, a date as ISO 8601 in UTC, counts of each patch as lists, other
    bytes as base64."""
    value = getattr(row, column.attname)
    if column.related_model is Competition:
        return 1
    if column.remote_field:
        return numbers.find(column.related_model, value)
    if isinstance(column, models.FileField):
        return f"archives/{row.sha256}.zip" if value else None  # type: ignore[attr-defined]
    if column.name == "patch_counts":
        counts = Counts.from_bytes(bytes(value)) if value else None
        return counts and {kind: getattr(counts, kind).tolist() for kind in KINDS}
    if isinstance(column, models.BinaryField):
        return None if value is None else b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def decode(column: Any, value: Any) -> Any:
    """The value of a column that is neither a reference nor a file; the inverse of ``encode``."""
    if column.name == "patch_counts":
        return (
            None
            if value is None
            else Counts(*(np.array(value[kind], np.uint32) for kind in KINDS)).to_bytes()
        )
    if isinstance(column, models.BinaryField):
        return None if value is None else b64decode(value)
    return value if isinstance(column, models.JSONField) else column.to_python(value)

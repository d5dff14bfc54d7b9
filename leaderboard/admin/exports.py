"""The admin's lists as files. Columns are named one by one, so that no new field leaks hidden data."""

from typing import Any

from django.db.models import Model
from import_export import resources
from import_export.fields import Field
from import_export.formats import base_formats

from leaderboard.models import (
    Attempt,
    AuditEntry,
    Award,
    Evaluation,
    JoinRequest,
    JuryVote,
    Membership,
    Merger,
    MethodDescription,
    PublishedEntry,
    Question,
    Submission,
    Team,
    TermsAcceptance,
)
from leaderboard.reporting.spreadsheets import write_csv


class SafeCSV(base_formats.CSV):
    """CSV by RFC 4180 in which no cell is a formula."""

    def export_data(self, dataset: Any, **_: Any) -> str:
        return write_csv(dataset.headers or [], dataset)

    def can_import(self) -> bool:
        return False


FORMATS = [SafeCSV, base_formats.JSON]


COLUMNS: dict[type[Model], str] = {
    Submission: """
        id competition=phase__competition__slug phase=phase__slug team=team__name
        submitted_by=submitted_by__username method description link original_name size sha256
        received_at reference selected withdrawn_at disqualified_at disqualified_reason
        state=evaluation__state labels_version=evaluation__label_set__version
        scorer=evaluation__scorer f1 precision recall
        tp=evaluation__tp fp=evaluation__fp fn=evaluation__fn
    """,
    Evaluation: """
        id competition=submission__phase__competition__slug phase=submission__phase__slug
        team=submission__team__name submission=submission_id labels_version=label_set__version
        scorer state priority tries queued_at started_at finished_at f1 precision recall tp fp fn incident
    """,
    Attempt: """
        submission=submission_id competition=phase__competition__slug phase=phase__slug
        team=team__name state reason reserved_at settled_at day
    """,
    Team: """
        id competition=competition__slug name affiliation is_organisers
        merged_into=merged_into__name created_at
    """,
    Membership: """
        id competition=competition__slug team=team__name username=user__username email=user__email
        affiliation=user__affiliation country=user__country role joined_at
    """,
    JoinRequest: """
        id competition=team__competition__slug team=team__name username=user__username message
        created_at decided_at accepted withdrawn
    """,
    Merger: """
        id competition=team__competition__slug team=team__name other=other__name
        proposed_by=proposed_by__username created_at decided_at accepted withdrawn
    """,
    MethodDescription: """
        competition=team__competition__slug team=team__name members
        uploaded_by=uploaded_by__username uploaded_at sha256 verdict verdict_reason
    """,
    Award: """
        id competition=competition__slug title team=team__name citation given_at
    """,
    PublishedEntry: """
        id competition=phase__competition__slug phase=phase__slug name method award precision recall
        f1 source
    """,
    TermsAcceptance: """
        id competition=terms__competition__slug version=terms__version username=user__username accepted_at
    """,
    JuryVote: """
        id competition=prize__competition__slug prize=prize__title team=team__name juror=juror__username reason
        voted_at
    """,
    Question: """
        id competition=competition__slug asked_by=asked_by__username title body wants_privacy created_at
        answer answered_at answered_by=answered_by__username is_public hidden_at hidden_reason
    """,
    AuditEntry: """
        id at competition=competition__slug actor_name act subject reason details public previous
        digest
    """,
}
"""The columns of each list's file: a field, or a name and the path to what it shows."""


METRICS = {
    "f1": lambda tp, fp, fn: (2 * tp, 2 * tp + fp + fn),
    "precision": lambda tp, fp, fn: (tp, tp + fp),
    "recall": lambda tp, fp, fn: (tp, tp + fn),
}
"""Numerator and denominator of each metric from the counts."""


def _metric(name: str) -> Any:
    """A column from 0 to 1, empty where nothing is scored or nothing is divided."""

    def value(self: Any, row: Any) -> float | None:
        found = row.evaluation if isinstance(row, Submission) else row
        if found is None or found.tp is None:
            return None
        above, below = METRICS[name](found.tp, found.fp, found.fn)
        return above / below if below else None

    return value


def resource(model: type[Model]) -> Any:
    """The import-export resource that writes the columns of a model."""
    columns = dict((word.split("=") * 2)[:2] for word in COLUMNS[model].split())
    fields: dict[str, Any] = {name: Field(path) for name, path in columns.items() if name != path}
    meta = {
        "model": model,
        "fields": tuple(columns),
        "export_order": tuple(columns),
        "import_id_fields": (next(iter(columns)),),
    }
    if model in (Submission, Evaluation):
        fields |= {metric: Field(column_name=metric) for metric in METRICS}
        fields |= {f"dehydrate_{metric}": _metric(metric) for metric in METRICS}
    if model is MethodDescription:
        fields["dehydrate_members"] = lambda self, description: ", ".join(description.members)
    return type(
        f"{model.__name__}Resource", (resources.ModelResource,), {**fields, "Meta": type("Meta", (), meta)}
    )

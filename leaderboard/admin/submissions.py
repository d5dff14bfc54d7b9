"""Submissions, their evaluations and the ledger of attempts: looked at here, judged by ``actions.bulk``."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat, pluralize
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action, display

from evaluation.scoring import metrics
from leaderboard.models import Attempt, BulkAct, Evaluation, Submission

from .base import Exported, OrganiserAdmin, ReadOnlyInline, ScopedRelatedFilter, Who, once
from .bulk import ask_and_begin
from .exports import resource
from .long_lists import INCIDENT, find_by_team, find_submissions, plain, with_incident
from .scope import without_masks
from .single_teams import AttemptActs
from .waiting import WaitingFilter

STATES = {
    "queued": "info",
    "scoring": "primary",
    "scored": "success",
    "invalid": "warning",
    "failed": "danger",
}


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return Evaluation.State.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(evaluation__state=self.value()) if self.value() else queryset


class StandsFilter(admin.SimpleListFilter):
    title, parameter_name = "standing", "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "stands"), ("withdrawn", "withdrawn"), ("disqualified", "disqualified"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.filter(withdrawn_at=None, disqualified_at=None)
        if self.value() in ("withdrawn", "disqualified"):
            return queryset.exclude(**{f"{self.value()}_at": None})
        return queryset


class EvaluationInline(ReadOnlyInline):
    """The history of a submission: every scoring, on which labels, by which scorer, with which result."""

    model = Evaluation
    verbose_name_plural = "evaluations, the newest first"
    fields = ("label_version", "scorer", "state", "scores", "tries", "queued_at", "finished_at", "incident")
    readonly_fields = fields
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = (
            super().get_queryset(request).select_related("label_set__phase__competition", "submission__team")
        )
        return without_masks(rows, "label_set__").defer("patch_counts")

    @display(description="labels")
    def label_version(self, evaluation: Evaluation) -> str:
        return f"v{evaluation.label_set.version}"

    @display(description="F1 / precision / recall in %", empty_value="")
    def scores(self, evaluation: Evaluation) -> str | None:
        return " / ".join(percentages(evaluation)) or None


def percentages(evaluation: Evaluation | None) -> list[str]:
    """F1, precision and recall in percent, with two decimals; nothing unless it is scored."""
    if evaluation is None or evaluation.tp is None or evaluation.fp is None or evaluation.fn is None:
        return []
    tp, fp, fn = evaluation.tp, evaluation.fp, evaluation.fn
    return [
        metrics.percent(2 * tp, 2 * tp + fp + fn),
        metrics.percent(tp, tp + fp),
        metrics.percent(tp, tp + fn),
    ]


def problem_list(evaluation: Evaluation | None) -> str | None:
    """The problems as a list for people, each with its code."""
    if evaluation is None or not evaluation.problems:
        return None
    lines = ((problem.code, problem.where, problem.message) for problem in evaluation.found_problems)
    items = format_html_join("", "<li class='mb-1'><code>{}</code> {} {}</li>", lines)
    return format_html("<ul>{}</ul>", items)


@admin.register(Submission)
class SubmissionAdmin(Exported, AttemptActs):
    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(Submission)]
    list_display = ("id", "team", "phase", "method", "state_label", "f1", "received_at", "file_size", "marks")
    list_display_links = ("id", "method")
    list_filter = (
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
        StateFilter,
        StandsFilter,
        "received_at",
        "reference",
    )
    list_select_related = ("phase__competition", "team", "evaluation__label_set", "submitted_by")
    search_fields = ("=id",)  # that there is a search; ``get_search_results`` is it
    search_help_text = "Number, team, person, whole SHA-256 or incident"
    ordering = ("-pk",)  # by number: the order of the database's own index, however many there are
    fieldsets = (
        (
            None,
            {"fields": (("phase", "team"), ("submitted_by", "received_at"), "method", "description", "link")},
        ),
        (
            "Result",
            {
                "fields": (
                    "state_name",
                    ("f1", "precision", "recall"),
                    "counts",
                    "problems",
                    "incident",
                    "marks",
                )
            },
        ),
        ("Archive", {"fields": (("original_name", "size"), "sha256", "archive_link", "masks_link")}),
        ("Attempt", {"fields": ("attempt_state",)}),
    )
    inlines = (EvaluationInline,)
    actions = ("rescore", "disqualify", "restore", "give_back", "withdraw")
    actions_detail = (
        "rescore_one",
        "disqualify_one",
        "restore_one",
        "give_attempt_back",
        "take_attempt_again",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return without_masks(rows, "evaluation__label_set__").defer("evaluation__patch_counts")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return queryset.filter(find_submissions(search_term)) if search_term.strip() else queryset, False

    @display(description="state", label=STATES, ordering="evaluation__state")
    def state_label(self, submission: Submission) -> tuple[str, str]:
        return submission.state, Evaluation.State(submission.state).label

    @display(description="state")
    def state_name(self, submission: Submission) -> str:
        return Evaluation.State(submission.state).label

    @display(description="F1 in %", ordering="evaluation__rank_key", empty_value="")
    def f1(self, submission: Submission) -> str | None:
        return next(iter(percentages(submission.evaluation)), None)

    @display(description="precision in %", empty_value="")
    def precision(self, submission: Submission) -> str | None:
        return next(iter(percentages(submission.evaluation)[1:2]), None)

    @display(description="recall in %", empty_value="")
    def recall(self, submission: Submission) -> str | None:
        return next(iter(percentages(submission.evaluation)[2:3]), None)

    @display(description="TP / FP / FN", empty_value="")
    def counts(self, submission: Submission) -> str | None:
        found = submission.evaluation
        return f"{found.tp:,} / {found.fp:,} / {found.fn:,}" if found and found.tp is not None else None

    @display(description="problems", empty_value="none")
    def problems(self, submission: Submission) -> str | None:
        return problem_list(submission.evaluation)

    @display(description="incident", empty_value="none")
    def incident(self, submission: Submission) -> str | None:
        return (submission.evaluation.incident if submission.evaluation else "") or None

    @display(description="marks", empty_value="")
    def marks(self, submission: Submission) -> str | None:
        found = [
            "reference" if submission.reference else "",
            "selected" if submission.selected else "",
            f"withdrawn {submission.withdrawn_at:%Y-%m-%d %H:%M}" if submission.withdrawn_at else "",
            f"disqualified: {submission.disqualified_reason}" if submission.disqualified_at else "",
        ]
        return ", ".join(mark for mark in found if mark) or None

    @display(description="size", ordering="size")
    def file_size(self, submission: Submission) -> str:
        return filesizeformat(submission.size)

    @display(description="archive", empty_value="not kept")
    def archive_link(self, submission: Submission) -> str | None:
        if not submission.archive:
            return None
        address = reverse("pages:archive", args=[submission.pk])
        return format_html('<a class="underline" href="{}">Download</a>', address)

    @display(description="masks", empty_value="not scored")
    def masks_link(self, submission: Submission) -> str | None:
        """The viewer: the masks against the labels, worst patches first."""
        if submission.state != Evaluation.State.SCORED:
            return None
        address = reverse("pages:masks", args=[submission.pk])
        return format_html(
            '<a class="underline" href="{}">Against the labels, worst patches first</a>', address
        )

    @display(description="attempt", empty_value="takes none")
    @once
    def attempt_state(self, submission: Submission) -> str | None:
        attempt = Attempt.objects.filter(submission=submission).first()
        if attempt is None:
            return None
        return attempt.get_state_display() + (f" ({attempt.reason})" if attempt.reason else "")

    def has_judge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    @action(description="Re-score…", permissions=["judge"])
    def rescore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self.judge(request, queryset, "rescore")

    @action(description="Disqualify…", permissions=["judge"])
    def disqualify(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self.judge(request, queryset, "disqualify")

    @action(description="Restore…", permissions=["judge"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self.judge(request, queryset, "restore")

    @action(description="Give attempts back…", permissions=["judge"])
    def give_back(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self.judge(request, queryset, "give_back")

    @action(description="Withdraw…", permissions=["judge"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self.judge(request, queryset, "withdraw")

    @action(description="Re-score", icon="replay", permissions=["judge"])
    def rescore_one(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self.judge_one(request, object_id, "rescore")

    @action(description="Disqualify", icon="block", permissions=["judge"])
    def disqualify_one(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self.judge_one(request, object_id, "disqualify")

    @action(description="Restore", icon="undo", permissions=["judge"])
    def restore_one(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self.judge_one(request, object_id, "restore")

    def judge_one(self, request: HttpRequest, object_id: int, act: str) -> HttpResponse:
        submission = get_object_or_404(self.get_queryset(request), pk=object_id)
        back = reverse("admin:leaderboard_submission_change", args=[submission.pk])
        return self.judge(request, Submission.objects.filter(pk=submission.pk), act, back=back)

    def judge(self, request: HttpRequest, chosen: QuerySet[Any], act: str, back: str = "") -> HttpResponse:
        """Say what follows and ask for a reason, then do it to the chosen submissions: a few at once, many by a worker."""
        chosen = Submission.objects.filter(pk__in=chosen.order_by().values("pk"))
        where = chosen.aggregate(
            number=Count("pk"), teams=Count("team", distinct=True), phases=Count("phase", distinct=True)
        )
        preview = (
            f"{where['number']:,} submission{pluralize(where['number'])} of {where['teams']:,} team{pluralize(where['teams'])} "
            f"in {where['phases']:,} phase{pluralize(where['phases'])}."
        )
        return ask_and_begin(self, request, BulkAct.Kind(act), chosen, where["number"], preview, back)


@admin.register(Evaluation)
class EvaluationAdmin(Exported, OrganiserAdmin):
    """The queue and its past."""

    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(Evaluation)]
    list_display = (
        "id", "submission", "label_version", "state_label", "priority", "f1", "tries", "worker", "queued_at",
        "finished_at", "incident",
    )  # fmt: skip
    list_filter = (
        ("submission__phase", ScopedRelatedFilter),
        WaitingFilter,
        "state",
        "priority",
        ("incident", admin.EmptyFieldListFilter),
    )
    list_select_related = ("submission__team", "submission__phase__competition", "label_set")
    search_fields = ("=id",)  # that there is a search; ``get_search_results`` is it
    search_help_text = "Number, submission, team or incident"
    fields = (
        "submission", "label_version", "scorer", "state", "priority", "tries", "worker", "queued_at", "rung_at",
        "started_at", "lease_until", "finished_at", "tp", "fp", "fn", "f1", "problem_list", "incident",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return without_masks(rows, "label_set__").defer("patch_counts", "submission__description")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        text = plain(search_term)
        if not text:
            return queryset, False
        if INCIDENT.fullmatch(text.lower()):
            return queryset.filter(pk__in=with_incident(text.lower()).values("pk")), False
        if text.isascii() and text.isdecimal():
            number = int(text) if len(text) < 19 else None
            return queryset.filter(Q(pk=number) | Q(submission=number)), False
        return queryset.filter(find_by_team(text, "submission__")), False

    @display(description="labels", ordering="label_set__version")
    def label_version(self, evaluation: Evaluation) -> str:
        return f"v{evaluation.label_set.version}"

    @display(description="state", label=STATES, ordering="state")
    def state_label(self, evaluation: Evaluation) -> tuple[str, str]:
        return evaluation.state, evaluation.get_state_display()

    @display(description="F1 in %", ordering="rank_key", empty_value="")
    def f1(self, evaluation: Evaluation) -> str | None:
        return next(iter(percentages(evaluation)), None)

    @display(description="problems", empty_value="none")
    def problem_list(self, evaluation: Evaluation) -> str | None:
        return problem_list(evaluation)


@admin.register(Attempt)
class AttemptAdmin(Exported, OrganiserAdmin):
    """The ledger: what each submission takes from its team's quotas, and why it was given back."""

    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(Attempt)]
    list_display = (
        "submission", "team", "phase", "state_label", "reason", "reserved_at", "settled_at", "total_slot", "day_slot",
        "board_slot",
    )  # fmt: skip
    list_filter = (("phase", ScopedRelatedFilter), "state", "reserved_at")
    list_select_related = ("submission__team", "team", "phase__competition")
    ordering = ("-pk",)
    search_fields = ("=pk",)  # that there is a search; ``get_search_results`` is it
    search_help_text = "Submission or team"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        text = plain(search_term)
        if not text:
            return queryset, False
        if text.isascii() and text.isdecimal():
            return queryset.filter(pk=int(text) if len(text) < 19 else None), False
        return queryset.filter(find_by_team(text)), False

    @display(description="state", label={"reserved": "info", "spent": "success", "given_back": "default"})
    def state_label(self, attempt: Attempt) -> tuple[str, str]:
        return attempt.state, attempt.get_state_display()

"""What the detectors found: evidence for a person to look at. Nothing here happens by itself."""

from base64 import b64encode
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from evaluation.report.pictures import pair_pictures
from leaderboard.actions import reviews
from leaderboard.models import Review, Submission
from leaderboard.reporting import snapshots

from .base import OrganiserAdmin, ScopedRelatedFilter, Who, once
from .reasons import ask_about
from .waiting import WaitingFilter

STATES = {"to look at": "warning", "more since": "warning", "looked at": "success"}
SHOWN = 50  # submissions named on a page


@admin.register(Review)
class ReviewAdmin(OrganiserAdmin):
    adds = changes = deletes = Who.NOBODY
    list_display = ("__str__", "figures", "state_label", "stands", "changed_at", "phase")
    list_filter = (
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
        WaitingFilter,
        "kind",
        "stands",
        ("looked_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("phase__competition", "team", "other")
    search_fields = ("team__name", "other__name", "note")
    fields = readonly_fields = (
        "phase", "kind", "team", "other", "figures", "which", "pictures", "stands", "found_at", "changed_at",
        "state_label", "looked_at", "looked_by", "note",
    )  # fmt: skip
    actions_detail = ("look_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("phase__competition", "team", "other")

    @display(description="state", label=STATES)
    def state_label(self, review: Review) -> str:
        return review.state

    @display(description="evidence")
    def figures(self, review: Review) -> str:
        return review.figures

    @display(description="submissions")
    @once
    def which(self, review: Review) -> SafeString:
        numbers = review.evidence.get("which", [])
        rows = Submission.objects.filter(pk__in=numbers[:SHOWN], phase=review.phase_id).select_related("team")
        links = (
            (
                reverse("admin:leaderboard_submission_change", args=[row.pk]),
                row,
                row.received_at.strftime("%Y-%m-%d %H:%M"),
            )
            for row in rows.order_by("received_at", "pk")
        )
        listed = format_html_join("", '<li><a class="underline" href="{}">{}</a>, {} UTC</li>', links)
        more = len(numbers) - SHOWN
        return format_html("<ul>{}</ul>{}", listed, f"and {more} more" if more > 0 else "")

    @display(description="both masks", empty_value="–")
    @once
    def pictures(self, review: Review) -> SafeString | None:
        """The patches on which the two share most errors: both in blue, the first alone in vermilion, the second in orange."""
        pair = snapshots.pair_of_masks(review)
        if pair is None:
            return None
        first, second, masks = pair
        drawn = pair_pictures(masks.by_team[first], masks.by_team[second], masks.labels, masks.spec)
        figures = format_html_join(
            "",
            '<figure><img src="data:image/png;base64,{}" width="240" height="240" alt="Patch {}"><figcaption>Patch {}</figcaption></figure>',
            ((b64encode(content).decode(), patch + 1, patch + 1) for patch, content in drawn),
        )
        return format_html(
            "<p>Predicted by both: blue; by {} alone: vermilion; by {} alone: orange. The label is outlined in yellow.</p>"
            '<div class="flex flex-wrap gap-3">{}</div>',
            first,
            second,
            figures,
        )

    @action(description="Looked at", icon="visibility")
    def look_at(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Looked at",
            "Nothing else happens: no score changes and nobody is notified. It comes back if the evidence grows.",
            reviews.look_at,
            undo="This cannot be undone, but the finding stays in this list.",
            row=lambda review: review.figures,
            done=lambda review: f"{review} is {review.state}.",
            back=reverse("admin:leaderboard_review_changelist"),
        )

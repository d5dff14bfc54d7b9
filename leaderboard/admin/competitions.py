"""Competitions, their pages and phases, labels and published entries."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from evaluation.archive.problems import InvalidArchive
from evaluation.scoring import labels as label_files
from evaluation.task import TASK
from evaluation.trust.site_files import SiteFileError, read_sites
from leaderboard.actions import awards, board_updates, corrections, judging, phase_changes, reviews
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, LabelSet, Page, Phase, PublishedEntry, Submission, Team
from leaderboard.pages.forms import RefusedForm

from .base import Exported, OrganiserAdmin, ReadOnlyInline, ScopedRelatedFilter, Who, number_of
from .exports import resource
from .guarded import PhaseForm
from .organisers import NamesOrganisers
from .rankings import rankings
from .reasons import ask_for_reason
from .scope import without_masks

MOST_BYTES_OF_SITES = 2**20
STATES = {"open": "success", "not open yet": "info", "ended": "default"}


class PhaseInline(ReadOnlyInline):
    model = Phase
    fields = ("position", "slug", "name", "opens_at", "closes_at")
    tab = True


class PageInline(ReadOnlyInline):
    model = Page
    fields = ("position", "slug", "title")
    tab = True


@admin.register(Competition)
class CompetitionAdmin(NamesOrganisers):
    adds = Who.SUPERUSERS
    list_display = (
        "name",
        "slug",
        "is_published",
        "phase_count",
        "team_count",
        "roster_locks_at",
        "created_at",
    )
    list_filter = ("is_published",)
    search_fields = ("name", "slug", "summary")
    readonly_fields = ("organiser_names",)
    exclude = ("organisers",)
    inlines = (PhaseInline, PageInline)
    actions_detail = ("add_organiser", "remove_organiser", "give_ranked")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                phase_count=number_of(Phase.objects.all(), "competition"),
                team_count=number_of(Team.objects.all(), "competition"),
            )
        )

    @action(description="Give the awards by rank", icon="emoji_events")
    def give_ranked(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Give the awards by rank: {competition}",
            explanation="Each award by rank that nobody has yet goes to the eligible team at that rank of its phase, "
            "once the phase has ended. The winners' page shows them at once.",
            button="Give",
            rows=competition.prizes.exclude(rank=None),
            act=lambda reason: awards.give_ranked_awards(request.user, competition, reason),
            done=lambda given: f"Given: {'; '.join(map(str, given))}.",
            back=reverse("admin:leaderboard_award_changelist"),
        )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def save_model(self, request: HttpRequest, obj: Competition, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "slug" in form.changed_data:
            phase_changes.keep_former_slugs(obj, None, form.initial["slug"])
            messages.info(request, f"Links to /c/{form.initial['slug']}/ lead to /c/{obj.slug}/ from now on.")
        board_updates.boards_changed(obj)

    @display(description="phases", ordering="phase_count")
    def phase_count(self, competition: Any) -> int:
        return competition.phase_count

    @display(description="teams", ordering="team_count")
    def team_count(self, competition: Any) -> int:
        return competition.team_count


@admin.register(Page)
class PageAdmin(OrganiserAdmin):
    deletes = Who.ORGANISERS
    list_display = ("title", "competition", "slug", "position")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition",)
    search_fields = ("title", "slug", "body")
    ordering = ("competition", "position")
    prepopulated_fields = {"slug": ("title",)}


@admin.register(Phase)
class PhaseAdmin(OrganiserAdmin):
    list_display = (
        "name", "ranking", "state", "opens_at", "closes_at", "labels_in_force", "quota", "submission_count",
        "competition",
    )  # fmt: skip
    list_filter = (("competition", ScopedRelatedFilter), "visible_metrics")
    list_select_related = ("competition", "labels")
    search_fields = ("name", "slug", "competition__name")
    form = PhaseForm
    readonly_fields = ("labels_in_force",)
    compressed_fields = False
    actions = ("look_now",)
    actions_detail = ("ranking_of", "build_report", "load_labels")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "competition",
                    ("name", "slug"),
                    "summary",
                    "position",
                    ("opens_at", "closes_at", "grace_minutes"),
                )
            },
        ),
        ("Labels", {"fields": ("labels_in_force", ("labels_public_since", "gallery"), "feedback")}),
        (
            "Quotas",
            {"fields": (("quota_total", "quota_per_day", "quota_on_board"), "allows_withdrawal")},
        ),
        (
            "What is shown, and which submission counts",
            {
                "fields": (
                    ("visible_metrics", "counts", "selected_limit"),
                    ("hidden_until_close", "freezes_at"),
                    ("ladder_step", "ladder_start"),
                )
            },
        ),
        ("Why", {"fields": ("reason", "withhold", "confirmed")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = without_masks(super().get_queryset(request).select_related("labels"), "labels__")
        return rows.annotate(submission_count=number_of(Submission.objects.all(), "phase"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "competition") if obj else self.readonly_fields

    def get_custom_urls(self) -> Any:
        return (
            ("rankings/", "leaderboard_phase_rankings", rankings),
            ("<int:pk>/rankings/", "leaderboard_phase_ranking", rankings),
        )

    def save_model(self, request: HttpRequest, obj: Phase, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "slug" in form.changed_data:
            phase_changes.keep_former_slugs(obj.competition, obj, form.initial["slug"])
        board_updates.phase_changed(obj, form.changed_data)

    def entry_of(self, form: Any, change: bool) -> dict[str, Any]:
        """A change of the rules is public, with its reason, unless there is a reason to withhold it."""
        if not (change and form.touches_rules):
            return {}
        return judging.public_entry(form.cleaned_data["reason"], form.cleaned_data["withhold"])

    @display(description="state", label=STATES)
    def state(self, phase: Phase) -> str:
        now = timezone.now()
        if phase.is_open(now):
            return "open"
        return "ended" if phase.has_closed(now) else "not open yet"

    @display(description="labels in force", empty_value="none yet")
    def labels_in_force(self, phase: Phase) -> str | None:
        labels = phase.labels
        return f"v{labels.version}, {labels.patches} patches, {labels.sha256[:12]}…" if labels else None

    @display(description="quota of a team", empty_value="none")
    def quota(self, phase: Phase) -> str | None:
        limits = (
            (phase.quota_total, "in all"),
            (phase.quota_per_day, "a day"),
            (phase.quota_on_board, "on the board"),
        )
        return ", ".join(f"{limit} {where}" for limit, where in limits if limit is not None) or None

    @display(description="submissions", ordering="submission_count")
    def submission_count(self, phase: Any) -> int:
        return phase.submission_count

    @display(description="ranking")
    def ranking(self, phase: Phase) -> str:
        address = reverse("admin:leaderboard_phase_ranking", args=[phase.pk])
        return format_html('<a class="underline" href="{}">Ranking</a>', address)

    @action(description="Have the detectors look now")
    def look_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        reviews.look_now(request.user, queryset)
        messages.success(request, "The detectors look as soon as a worker is free; see “To review”.")

    @action(description="Ranking", icon="leaderboard")
    def ranking_of(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:leaderboard_phase_ranking", args=[object_id]))

    @action(description="Build the report", icon="analytics")
    def build_report(self, request: HttpRequest, object_id: int) -> HttpResponse:
        address = reverse("admin:leaderboard_phasereport_add")
        return HttpResponseRedirect(f"{address}?phase={object_id}")

    @action(description="Load labels", icon="upload")
    def load_labels(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that takes a ZIP of masks as the phase's next label set."""
        phase = get_object_or_404(self.get_queryset(request), pk=object_id)
        form = LabelsForm(request.POST or None, request.FILES or None)
        if form.is_valid():
            try:
                label_set = judging.load_labels(
                    request.user,
                    phase,
                    form.cleaned_data["masks"],
                    form.spec,
                    form.cleaned_data["note"],
                    sites=form.cleaned_data["sites"],
                )
            except Refusal as refusal:
                form.refuse(refusal)
            else:
                what = f"{label_set.patches} patches, {label_set.positive_pixels:,} positive pixels"
                if Phase.objects.filter(labels=label_set).exists():
                    messages.success(request, f"Version {label_set.version} is in force: {what}.")
                    return HttpResponseRedirect(reverse("admin:leaderboard_phase_change", args=[phase.pk]))
                messages.success(
                    request,
                    f"Version {label_set.version} is loaded and waits: {what}. All submissions are being scored on "
                    "it. Look at its dry run, then put it in force or leave it; nothing has changed for the teams.",
                )
                return HttpResponseRedirect(reverse("admin:leaderboard_labelset_change", args=[label_set.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Load labels: {phase}",
            "phase": phase,
            "form": form,
        }
        return TemplateResponse(request, "admin/leaderboard/load_labels.html", context)


class LabelsForm(RefusedForm, forms.Form):
    """A ZIP of masks, checked as any submission is; ``cleaned_data["masks"]`` are packed, ``spec`` says what they are."""

    masks = forms.FileField(
        label="ZIP archive of masks",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"{TASK.mask_name(1)} … {TASK.mask_name('N')} in the format of a submission. Number and size are taken from the files.",
    )
    sites = forms.FileField(
        label="CSV of sites",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="Columns patch and site; hidden like the labels. Without a file, the previous version's sites are kept.",
    )
    note = forms.CharField(
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="What changed, for the other organisers.",
    )

    def clean_masks(self) -> Any:
        try:
            masks, self.spec = label_files.load(self.cleaned_data["masks"].read())
        except InvalidArchive as refusal:
            raise forms.ValidationError([str(problem) for problem in refusal.problems]) from refusal
        return masks

    def clean_sites(self) -> Any:
        file = self.cleaned_data["sites"]
        if not file or "masks" not in self.cleaned_data:
            return None
        return sites_of(file, self.spec.patches)


class SitesForm(RefusedForm, forms.Form):
    """A CSV file of sites for a label set that is there already."""

    def __init__(self, patches: int, *args: Any) -> None:
        super().__init__(*args)
        self.patches = patches

    sites = forms.FileField(
        label="CSV of sites",
        widget=UnfoldAdminFileFieldWidget,
        help_text="Columns patch and site: a line for each patch.",
    )
    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit log."
    )

    def clean_sites(self) -> Any:
        return sites_of(self.cleaned_data["sites"], self.patches)


def sites_of(file: Any, patches: int) -> tuple[str, ...]:
    """The sites in an uploaded file, or a form's error with every problem."""
    if file.size > MOST_BYTES_OF_SITES:
        raise forms.ValidationError(f"The file has {file.size:,} bytes; {MOST_BYTES_OF_SITES:,} are taken.")
    try:
        return read_sites(file.read().decode("utf-8-sig"), patches)
    except SiteFileError as error:
        raise forms.ValidationError(error.problems[:20]) from error
    except UnicodeDecodeError as error:
        raise forms.ValidationError("The file is not UTF-8 text.") from error


@admin.register(LabelSet)
class LabelSetAdmin(OrganiserAdmin):
    """Versions of hidden labels: what they are, never the masks."""

    adds = changes = deletes = Who.NOBODY
    fields = (
        "phase", "version", "is_in_force", "patches", "height", "width", "positive_pixels", "sha256", "site_count",
        "note", "created_at",
    )  # fmt: skip
    readonly_fields = fields
    list_display = (
        "__str__",
        "is_in_force",
        "patches",
        "size",
        "positive_pixels",
        "sha256",
        "note",
        "created_at",
    )
    list_filter = (("phase", ScopedRelatedFilter),)
    list_select_related = ("phase__competition",)
    search_fields = ("sha256", "note", "phase__name")
    actions_detail = ("compare", "put_in_force", "name_sites", "reveal")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return without_masks(super().get_queryset(request))

    @display(description="in force", boolean=True)
    def is_in_force(self, label_set: LabelSet) -> bool:
        return label_set.phase.labels_id == label_set.pk

    @display(description="pixels of a patch")
    def size(self, label_set: LabelSet) -> str:
        return f"{label_set.height} × {label_set.width}"

    @display(description="sites", empty_value="not named")
    def site_count(self, label_set: LabelSet) -> int | None:
        return len(set(label_set.sites)) or None

    @action(description="Name sites", icon="location_on")
    def name_sites(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that takes a CSV file with the site of each patch."""
        label_set = get_object_or_404(
            self.get_queryset(request).select_related("phase__competition"), pk=object_id
        )
        form = SitesForm(label_set.patches, request.POST or None, request.FILES or None)
        if form.is_valid():
            try:
                judging.name_sites(
                    request.user, label_set, form.cleaned_data["sites"], form.cleaned_data["reason"]
                )
            except Refusal as refusal:
                form.refuse(refusal)
            else:
                messages.success(request, f"{label_set}: {len(set(label_set.sites))} sites.")
                return HttpResponseRedirect(reverse("admin:leaderboard_labelset_change", args=[label_set.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Name sites: {label_set}",
            "label_set": label_set,
            "form": form,
        }
        return TemplateResponse(request, "admin/leaderboard/name_sites.html", context)

    @action(description="Dry run", icon="compare_arrows")
    def compare(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """What putting this version in force would change."""
        label_set = get_object_or_404(
            self.get_queryset(request).select_related("phase__competition"), pk=object_id
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Dry run: {label_set} in force",
            "label_set": label_set,
            "run": corrections.dry_run(request.user, label_set),
        }
        return TemplateResponse(request, "admin/leaderboard/dry_run.html", context)

    @action(description="Put in force", icon="swap_horiz")
    def put_in_force(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Make an earlier version the phase's labels again, with a reason."""
        label_set = get_object_or_404(
            self.get_queryset(request).select_related("phase__competition"), pk=object_id
        )
        return ask_for_reason(
            self,
            request,
            title=f"Put {label_set} in force",
            explanation="What was scored on these labels counts at once; every other submission that still stands is "
            "evaluated on them, behind all fresh ones. The owners of all teams are notified by mail, with your reason. "
            "The earlier board remains readable.",
            button="Put in force",
            rows=[label_set],
            act=lambda reason: corrections.apply_correction(request.user, label_set, reason),
            done=lambda _: f"{label_set} is in force.",
            back=reverse("admin:leaderboard_labelset_change", args=[label_set.pk]),
        )

    @action(description="Reveal the salt", icon="visibility")
    def reveal(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Let everyone check the commitment, once the phase has ended."""
        label_set = get_object_or_404(
            self.get_queryset(request).select_related("phase__competition"), pk=object_id
        )
        return ask_for_reason(
            self,
            request,
            title=f"Reveal the salt of {label_set}",
            explanation="Everyone can read the salt then. Who has the labels can check that they are those committed "
            "to before the phase; the labels themselves are not shown.",
            button="Reveal",
            rows=[label_set],
            act=lambda reason: judging.reveal_labels(request.user, label_set, reason),
            done=lambda _: f"The salt of {label_set} is public.",
            back=reverse("admin:leaderboard_labelset_change", args=[label_set.pk]),
        )


@admin.register(PublishedEntry)
class PublishedEntryAdmin(Exported, OrganiserAdmin):
    deletes = Who.ORGANISERS
    resource_classes = [resource(PublishedEntry)]
    list_display = ("name", "phase", "award", "f1", "precision", "recall", "method", "source")
    list_filter = (("phase", ScopedRelatedFilter),)
    list_select_related = ("phase__competition",)
    search_fields = ("name", "method", "source")

    def save_model(self, request: HttpRequest, obj: PublishedEntry, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        board_updates.phase_changed(obj.phase, ())

    def delete_model(self, request: HttpRequest, obj: PublishedEntry) -> None:
        super().delete_model(request, obj)
        board_updates.phase_changed(obj.phase, ())

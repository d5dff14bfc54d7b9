"""Hidden labels: load a ZIP of masks, name sites, compare versions, put one in force."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from evaluation.task import TASK, MaskSpec
from evaluation.trust.site_files import MOST_BYTES, SiteFileError, read_site_file
from leaderboard.actions import corrections, judging
from leaderboard.actions.organiser_files import FileInvalid, images_in, labels_of
from leaderboard.actions.refusals import Refusal
from leaderboard.models import LabelSet, Phase
from leaderboard.pages.forms import RefusedForm

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import ask_for_reason
from .scope import without_masks
from .waiting import WaitingFilter

MOST_BYTES_OF_LABELS = 2 * settings.MAX_UPLOAD_BYTES  # the largest body that the server takes


def in_mebibytes(size: int) -> str:
    """A size as people read it: 128 MiB, 1.5 MiB."""
    return f"{size / 2**20:.1f}".removesuffix(".0") + " MiB"


class LabelsForm(RefusedForm, forms.Form):
    """A ZIP of masks, checked as any submission is; ``cleaned_data["masks"]`` are packed, ``spec`` says what they are."""

    masks = forms.FileField(
        label="ZIP archive of masks",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"{TASK.mask_name(1)} … {TASK.mask_name('N')} in the format of a submission. Number and size are taken "
        f"from the files. At most {in_mebibytes(MOST_BYTES_OF_LABELS)}.",
    )
    sites = forms.FileField(
        label="CSV of sites",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="Columns patch and site; hidden like the labels. Without a file, the previous version's sites are kept. "
        f"At most {in_mebibytes(MOST_BYTES)}.",
    )
    note = forms.CharField(
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="What changed, for the other organisers.",
    )

    def clean_masks(self) -> Any:
        file = self.cleaned_data["masks"]
        if file.size > MOST_BYTES_OF_LABELS:
            raise forms.ValidationError(
                f"The file has {in_mebibytes(file.size)}; at most {in_mebibytes(MOST_BYTES_OF_LABELS)} are accepted. Compress "
                "the ZIP: 800 masks of 128 × 128 pixels need less than 1 MiB."
            )
        try:
            masks, self.spec = labels_of(file)
        except FileInvalid as refusal:
            raise forms.ValidationError(refusal.problems) from refusal
        return masks

    def clean_sites(self) -> Any:
        file = self.cleaned_data["sites"]
        if not file or "masks" not in self.cleaned_data:
            return None
        return sites_of(file, self.spec.patches)


class ImagesForm(RefusedForm, forms.Form):
    """A ZIP of the images of a phase that has labels."""

    def __init__(self, spec: MaskSpec, *args: Any) -> None:
        super().__init__(*args)
        self.spec = spec

    images = forms.FileField(
        label="ZIP archive of images",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"{TASK.image_name(1)} … {TASK.image_name('N')} ({TASK.image_dataset}, {len(TASK.bands)} bands), one for each "
        f"patch. At most {in_mebibytes(MOST_BYTES_OF_LABELS)}.",
    )

    def clean_images(self) -> Any:
        try:
            return images_in(self.cleaned_data["images"], self.spec)
        except FileInvalid as refusal:
            raise forms.ValidationError(refusal.problems) from refusal


class SitesForm(RefusedForm, forms.Form):
    """A CSV file of sites for a label set that is there already."""

    def __init__(self, patches: int, *args: Any) -> None:
        super().__init__(*args)
        self.patches = patches

    sites = forms.FileField(
        label="CSV of sites",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"Columns patch and site: a line for each patch. At most {in_mebibytes(MOST_BYTES)}.",
    )
    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit log."
    )

    def clean_sites(self) -> Any:
        return sites_of(self.cleaned_data["sites"], self.patches)


def sites_of(file: Any, patches: int) -> tuple[str, ...]:
    """The sites in an uploaded file, or a form's error with the problems."""
    try:
        return read_site_file(file, patches)
    except SiteFileError as error:
        raise forms.ValidationError(error.problems[:20]) from error


def load(model_admin: Any, request: HttpRequest, phase: Phase) -> HttpResponse:
    """The page that takes a ZIP of masks as the phase's next label set."""
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
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Load labels: {phase}",
        "phase": phase,
        "submissions": model_admin.submission_count(phase) or phase.submissions.count(),
        "form": form,
    }
    return TemplateResponse(request, "admin/leaderboard/load_labels.html", context)


def load_images(model_admin: Any, request: HttpRequest, phase: Phase) -> HttpResponse:
    """The page that takes a ZIP of the phase's images."""
    back = reverse("admin:leaderboard_phase_change", args=[phase.pk])
    if phase.labels is None:
        messages.error(
            request, f"{phase} has no labels yet. Load them first: they say how many images there are."
        )
        return HttpResponseRedirect(back)
    spec = MaskSpec(phase.labels.patches, phase.labels.height, phase.labels.width)
    form = ImagesForm(spec, request.POST or None, request.FILES or None)
    if form.is_valid():
        try:
            judging.keep_images(request.user, phase, form.cleaned_data["images"])
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            messages.success(request, f"{phase}: {spec.patches} images are kept.")
            return HttpResponseRedirect(back)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Load images: {phase}",
        "phase": phase,
        "form": form,
        "back": back,
    }
    return TemplateResponse(request, "admin/leaderboard/load_images.html", context)


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
    list_filter = (
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
        WaitingFilter,
    )
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
            f"The earlier board remains readable. {corrections.dry_run(request.user, label_set).in_words}".strip(),
            undo="Undo it with “Put in force” on the page of the version that is in force now.",
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
            undo="This cannot be undone.",
            button="Reveal",
            rows=[label_set],
            act=lambda reason: judging.reveal_labels(request.user, label_set, reason),
            done=lambda _: f"The salt of {label_set} is public.",
            back=reverse("admin:leaderboard_labelset_change", args=[label_set.pk]),
        )

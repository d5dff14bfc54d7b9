"""Set up a competition in the browser: make a draft, see what is missing, publish; take the file away and apply one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.validators import validate_slug
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from evaluation.sandbox import bounds
from leaderboard.actions import competition_bundles, competition_files, publishing, rehearsals
from leaderboard.actions.competition_checks import CompetitionFileInvalid
from leaderboard.actions.competition_download import toml_of
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition
from leaderboard.pages.forms import RefusedForm

from .organisers import NamesOrganisers
from .reasons import PublicReasonForm, ask_for_reason


class NewForm(RefusedForm, forms.Form):
    """What every way to a new competition asks: its address and its name."""

    slug = forms.CharField(
        max_length=50,
        validators=[validate_slug],
        widget=UnfoldAdminTextInputWidget,
        help_text="The word in its address, /c/WORD/, such as spring-2027.",
    )
    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Competition.objects.filter(slug=slug).exists():
            raise forms.ValidationError(f"There is a competition at /c/{slug}/ already. Choose another word.")
        return slug


class PresetForm(NewForm):
    title, button = "From a preset", "Make a draft of the preset"
    preset = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    starts = forms.SplitDateTimeField(
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="UTC. The whole calendar moves so that it begins then. Empty: as in the preset.",
    )
    field_order = ("preset", "slug", "name", "starts")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = competition_files.presets()
        self.fields["preset"].choices = list(zip(names, names, strict=True))  # type: ignore[attr-defined]

    def make(self, user: Any) -> Competition:
        asked = self.cleaned_data
        document = competition_bundles.preset(asked["preset"], asked["slug"], asked["name"], asked["starts"])
        return competition_files.apply(competition_files.plan(document), user)


class SimpleForm(NewForm):
    title, button = "With a few fields", "Make a draft"
    summary = forms.CharField(max_length=300, required=False, widget=UnfoldAdminTextInputWidget)
    phase = forms.CharField(
        max_length=80, initial="Test", label="Name of the phase", widget=UnfoldAdminTextInputWidget
    )
    opens_at = forms.SplitDateTimeField(widget=UnfoldAdminSplitDateTimeWidget, help_text="UTC.")
    closes_at = forms.SplitDateTimeField(
        required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="UTC. Empty: no end."
    )
    per_day = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        label="Submissions per team and day",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: no limit. All other rules are on the phase's page afterwards.",
    )

    def make(self, user: Any) -> Competition:
        asked = self.cleaned_data
        document = competition_bundles.simple(
            asked["slug"], asked["name"], asked["summary"], asked["phase"], asked["opens_at"], asked["closes_at"],
            asked["per_day"],
        )  # fmt: skip
        return competition_files.apply(competition_files.plan(document), user)


class FileForm(RefusedForm, forms.Form):
    title, button = "From a file", "Make a draft of the file"
    file = forms.FileField(
        label="TOML file, or ZIP",
        widget=UnfoldAdminFileFieldWidget,
        help_text="A TOML file, or a ZIP with one TOML file at its top beside the labels, images and data that it names. "
        "The server takes uploads up to its limit (128 MiB in the one-command run).",
    )

    def make(self, user: Any) -> Competition:
        file = self.cleaned_data["file"]
        if is_zip(file):
            with competition_bundles.read_bundle(file) as document:
                return self._applied(document, user)
        return self._applied(competition_bundles.read_text(text_of(file)), user)

    def _applied(self, document: dict[str, Any], user: Any) -> Competition:
        slug = document.get("competition", {}).get("slug")
        if Competition.objects.filter(slug=slug).exists():
            raise CompetitionFileInvalid(
                [
                    f"There is a competition at /c/{slug}/ already. Apply the file on its own page, or change its slug."
                ]
            )
        return competition_files.apply(competition_files.plan(document), user)


def is_zip(file: Any) -> bool:
    beginning = file.read(4)
    file.seek(0)
    return bool(beginning == b"PK\x03\x04")


def text_of(file: Any) -> str:
    """An uploaded TOML file as text. Raises CompetitionFileInvalid."""
    if file.size > bounds.TEXT_BYTES:
        raise CompetitionFileInvalid([f"The file has {file.size:,} bytes; {bounds.TEXT_BYTES:,} are taken."])
    try:
        return str(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CompetitionFileInvalid(["The file is neither a ZIP nor UTF-8 text."]) from error


WAYS = {"preset": PresetForm, "file": FileForm, "simple": SimpleForm}


def new_competition(request: HttpRequest, model_admin: Any) -> HttpResponse:
    """Three ways to a draft. All problems of a file are shown at once, and nothing is made then."""
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    chosen = request.POST.get("way", "")
    forms_ = {
        way: form(request.POST, request.FILES) if way == chosen else form(auto_id=f"{way}_%s")
        for way, form in WAYS.items()
    }
    form = forms_.get(chosen)
    if form is not None and form.is_valid():
        try:
            made = form.make(request.user)
        except CompetitionFileInvalid as invalid:
            for problem in invalid.problems[:50]:
                form.add_error(None, problem)
        except Refusal as refusal:
            form.refuse(refusal)
        else:
            messages.success(
                request, f"{made} is a draft: only its organisers see it. Next: what is missing."
            )
            return HttpResponseRedirect(reverse("admin:leaderboard_competition_publish", args=[made.pk]))
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": "New competition",
        "ways": forms_.items(),
        "back": reverse("admin:leaderboard_competition_changelist"),
    }
    return TemplateResponse(request, "admin/leaderboard/new_competition.html", context)


class ApplyForm(RefusedForm, forms.Form):
    """A file for a competition that is there: shown as changes first, applied once that is confirmed."""

    text = forms.CharField(
        label="Competition file",
        max_length=bounds.TEXT_BYTES,
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 24, "spellcheck": "false"}),
        help_text="The file as it is now; change it, or replace it by another one below.",
    )
    file = forms.FileField(
        label="Or a TOML file, or ZIP",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="It replaces the text above. A ZIP has one TOML file at its top beside the labels, images and data that it "
        "names; choose it again to confirm its changes.",
    )
    reason = forms.CharField(
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Everyone can read it on the page Trust, with the changes.",
    )

    @contextmanager
    def planned(self, competition: Competition) -> Iterator[competition_files.Plan]:
        """What the file would change; a ZIP is unpacked until the block ends. Raises CompetitionFileInvalid."""
        file = self.cleaned_data["file"]
        self.is_zip = bool(file) and is_zip(file)
        with ExitStack() as stack:
            if self.is_zip:
                document = stack.enter_context(competition_bundles.read_bundle(file))
            else:
                text = text_of(file) if file else self.cleaned_data["text"]
                self.data = {**dict(self.data.items()), "text": text}
                document = competition_bundles.read_text(text)
            slug = document.get("competition", {}).get("slug")
            if slug != competition.slug:
                raise CompetitionFileInvalid(
                    [f"competition: slug: {slug!r} is another competition; this one is {competition.slug!r}."]
                )
            yield competition_files.plan(document)


class NothingToAsk(RefusedForm, forms.Form):
    """A confirmation alone."""


class SetsUp(NamesOrganisers):
    """The buttons of a competition's page for its draft and its file."""

    def get_custom_urls(self) -> Any:
        return (("new/", "leaderboard_competition_new", new_competition),)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(reverse("admin:leaderboard_competition_new"))

    @action(description="Publish", icon="rocket_launch")
    def publish(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        refusal = ""
        if request.method == "POST" and "confirmed" in request.POST:
            try:
                publishing.publish(request.user, competition)
            except Refusal as refused:
                refused.count()
                refusal = refused.message
            else:
                messages.success(request, f"{competition} is published: everyone can see it.")
                return HttpResponseRedirect(reverse("pages:competition", args=[competition.slug]))
        checks = [(check, self._page_of(check)) for check in publishing.checklist(competition)]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Publish {competition}",
            "competition": competition,
            "checks": checks,
            "refusal": refusal,
            "may_publish": all(check.is_done for check, _ in checks if check.needed),
            "back": reverse("admin:leaderboard_competition_change", args=[object_id]),
        }
        return TemplateResponse(request, "admin/leaderboard/publish.html", context)

    def _page_of(self, check: publishing.Check) -> str:
        return reverse(f"admin:leaderboard_{check.page}") if check.page else ""

    @action(description="Make it a draft", icon="visibility_off")
    def make_draft(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Make {competition} a draft",
            explanation="At once only its organisers see it: for everybody else its pages, boards, feeds and its part of "
            "the API do not exist, and no team can submit. Nothing is deleted.",
            undo="Undo it with “Publish”.",
            button="Make it a draft",
            rows=[competition],
            act=lambda **asked: publishing.withdraw(request.user, competition, **asked),
            done=lambda _: f"{competition} is a draft.",
            back=reverse("admin:leaderboard_competition_change", args=[object_id]),
            form_class=PublicReasonForm,
        )

    @action(description="Rehearse", icon="theater_comedy")
    def rehearse(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Rehearse {competition}",
            explanation="A worker plays the whole calendar with made-up teams, labels and a simulated clock, on a scratch "
            "database, and reports broken rules and leaks of hidden numbers. It takes a minute or a few, begins when no "
            "submission waits, and touches nothing of the competition.",
            undo="There is nothing to undo.",
            button="Rehearse",
            rows=[competition],
            act=lambda: rehearsals.request_rehearsal(request.user, competition),
            done=lambda run: f"The {run} is queued. Its page shows the report once it has been played.",
            back=reverse("admin:leaderboard_rehearsal_changelist"),
            form_class=NothingToAsk,
        )

    @action(description="Download as TOML", icon="download")
    def download_file(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        headers = {"Content-Disposition": f'attachment; filename="{competition.slug}.toml"'}
        return HttpResponse(
            toml_of(competition), content_type="application/toml; charset=utf-8", headers=headers
        )

    @action(description="Apply a TOML file", icon="upload_file")
    def apply_file(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """First the changes, field by field; then, confirmed and with a reason, they are made."""
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        form = ApplyForm(request.POST or None, request.FILES or None, initial={"text": toml_of(competition)})
        lines: list[str] | None = None
        if form.is_valid():
            try:
                with form.planned(competition) as planned:
                    lines = planned.lines
                    if lines and self._confirms(request, form, lines):
                        competition_files.apply(planned, request.user, form.cleaned_data["reason"])
                        messages.success(
                            request, f"Applied: {len(lines)} change{'' if len(lines) == 1 else 's'}."
                        )
                        return HttpResponseRedirect(
                            reverse("admin:leaderboard_competition_change", args=[object_id])
                        )
            except CompetitionFileInvalid as invalid:
                for problem in invalid.problems[:50]:
                    form.add_error(None, problem)
            except Refusal as refusal:
                form.refuse(refusal)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Apply a file to {competition}",
            "form": form,
            "lines": lines,
            "shown": "\n".join(lines or ()),
            "is_zip": getattr(form, "is_zip", False),
            "back": reverse("admin:leaderboard_competition_change", args=[object_id]),
        }
        return TemplateResponse(request, "admin/leaderboard/apply_file.html", context)

    def _confirms(self, request: HttpRequest, form: ApplyForm, lines: list[str]) -> bool:
        """Whether this very list was shown before, and a reason is given."""
        shown = request.POST.get("confirmed")
        if shown is not None and not form.cleaned_data["reason"].strip():
            form.add_error("reason", "Please give a reason: the changes are public.")
            return False
        return shown is not None and shown.replace("\r\n", "\n") == "\n".join(lines)

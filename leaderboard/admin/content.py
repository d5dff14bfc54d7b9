"""What a competition shows: its pages, with a preview, their pictures, and the public data."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminURLInputWidget

from leaderboard.actions import data_files, pictures
from leaderboard.actions.refusals import Refusal
from leaderboard.models import DataFile, Page, Picture
from leaderboard.pages.forms import RefusedForm
from leaderboard.platform.markdown import render

from .base import Helpers, OrganiserAdmin, ScopedRelatedFilter, Who


class PageForm(forms.ModelForm):
    """A page. “Preview” shows it as it will look and saves nothing."""

    class Meta:
        model = Page
        fields = ("competition", "title", "slug", "position", "body")
        help_texts = {
            "body": "Markdown. Formulae between dollar signs: $F_1 = \\frac{2PR}{P+R}$, or $$…$$ on a line of its own. "
            "Pictures: upload them under “Pictures” and paste the line shown there."
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "_preview" in self.data:
            self.add_error(None, "This is a preview: nothing is saved yet.")
        return cleaned

    @property
    def preview(self) -> SafeString | str:
        """The text as it will look, once “Preview” was pressed."""
        asked = self.is_bound and "_preview" in self.data
        return render(self.data.get("body", "")) if asked else ""


@admin.register(Page)
class PageAdmin(OrganiserAdmin):
    helpers = Helpers.CHANGE
    form = PageForm
    deletes = Who.ORGANISERS
    change_form_template = "admin/leaderboard/page_form.html"
    list_display = ("title", "competition", "slug", "position")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition",)
    search_fields = ("title", "slug", "body")
    ordering = ("competition", "position")
    prepopulated_fields = {"slug": ("title",)}


class PictureForm(RefusedForm, forms.ModelForm):
    upload = forms.FileField(
        label="Picture",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="PNG, JPEG, WebP or GIF of at most 2 MiB. Leave it empty to keep the one that is there.",
    )

    class Meta:
        model = Picture
        fields = ("competition", "name")

    def clean_upload(self) -> bytes | None:
        file = self.cleaned_data["upload"]
        if not file:
            if self.instance.pk is None:
                raise forms.ValidationError("Choose a picture.")
            return None
        content: bytes = file.read(pictures.MOST_BYTES + 1)
        try:
            pictures.check_content(content)
        except Refusal as refusal:
            raise forms.ValidationError(refusal.message) from refusal
        return content

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        data_files.file_name(name)
        return name


@admin.register(Picture)
class PictureAdmin(OrganiserAdmin):
    helpers = Helpers.CHANGE
    form = PictureForm
    deletes = Who.ORGANISERS
    list_display = ("name", "competition", "markdown_line", "uploaded_at")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition",)
    search_fields = ("name",)
    ordering = ("competition", "name")
    fields = ("competition", "name", "upload", "markdown_line", "look")
    readonly_fields = ("markdown_line", "look")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("content")

    def save_model(self, request: HttpRequest, obj: Picture, form: Any, change: bool) -> None:
        pictures.keep_picture(request.user, obj, form.cleaned_data["upload"])

    def delete_model(self, request: HttpRequest, obj: Picture) -> None:
        pictures.delete_picture(request.user, obj)

    @display(description="line for a page")
    def markdown_line(self, picture: Picture) -> str:
        return f"![What it shows]({address_of(picture)})" if picture.pk else "shown once it is saved"

    @display(description="picture")
    def look(self, picture: Picture) -> str:
        return format_html('<img src="{}" alt="" width="320">', address_of(picture)) if picture.pk else ""


def address_of(picture: Picture) -> str:
    return reverse("pages:picture", args=[picture.competition.slug, picture.name])


class DataFileForm(RefusedForm, forms.ModelForm):
    upload = forms.FileField(
        label="File",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="It replaces the one that is stored. Larger than the server takes in one request? Name a link instead.",
    )

    url = forms.URLField(
        required=False,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Where it lies, if not here.",
    )

    class Meta:
        model = DataFile
        fields = ("competition", "phase", "name", "note", "url", "position")
        help_texts = {"phase": "It comes out when this phase opens; empty: at once."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].required = False
        self.fields["name"].help_text = "Empty: the name of the uploaded file."

    def _post_clean(self) -> None:
        """The action says what is wrong; the rules of the row alone would not know of the upload."""
        self.instance = forms.models.construct_instance(self, self.instance, self._meta.fields, ())
        upload = self.cleaned_data.get("upload")
        if upload and not self.instance.name:
            self.instance.name = upload.name
        if bool(self.instance.url) == bool(upload or self.instance.file):
            self.add_error(None, "Upload a file or name a link: one of them.")
        try:
            data_files.file_name(self.instance.name)
        except forms.ValidationError as error:
            self.add_error("name", error)
        others = DataFile.objects.filter(competition=self.instance.competition_id, name=self.instance.name)
        if others.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "There is a file of this name already.")
        phase = self.instance.phase
        if phase is not None and phase.competition_id != self.instance.competition_id:
            self.add_error("phase", "This phase is in another competition.")


@admin.register(DataFile)
class DataFileAdmin(OrganiserAdmin):
    """Training data and images for the page “data”: uploaded here, or links."""

    form = DataFileForm
    deletes = Who.ORGANISERS
    list_display = ("name", "competition", "phase", "size", "url", "sha256")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition", "phase__competition")
    search_fields = ("name", "note")
    ordering = ("competition", "position", "id")
    fields = ("competition", "name", "upload", "url", "note", "phase", "position", "size", "sha256")
    readonly_fields = ("size", "sha256")

    def save_model(self, request: HttpRequest, obj: DataFile, form: Any, change: bool) -> None:
        data_files.keep_data_file(request.user, obj, form.cleaned_data["upload"] or None)

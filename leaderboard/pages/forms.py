"""What a person types. Fields and their words only: rules are the actions', and come back as refusals."""

from typing import Any

from django import forms

from leaderboard.actions.refusals import Refusal
from leaderboard.models import LabelReport, Submission, Team, User


class RefusedForm:
    """Mixed into a form: shows a refusal of an action beside the field that it is about."""

    FIELDS: dict[str, str] = {}

    def refuse(self: Any, refusal: Refusal) -> None:
        by_field = refusal.facts.get("fields")
        if by_field:
            for field, sentences in by_field.items():
                self.add_error(field if field in self.fields else None, sentences)
            return
        self.add_error(self.FIELDS.get(refusal.code), refusal.message)


class SubmitForm(RefusedForm, forms.Form):
    """An archive and what it was made with."""

    FIELDS = {
        "phase_not_open": "phase",
        "quota_used_up": "phase",
        "empty_file": "archive",
        "too_large": "archive",
    }

    phase = forms.ChoiceField(widget=forms.RadioSelect)
    archive = forms.FileField(
        label="Archive",
        allow_empty_file=True,  # the action says what is wrong with it, in the same words as the API
        max_length=1000,
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        error_messages={"required": "Please choose the ZIP archive of your masks."},
    )
    method = forms.CharField(
        label="Method",
        max_length=Submission._meta.get_field("method").max_length,
        help_text="A short name, shown on the board: U-Net, SegFormer ensemble.",
        error_messages={"required": "Please name your method; the board shows it beside your score."},
    )
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=Submission._meta.get_field("description").max_length,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What you did, for your team and the organisers. Not shown to others.",
    )
    link = forms.URLField(
        label="Link",
        required=False,
        assume_scheme="https",
        help_text="To a paper or to code, if there is one.",
    )
    form_key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, phases: list[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phases = {str(phase.pk): phase for phase in phases}
        self.fields["phase"].choices = [(key, phase.name) for key, phase in self.phases.items()]  # type: ignore[attr-defined]
        self.fields["phase"].error_messages["invalid_choice"] = "Please choose one of the phases below."
        self.fields["phase"].error_messages["required"] = "Please choose a phase."


class LabelReportForm(RefusedForm, forms.Form):
    """A wrong label: which patch, and why."""

    patch = forms.IntegerField(
        label="Patch", min_value=1, help_text="Its number, as in mask_17.h5.", max_value=2**31 - 1
    )
    text = forms.CharField(
        label="What is wrong",
        max_length=LabelReport._meta.get_field("text").max_length,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class TeamForm(RefusedForm, forms.Form):
    FIELDS = {"name_taken": "name"}

    name = forms.CharField(
        label="Team name",
        max_length=Team._meta.get_field("name").max_length,
        help_text="Shown on the board.",
        error_messages={"required": "Please name your team."},
    )
    affiliation = forms.CharField(
        label="Affiliation",
        required=False,
        max_length=Team._meta.get_field("affiliation").max_length,
        help_text="University, institute or company, if you like.",
    )


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label="For whom (e-mail address)",
        required=False,
        help_text="Named, the link is sent there too. Empty: you pass it on yourself.",
    )


class CountryField(forms.CharField):
    def to_python(self, value: Any) -> Any:
        return (super().to_python(value) or "").upper()


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ["affiliation", "country"]
        field_classes = {"country": CountryField}


class TokenForm(RefusedForm, forms.Form):
    name = forms.CharField(
        label="Name of the token",
        max_length=60,
        help_text="Where you will use it: laptop, cluster, CI.",
        error_messages={"required": "Please name the token, so that you know later which one to revoke."},
    )


class PasswordForm(RefusedForm, forms.Form):
    password = forms.CharField(
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Please type your password."},
    )

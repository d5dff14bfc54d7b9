"""Form fields and their texts. Rules live in the actions and come back as refusals."""

from typing import Any

from django import forms
from knox.settings import knox_settings

from evaluation.task import TASK
from leaderboard.actions.refusals import Refusal
from leaderboard.models import (
    Competition,
    LabelReport,
    Question,
    Scope,
    Submission,
    Team,
    User,
    Webhook,
    WebhookEvent,
)
from leaderboard.models.countries import NAMES


class RefusedForm:
    """Form mixin: shows an action's refusal next to the field that it concerns."""

    FIELDS: dict[str, str] = {}

    def refuse(self: Any, refusal: Refusal) -> None:
        refusal.count()
        by_field = refusal.facts.get("fields")
        if by_field:
            for field, sentences in by_field.items():
                self.add_error(field if field in self.fields else None, sentences)
            return
        self.add_error(self.FIELDS.get(refusal.code), refusal.message)


class SubmitForm(RefusedForm, forms.Form):
    """An archive and a description of the method."""

    FIELDS = {
        "phase_not_open": "phase",
        "phase_ended": "phase",
        "no_labels": "phase",
        "quota_used_up": "phase",
        "total_used_up": "phase",
        "board_full": "phase",
        "empty_file": "archive",
        "too_large": "archive",
        "same_archive": "allow_duplicate",
    }

    phase = forms.ChoiceField(widget=forms.RadioSelect)
    archive = forms.FileField(
        label="Archive",
        allow_empty_file=True,  # the action reports it, in the same words as in the API
        max_length=1000,
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        error_messages={"required": "Please choose the ZIP archive of your masks."},
    )
    method = forms.CharField(
        label="Method",
        max_length=Submission._meta.get_field("method").max_length,
        help_text="A short name, shown on the board, such as U-Net or SegFormer ensemble.",
        error_messages={"required": "Please name your method; the board shows it next to your score."},
    )
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=Submission._meta.get_field("description").max_length,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What you did. Only your team and the organisers can see it.",
    )
    link = forms.URLField(
        label="Link",
        required=False,
        assume_scheme="https",
        help_text="A link to a paper or code, if available.",
    )
    allow_duplicate = forms.BooleanField(label="Submit the same archive again", required=False)
    form_key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, phases: list[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.phases = {str(phase.pk): phase for phase in phases}
        self.fields["phase"].choices = [(key, phase.name) for key, phase in self.phases.items()]  # type: ignore[attr-defined]
        self.fields["phase"].error_messages["invalid_choice"] = "Please choose one of the phases below."
        self.fields["phase"].error_messages["required"] = "Please choose a phase."


class LabelReportForm(RefusedForm, forms.Form):
    """A report of a wrong label: the patch and the reason."""

    patch = forms.IntegerField(
        label="Patch",
        min_value=1,
        help_text=f"Its number, such as 17 for {TASK.mask_name(17)}.",
        max_value=2**31 - 1,
    )
    text = forms.CharField(
        label="What is wrong",
        max_length=LabelReport._meta.get_field("text").max_length,
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class QuestionForm(RefusedForm, forms.Form):
    """A question to the organisers."""

    title = forms.CharField(
        label="Your question in one line",
        max_length=Question._meta.get_field("title").max_length,
        error_messages={"required": "Please say in one line what you want to know."},
    )
    body = forms.CharField(
        label="Details",
        max_length=Question._meta.get_field("body").max_length,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Plain text; addresses become links.",
        error_messages={"required": "Please describe what you want to know."},
    )
    wants_privacy = forms.BooleanField(
        label="Answer me privately",
        required=False,
        help_text="Otherwise the organisers may publish it with their answer, without your name.",
    )


class AnswerForm(RefusedForm, forms.Form):
    """An organiser's answer; the two buttons say for whom."""

    answer = forms.CharField(
        label="Answer",
        max_length=Question._meta.get_field("answer").max_length,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="Plain text; addresses become links.",
        error_messages={"required": "Please write an answer."},
    )
    public = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, question: Question, data: Any = None) -> None:
        super().__init__(data, initial={"answer": question.answer})


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
        help_text="University, institute or company.",
    )


class WebhookForm(RefusedForm, forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=Webhook._meta.get_field("url").max_length,
        widget=forms.URLInput(attrs={"placeholder": "https://", "autocomplete": "off"}),
        help_text="It begins with https:// and is on the public internet.",
        error_messages={"required": "Please give the address that is to be called."},
    )
    events = forms.MultipleChoiceField(
        label="Call it when",
        choices=WebhookEvent.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event, or remove the webhook."},
    )


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label="Email address",
        required=False,
        help_text="If given, the link is sent there too. Otherwise, send the link yourself.",
    )


class ProfileForm(forms.ModelForm):
    country = forms.ChoiceField(
        label="Country or region",
        required=False,
        choices=[("", "not given"), *sorted(NAMES.items(), key=lambda entry: entry[1])],
        help_text="Used for counts only, never shown next to your name.",
    )

    class Meta:
        model = User
        fields = ["affiliation", "country"]


class TokenForm(RefusedForm, forms.Form):
    name = forms.CharField(
        label="Token name",
        max_length=60,
        help_text="Where you will use it, such as laptop, cluster or CI.",
        error_messages={"required": "Please name the token, so that you can recognise it later."},
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=[(scope.value, scope.label[0].upper() + scope.label[1:]) for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.SUBMIT],
        help_text="Never more than you may do yourself.",
        error_messages={"required": "Please choose what the token may be used for."},
    )
    competition = forms.ModelChoiceField(
        Competition.objects.none(),
        label="Only in",
        required=False,
        to_field_name="slug",
        empty_label="all competitions",
    )
    days = forms.TypedChoiceField(
        label="Expires after", required=False, coerce=int, empty_value=None, choices=()
    )
    note = forms.CharField(label="Note", max_length=200, required=False)

    def __init__(self, user: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = knox_settings.TOKEN_TTL.days
        lengths = [days for days in (7, 30, 90) if days < longest]
        choices: Any = [("", f"{longest} days"), *((days, f"{days} days") for days in lengths)]
        self.fields["days"].choices = choices  # type: ignore[attr-defined]
        self.fields["competition"].queryset = Competition.objects.visible_to(user)  # type: ignore[attr-defined]


class PasswordForm(RefusedForm, forms.Form):
    password = forms.CharField(
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Please enter your password."},
    )

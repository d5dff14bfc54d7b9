"""Saving a form that changes rules for participants: its consequences come first, with a reason, in the public log."""

from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from leaderboard.actions import competition_changes, phase_changes, records
from leaderboard.models import Phase

from .base import OrganiserAdmin


class GuardedForm(forms.ModelForm):
    """Changing rules asks for a reason; a change with consequences is saved when they are confirmed.

    ``changes``: the actions' module that knows both, by ``need_reason_for`` and ``consequences``.
    """

    changes: ClassVar[Any]

    reason = forms.CharField(
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Needed where the change touches the rules: dates, quotas, visibility, team sizes, what counts. Everyone "
        "can read it on the page Trust, with the change.",
    )
    withhold = forms.CharField(
        label="Reason to keep this out of the public log",
        max_length=300,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Usually empty. The page Trust says how many entries are withheld.",
    )
    confirmed = forms.BooleanField(
        label="I have read the consequences",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Save first lists the consequences of the change, if it has any.",
    )

    @property
    def touches_rules(self) -> bool:
        return self.instance.pk is not None and self.changes.need_reason_for(self.changed_data)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.touches_rules and not cleaned.get("reason", "").strip():
            self.add_error("reason", "Please give a reason: this changes the rules for the teams.")
        return cleaned

    def _post_clean(self) -> None:
        """After the instance has its new values: refuse what has consequences that nobody has confirmed."""
        super()._post_clean()  # type: ignore[misc]
        if self.instance.pk is None or self.errors or self.cleaned_data.get("confirmed"):
            return
        before = self.before()
        for sentence in self.changes.consequences(before, self.instance, timezone.now()):
            self.add_error(None, sentence)
        if self.errors:
            self.add_error(
                "confirmed", "Nothing is saved yet. Tick this and save again if that is what you want."
            )

    def before(self) -> Any:
        """The row as it is saved."""
        return type(self.instance)._default_manager.get(pk=self.instance.pk)


class PhaseForm(GuardedForm):
    changes: ClassVar[Any] = phase_changes

    class Meta:
        model = Phase
        fields = ()  # the admin says which

    def before(self) -> Phase:
        return Phase.objects.with_labels().get(pk=self.instance.pk)


class CompetitionForm(GuardedForm):
    """All settings; without a Meta of its own, the admin shows every field of the model."""

    changes: ClassVar[Any] = competition_changes


class GuardedAdmin(OrganiserAdmin):
    """A page whose form is a GuardedForm: a change of the rules is public, with its reason."""

    def entry_of(self, form: Any, change: bool) -> dict[str, Any]:
        if not (change and form.touches_rules):
            return {}
        return records.public_entry(form.cleaned_data["reason"], form.cleaned_data["withhold"])

"""Where allauth asks us: the form of addresses, what else its forms do, and what follows from its signals."""

from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.signals import email_added, user_logged_in
from django import forms
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from leaderboard.actions.accounts import revoke_tokens
from leaderboard.actions.sign_ins import note_sign_in
from leaderboard.models.emails import normal_email
from leaderboard.notifications.accounts import tell
from leaderboard.platform.addresses import client_address


class AccountAdapter(DefaultAccountAdapter):
    def clean_email(self, email: str) -> str:
        """At sign-up, at a change and where a reset is asked for."""
        return normal_email(super().clean_email(email))


class LoginForm(allauth_forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "Username or email"
        del self.fields["login"].widget.attrs["placeholder"]


class RevokingForm:
    """Form mixin: a new password may be the moment to revoke the tokens too."""

    def offer(self: Any, user: Any) -> None:
        number = user.auth_token_set.valid(timezone.now()).count() if user else 0
        if number:
            self.fields["revoke_tokens"] = forms.BooleanField(
                label=f"Also revoke {'my API token' if number == 1 else f'all {number} of my API tokens'}",
                required=False,
                help_text="Do this if somebody else may know the password. Your other sessions end in any case.",
            )

    def revoke_if_asked(self: Any, user: Any) -> None:
        if self.cleaned_data.get("revoke_tokens"):
            revoke_tokens(user)


class ChangePasswordForm(RevokingForm, allauth_forms.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer(self.user)

    def save(self) -> None:
        super().save()
        self.revoke_if_asked(self.user)


class ResetPasswordForm(RevokingForm, allauth_forms.ResetPasswordKeyForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer(self.user)

    def save(self) -> None:
        super().save()
        self.revoke_if_asked(self.user)


@receiver(user_logged_in)
def on_sign_in(request: HttpRequest, user: Any, **_: Any) -> None:
    note_sign_in(user, client_address(request), request.headers.get("User-Agent", ""), timezone.now())


@receiver(email_added)
def on_email_added(user: Any, email_address: Any, **_: Any) -> None:
    tell(
        user,
        "An email address was added to your account",
        f"The email address {email_address.email} was added to your account {user}.",
    )

"""Mails about a person's own account: somebody else may have changed it."""

from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse


def tell(user: Any, subject: str, sentence: str) -> None:
    """Say to the person what happened to their account, and what to do if it was not they. Without an address: nothing."""
    if not user.email:
        return
    text = (
        f"{sentence}\n\n"
        f"If this was you, there is nothing to do. If not, change your password now, and end the sessions and revoke the "
        f"tokens that you do not know: {settings.SITE_URL}{reverse('pages:access')}\n"
    )
    EmailMessage(f"[{settings.SITE_NAME}] {subject}", text, to=[user.email]).send()

"""Who and what can act in the person's name: sessions and API tokens, in one place.

Changes ask for the password (or passkey) again, if that was more than some minutes ago; allauth keeps the form meanwhile.
"""

from allauth.account.decorators import reauthentication_required
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from leaderboard.actions import accounts as actions
from leaderboard.actions import sign_ins
from leaderboard.actions.refusals import Refusal

from .forms import TokenForm
from .page_context import post_only, signed_in


@signed_in
@never_cache
def access(request: HttpRequest) -> HttpResponse:
    return _show(request)


@signed_in
@post_only("pages:access")
@reauthentication_required(app="allauth.account")
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    """Create a token; it is shown in this response only."""
    form = TokenForm(request.user, request.POST)
    if form.is_valid():
        asked = form.cleaned_data
        try:
            _, token = actions.create_token(
                request.user,
                asked["name"],
                asked["scopes"],
                competition=asked["competition"],
                note=asked["note"],
                days=asked["days"],
            )
            return _show(request, token=token)
        except Refusal as refused:
            form.refuse(refused)
            return _show(request, form=form, status=refused.status)
    return _show(request, form=form, status=400)


@signed_in
@post_only("pages:access")
@reauthentication_required(app="allauth.account")
def revoke_token(request: HttpRequest) -> HttpResponse:
    actions.revoke_token(request.user, request.POST.get("digest", ""))
    messages.success(request, "The token has been revoked and no longer works.")
    return redirect("pages:access")


@signed_in
@post_only("pages:access")
@reauthentication_required(app="allauth.account")
def revoke_tokens(request: HttpRequest) -> HttpResponse:
    number = actions.revoke_tokens(request.user)
    messages.success(request, f"{number} token{'' if number == 1 else 's'} revoked.")
    return redirect("pages:access")


@signed_in
@post_only("pages:access")
@reauthentication_required(app="allauth.account")
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End one of the person's other sessions, or all of them."""
    number = request.POST.get("session", "")
    only = int(number) if number.isascii() and number.isdecimal() and len(number) <= 18 else None
    if number and only is None:
        return redirect("pages:access")
    ended = sign_ins.end_sessions(request.user, number=only, keep=request.session.session_key)
    messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended.")
    return redirect("pages:access")


def _show(
    request: HttpRequest, *, form: TokenForm | None = None, token: str = "", status: int = 200
) -> HttpResponse:
    assert request.user.is_authenticated
    context = {
        "token_form": form or TokenForm(request.user),
        "tokens": request.user.auth_token_set.select_related("competition").order_by("-created"),
        "new_token": token,
        "sessions": sessions_of(request),
        "now": timezone.now(),
    }
    return render(request, "account_pages/access.html", context, status=status)


def sessions_of(request: HttpRequest) -> list[tuple[UserSession, str, bool]]:
    """The person's sessions: the row, the device in words, whether it is the one of this request. This one comes first."""
    rows = UserSession.objects.purge_and_list(request.user)
    here = request.session.session_key
    found = [(row, sign_ins.device_of(row.user_agent), row.session_key == here) for row in rows]
    return sorted(found, key=lambda each: (not each[2], -each[0].last_seen_at.timestamp()))

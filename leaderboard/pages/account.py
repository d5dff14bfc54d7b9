"""My account: profile, API tokens, personal data, deletion. allauth serves password, e-mail and two-factor pages."""

from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from leaderboard.actions import accounts as actions
from leaderboard.actions.refusals import Refusal
from leaderboard.export.personal_data import personal_data

from .forms import PasswordForm, ProfileForm, TokenForm
from .page_context import post_only, signed_in


@signed_in
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile has been saved.")
        return redirect("pages:account")
    return _show(request, profile=form, status=400 if form.errors else 200)


@signed_in
@post_only("pages:account")
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    """Create a token; it is shown in this response only."""
    form = TokenForm(request.POST)
    if form.is_valid():
        try:
            _, token = actions.create_token(request.user, form.cleaned_data["name"])
            return _show(request, token=token)
        except Refusal as refused:
            form.refuse(refused)
            return _show(request, tokens=form, status=refused.status)
    return _show(request, tokens=form, status=400)


@signed_in
@post_only("pages:account")
def revoke_token(request: HttpRequest) -> HttpResponse:
    actions.revoke_token(request.user, request.POST.get("digest", ""))
    messages.success(request, "The token has been revoked and no longer works.")
    return redirect("pages:account")


@signed_in
@never_cache
def data(request: HttpRequest) -> JsonResponse:
    """Everything the server stores about the person, as a file."""
    return JsonResponse(
        personal_data(request.user, timezone.now()),
        json_dumps_params={"indent": 2, "ensure_ascii": False},
        headers={"Content-Disposition": 'attachment; filename="personal-data.json"'},
    )


@signed_in
@never_cache
def delete(request: HttpRequest) -> HttpResponse:
    """Ask for the password, then delete the account permanently."""
    form = PasswordForm(request.POST or None)
    status = 400 if request.method == "POST" else 200
    if request.method == "POST":
        refused = ratelimit.consume_or_429(request, action="reauthenticate", user=request.user)
        if refused is not None:
            return refused
    if form.is_valid():
        try:
            actions.delete_account(request.user, form.cleaned_data["password"])
        except Refusal as refusal:
            form.refuse(refusal)
            status = refusal.status
        else:
            logout(request)
            messages.success(request, "Your account has been deleted.")
            return redirect("pages:home")
    return render(request, "account_pages/delete.html", {"form": form}, status=status)


def _show(
    request: HttpRequest,
    *,
    profile: ProfileForm | None = None,
    tokens: TokenForm | None = None,
    token: str = "",
    status: int = 200,
) -> HttpResponse:
    assert request.user.is_authenticated
    context = {
        "profile": profile or ProfileForm(instance=request.user),
        "token_form": tokens or TokenForm(),
        "tokens": request.user.auth_token_set.order_by("-created"),
        "new_token": token,
        "now": timezone.now(),
        "memberships": request.user.memberships.select_related("team__competition"),
    }
    return render(request, "account_pages/account.html", context, status=status)

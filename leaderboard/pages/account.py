"""My account: profile and API tokens. Password, e-mail and two-factor log-in are allauth's pages."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from leaderboard.actions import accounts as actions
from leaderboard.actions.refusals import Refusal

from .forms import ProfileForm, TokenForm


@login_required
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile is saved.")
        return redirect("pages:account")
    return _show(request, profile=form, status=400 if form.errors else 200)


@login_required
@require_POST
@never_cache
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a token; it is shown on this answer and never again."""
    form = TokenForm(request.POST)
    if form.is_valid():
        try:
            _, token = actions.create_token(request.user, form.cleaned_data["name"])
            return _show(request, token=token)
        except Refusal as refused:
            form.refuse(refused)
            return _show(request, tokens=form, status=refused.status)
    return _show(request, tokens=form, status=400)


@login_required
@require_POST
def revoke_token(request: HttpRequest) -> HttpResponse:
    actions.revoke_token(request.user, request.POST.get("digest", ""))
    messages.success(request, "The token is revoked: it opens nothing any more.")
    return redirect("pages:account")


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

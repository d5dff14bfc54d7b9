"""Who and what can act in the person's name: API tokens, in one place."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from leaderboard.actions import accounts as actions
from leaderboard.actions.refusals import Refusal

from .forms import TokenForm
from .page_context import post_only, signed_in


@signed_in
@never_cache
def access(request: HttpRequest) -> HttpResponse:
    return _show(request)


@signed_in
@post_only("pages:access")
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
def revoke_token(request: HttpRequest) -> HttpResponse:
    actions.revoke_token(request.user, request.POST.get("digest", ""))
    messages.success(request, "The token has been revoked and no longer works.")
    return redirect("pages:access")


def _show(
    request: HttpRequest, *, form: TokenForm | None = None, token: str = "", status: int = 200
) -> HttpResponse:
    assert request.user.is_authenticated
    context = {
        "token_form": form or TokenForm(request.user),
        "tokens": request.user.auth_token_set.select_related("competition").order_by("-created"),
        "new_token": token,
        "now": timezone.now(),
    }
    return render(request, "account_pages/access.html", context, status=status)

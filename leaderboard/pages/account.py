"""My account: profile, personal data, deletion. allauth serves password, email and two-factor pages."""

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

from .forms import PasswordForm, ProfileForm
from .page_context import signed_in


@signed_in
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your profile has been saved.")
        return redirect("pages:account")
    assert request.user.is_authenticated
    context = {
        "profile": form,
        "memberships": request.user.memberships.select_related("team__competition"),
    }
    return render(request, "account_pages/account.html", context, status=400 if form.errors else 200)


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

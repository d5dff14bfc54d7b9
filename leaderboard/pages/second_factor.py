"""Staff and organisers need a second factor, where REQUIRE_SECOND_FACTOR says so: until they have one, nothing else opens."""

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from leaderboard.actions.second_factor import SENTENCE, lacks_second_factor, second_factor_since

from .page_context import signed_in

OPEN_APPS = ("account_", "mfa_")
OPEN = {"pages:second-factor", "healthz", "readyz", "metrics"}


class SecondFactorMiddleware:
    """Leads staff without a second factor to the page where they set one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        if name in OPEN or name.startswith(OPEN_APPS) or not lacks_second_factor(request.user):
            return None
        if request.path.startswith("/api/"):
            body = {"type": "about:blank", "title": "Forbidden", "status": 403}
            body |= {"code": "second_factor_required", "detail": SENTENCE}
            return HttpResponse(json.dumps(body), status=403, content_type="application/problem+json")
        address = redirect("pages:second-factor")
        if request.method == "GET":
            address["Location"] += "?" + urlencode({"next": request.get_full_path()})
        return address


@signed_in
@never_cache
def second_factor(request: HttpRequest) -> HttpResponse:
    """Why a second factor is needed, and the ways to have one."""
    needed = lacks_second_factor(request.user)
    context = {"needed": needed, "has_one": second_factor_since(request.user) is not None}
    return render(request, "account_pages/second_factor.html", context)

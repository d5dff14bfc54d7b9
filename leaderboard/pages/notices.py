"""Which mails I get; and the link in each mail, which works signed out."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from leaderboard.actions import notices as actions
from leaderboard.actions.refusals import Refusal
from leaderboard.models import NoticeChoice, NoticeKind
from leaderboard.models.notices import HINTS, OFF_BY_DEFAULT

from .page_context import signed_in

GROUPS = (
    ("Your submissions", (NoticeKind.SCORED, NoticeKind.INVALID, NoticeKind.OVERTAKEN)),
    ("Deadlines", (NoticeKind.DEADLINE_7D, NoticeKind.DEADLINE_24H, NoticeKind.DEADLINE_1H)),
    ("From the organisers", (NoticeKind.ANNOUNCEMENT, NoticeKind.CORRECTION)),
)


@signed_in
@never_cache
def settings_page(request: HttpRequest) -> HttpResponse:
    """A box for each kind of mail."""
    if request.method == "POST":
        actions.choose(request.user, {kind.value: kind.value in request.POST for kind in NoticeKind})
        messages.success(request, "Your choice has been saved.")
        return redirect("pages:notices")
    chosen = NoticeChoice.objects.of(request.user)
    groups = [
        (title, [(kind, HINTS[kind], chosen[kind], kind not in OFF_BY_DEFAULT) for kind in kinds])
        for title, kinds in GROUPS
    ]
    return render(request, "account_pages/notices.html", {"groups": groups})


@csrf_exempt  # mail programs post without cookies (RFC 8058); the token can do nothing else
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """Ask, and after a POST end the mails of the kind that the signed token names. Opening the link changes nothing."""
    token = request.GET.get("token", "")
    try:
        user, kind = actions.find_subscription(token)
        done = request.method == "POST"
        if done:
            actions.unsubscribe(token)
    except Refusal as refused:
        refused.count()
        return render(request, "account_pages/unsubscribe.html", {"refusal": refused}, status=refused.status)
    context = {"kind": kind, "done": done, "is_mine": request.user == user}
    return render(request, "account_pages/unsubscribe.html", context)

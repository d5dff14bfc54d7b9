"""The jury's page: method descriptions, the prizes that it votes on, and the tally."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from leaderboard.actions import roles
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, JuryVote, MethodDescription, Team
from leaderboard.models.roles import is_juror

from .page_context import find_competition, render_in, signed_in
from .rosters import chosen, named_team


def find_for_jury(request: HttpRequest, slug: str) -> Competition:
    """The competition, for its jury and its organisers; for others the page does not exist."""
    competition = find_competition(request, slug)
    if not (is_juror(competition, request.user) or competition.is_organised_by(request.user)):
        raise Http404
    return competition


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def jury(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_for_jury(request, slug)
    refusal = None
    if request.method == "POST":
        try:
            prize = chosen(request, "prize", competition.prizes.filter(rank=None))
            cast = roles.vote(
                request.user, prize, named_team(request, competition), request.POST.get("reason", "")
            )
        except Refusal as refused:
            refusal = refused
        else:
            messages.success(
                request, f"Your vote for {cast.team} is recorded. You can change it until the prize is given."
            )
            return redirect("pages:jury", slug)
    return show(request, competition, refusal)


def show(request: HttpRequest, competition: Competition, refusal: Refusal | None) -> HttpResponse:
    organises = competition.is_organised_by(request.user)
    given = set(competition.awards.values_list("title", flat=True))
    mine = {
        vote.prize_id: vote for vote in JuryVote.objects.filter(juror=request.user.pk).select_related("team")
    }
    prizes = [
        {
            "prize": prize,
            "vote": mine.get(prize.pk),
            "is_given": prize.title in given,
            "tally": roles.tally(prize) if organises or prize.pk in mine else None,
        }
        for prize in competition.prizes.filter(rank=None)
    ]
    descriptions = MethodDescription.objects.filter(team__competition=competition).select_related("team")
    context = {
        "prizes": prizes,
        "votes": is_juror(competition, request.user),
        "organises": organises,
        "typed": request.POST,
        "descriptions": descriptions.defer("pdf").order_by("team__name"),
        "eligible": Team.objects.eligible(competition).named_like(""),
    }
    return render_in(request, competition, "competition/jury.html", context, refusal=refusal)


@signed_in
@require_safe
def method(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A method description, as handed in."""
    competition = find_for_jury(request, slug)
    found = get_object_or_404(MethodDescription, pk=pk, team__competition=competition)
    headers = {"Content-Disposition": f'attachment; filename="method-{competition.slug}-{found.pk}.pdf"'}
    return HttpResponse(bytes(found.pdf), content_type="application/pdf", headers=headers)

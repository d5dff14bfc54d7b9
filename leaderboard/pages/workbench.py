"""My team's submissions."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from leaderboard.models import Attempt, Submission

from .page_context import find_competition, my_team, phases_of, render_in, signed_in
from .results import poll_after, rows_of
from .submissions import no_team

ROWS = 50


@signed_in
@never_cache
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """My team's submissions, newest first; only the fragment when the page polls."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return no_team(request, competition)
    now = timezone.now()
    every = (
        Submission.objects.of_team(team)
        .with_evaluation()
        .select_related("phase__competition", "submitted_by", "attempt")
        .defer("description", "evaluation__patch_counts", "evaluation__problems")
    )
    page = Paginator(every, ROWS).get_page(request.GET.get("page"))
    rows = rows_of(request, list(page), now)
    context = {
        "team": team,
        "page": page,
        "query": f"?page={page.number}" if page.number > 1 else "",
        "rows": rows,
        "poll": min(
            (poll_after(now - row["submission"].received_at) for row in rows if row["unfinished"]),
            default=None,
        ),
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "submissions/rows.html", {"competition": competition, **context})
    phases = phases_of(competition)
    usage = [(phase, Attempt.objects.usage(team, phase, now)) for phase in phases if phase.has_opened(now)]
    return render_in(
        request, competition, "submissions/mine.html", {**context, "phases": phases, "usage": usage}
    )

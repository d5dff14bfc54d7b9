"""Old addresses of competitions and phases redirect to the new ones."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from leaderboard.models import FormerSlug

PHASE_PAGES = {"board", "labels", "report"}


class MovedAddressMiddleware:
    """Looks up former slugs for a page that was not found; costs nothing otherwise."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        may_have_moved = response.status_code == 404 and request.method in ("GET", "HEAD")
        if may_have_moved and (address := new_address(request.path)):
            query = request.META.get("QUERY_STRING", "")
            return HttpResponseRedirect(f"{address}?{query}" if query else address)
        return response


def new_address(path: str) -> str | None:
    """The path with former slugs replaced by present ones; None if it holds none."""
    parts = path.split("/")  # "", "c", competition, page, phase, ...
    if len(parts) < 4 or parts[1] != "c":
        return None
    moved = list(parts)
    former = (
        FormerSlug.objects.filter(slug=parts[2], phase=None, competition__is_published=True)
        .select_related("competition")
        .first()
    )
    if former:
        moved[2] = former.competition.slug
    if len(parts) > 5 and parts[3] in PHASE_PAGES:
        phases = FormerSlug.objects.filter(competition__slug=moved[2], slug=parts[4], phase__isnull=False)
        if renamed := phases.select_related("phase").first():
            assert renamed.phase is not None
            moved[4] = renamed.phase.slug
    return "/".join(moved) if moved != parts else None

"""Public data: the files of the data page, and their checksums."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from leaderboard.export.data_files import file_response
from leaderboard.models import DataFile

from .page_context import find_competition


@require_safe
def file(request: HttpRequest, slug: str, name: str) -> HttpResponseBase:
    """A file, whole or the range that is asked for."""
    found = (
        DataFile.objects.for_viewer(request.user, find_competition(request, slug), timezone.now())
        .filter(name=name)
        .first()
    )
    if found is None:
        raise Http404
    return file_response(request, found)


@require_safe
def checksums(request: HttpRequest, slug: str) -> HttpResponse:
    """The SHA-256 of each file, as `sha256sum --check` reads them."""
    known = DataFile.objects.for_viewer(
        request.user, find_competition(request, slug), timezone.now()
    ).exclude(sha256="")
    lines = "".join(f"{found.sha256}  {found.name}\n" for found in known)
    return HttpResponse(lines, content_type="text/plain; charset=utf-8")

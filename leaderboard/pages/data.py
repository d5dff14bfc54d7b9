"""Public data: the files of the data page, and their checksums."""

from django.core.files.storage import FileSystemStorage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.http import require_safe
from whitenoise.responders import MissingFileError

from leaderboard.models import Competition, DataFile
from leaderboard.models.data import DataFileQuerySet
from leaderboard.platform.downloads import download

from .page_context import find_competition


def files_for(request: HttpRequest, competition: Competition) -> DataFileQuerySet:
    """The competition's files that the viewer may have: released ones, for organisers all."""
    files = DataFile.objects.filter(competition=competition).select_related("phase")
    return files if competition.is_organised_by(request.user) else files.released(timezone.now())


@require_safe
def file(request: HttpRequest, slug: str, name: str) -> HttpResponseBase:
    """A file, whole or the range that is asked for."""
    found = files_for(request, find_competition(request, slug)).filter(name=name).first()
    if found is None:
        raise Http404
    if found.url:
        return HttpResponseRedirect(found.url)
    if not isinstance(found.file.storage, FileSystemStorage):
        return HttpResponseRedirect(found.file.storage.url(found.file.name))
    try:
        return download(request, found.file.path, found.name, found.sha256)
    except MissingFileError as missing:
        raise Http404 from missing


@require_safe
def checksums(request: HttpRequest, slug: str) -> HttpResponse:
    """The SHA-256 of each file, as `sha256sum --check` reads them."""
    known = files_for(request, find_competition(request, slug)).exclude(sha256="")
    lines = "".join(f"{found.sha256}  {found.name}\n" for found in known)
    return HttpResponse(lines, content_type="text/plain; charset=utf-8")

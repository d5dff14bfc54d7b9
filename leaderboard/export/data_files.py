"""A file of the data page as a download."""

from django.core.files.storage import FileSystemStorage
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from whitenoise.responders import MissingFileError

from leaderboard.models import DataFile
from leaderboard.platform.downloads import download


def file_response(request: HttpRequest, found: DataFile) -> HttpResponseBase:
    """The file, whole or the range that is asked for; a redirect to where it lies, if not on this server's disk.

    Raises Http404 where it is missing.
    """
    if found.url:
        return HttpResponseRedirect(found.url)
    if not isinstance(found.file.storage, FileSystemStorage):
        return HttpResponseRedirect(found.file.storage.url(found.file.name))
    try:
        return download(request, found.file.path, found.name, found.sha256)
    except MissingFileError as missing:
        raise Http404 from missing

"""The pictures of a competition's pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response, patch_cache_control
from django.views.decorators.http import require_safe

from .page_context import find_competition


@require_safe
def picture(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """A picture under its own media type; who may see the competition may see it."""
    competition = find_competition(request, slug)
    found = get_object_or_404(competition.pictures, name=name)
    etag = f'"{found.sha256[:32]}"'
    answer = HttpResponse(bytes(found.content), content_type=found.media_type)
    response = get_conditional_response(request, etag=etag, response=answer) or answer
    response["ETag"] = etag
    if competition.is_published:
        patch_cache_control(response, public=True, max_age=300)
    else:
        patch_cache_control(response, private=True, no_cache=True)
    return response

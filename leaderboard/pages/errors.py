"""Error pages. An internal error shows only an incident id; the log holds its cause."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.template.loader import render_to_string

from leaderboard.scoring.queue import new_incident

log = structlog.get_logger(__name__)


def internal_error(request: HttpRequest) -> HttpResponse:
    """Rendered without the request, so that neither session nor database is queried again."""
    incident = new_incident()
    log.error("internal_error", incident=incident)  # Django logs the cause under the same request_id
    return HttpResponseServerError(
        render_to_string("500.html", {"incident": incident, "site_name": settings.SITE_NAME})
    )

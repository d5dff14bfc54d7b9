"""How to submit, with this server's address and the phases' numbers in the examples."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from leaderboard.models import Phase

from .page_context import example_phase


def guide(request: HttpRequest) -> HttpResponse:
    phases = list(
        Phase.objects.visible_to(request.user)
        .exclude(labels=None)
        .select_related("competition", "labels")
        .defer("labels__masks")
    )
    now = timezone.now()
    phases.sort(key=lambda phase: not phase.is_open(now))
    context = {"phases": phases, "example": example_phase(phases), "most_bytes": settings.MAX_UPLOAD_BYTES}
    return render(request, "guide.html", context)

"""What anyone can verify: commitments to hidden labels, the public log, the key of the receipts."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from evaluation.trust.audit_log import COVERED
from leaderboard.actions import receipts
from leaderboard.models import AuditEntry, Competition, LabelSet

from .page_context import find_competition, phases_of, render_in

ENTRIES = 200


def trust(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    entries = _public_log(competition)
    context = {
        "phases": phases_of(competition),
        "label_sets": LabelSet.objects.filter(phase__competition=competition)
        .select_related("phase")
        .defer("masks")
        .order_by("phase__position", "phase__opens_at", "version"),
        "entries": entries[:ENTRIES],
        "all_entries": entries.count(),
        "withheld": AuditEntry.objects.withheld().filter(competition=competition).count(),
        "head": AuditEntry.objects.order_by("-pk").first(),
    }
    return render_in(request, competition, "competition/trust.html", context)


def log_json(request: HttpRequest, slug: str) -> JsonResponse:
    """All public entries with the input of their digests, oldest first."""
    competition = find_competition(request, slug)
    head = AuditEntry.objects.order_by("-pk").first()
    entries = [_entry(entry) for entry in _public_log(competition).order_by("pk")]
    return JsonResponse({"head": head and head.digest, "entries": entries}, json_dumps_params={"indent": 1})


def key(request: HttpRequest) -> HttpResponse:
    return HttpResponse(receipts.public_key(), content_type="application/x-pem-file")


def _public_log(competition: Competition) -> Any:
    return AuditEntry.objects.for_public().filter(competition=competition).order_by("-pk")


def _entry(entry: AuditEntry) -> dict[str, Any]:
    covered = {name: getattr(entry, name) for name in COVERED}
    return {**covered, "at": entry.at.isoformat(), "digest": entry.digest}

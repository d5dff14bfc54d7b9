"""A submission's masks over the public images: a page, and the pictures and bits that it draws from."""

from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_cache_control, patch_vary_headers
from django.views.decorators.cache import never_cache

from evaluation.report.pictures import OVERLAY, mask_overlay, pair_overlay
from evaluation.scoring.counts import Packed
from evaluation.task import TASK, MaskSpec
from leaderboard.models import LabelSet, Phase, PhaseReport, QuickLook, Submission
from leaderboard.models.visibility import Feedback, feedback_of, gallery_is_public, images_may_show, view_of
from leaderboard.reporting.masks import (
    ORDERS,
    counts_of,
    facts_of,
    in_order,
    spec_of,
    stored_masks,
    unpacked,
    with_masks,
)

from .page_context import find_competition, phases_of, render_in, signed_in
from .results import find_submission

PATCHES = 24  # on a page
AN_HOUR = 3600


@signed_in
@never_cache
def masks(request: HttpRequest, pk: int) -> HttpResponse:
    """The patches of a submission, odd ones first, the chosen one large."""
    submission = find_submission(request, pk)
    phase, evaluation = submission.phase, submission.evaluation
    is_mine = submission.team.has_member(request.user)
    context: dict[str, Any] = {"submission": submission, "phase": phase, "is_mine": is_mine}
    if is_mine:
        context["team"] = submission.team
    stored = stored_masks(submission)
    if stored is None or evaluation is None:
        return render_in(request, phase.competition, "submissions/no_masks.html", context)
    feedback = _feedback(request, submission)
    spec = spec_of(evaluation.label_set)
    others = with_masks(submission)
    against = _chosen(request, submission, others)
    counts = counts_of(submission) if feedback.patches else None
    patches = facts_of(unpacked(stored, spec), spec, _masks(against, spec), counts, feedback)
    orders = _first(
        "worst", {key: name for key, (name, _) in ORDERS.items()}, feedback.patches, feedback.errors
    )
    shows = {"mask": "This mask", "change": f"Against no. {against.pk}"} if against else {"mask": "This mask"}
    shows = _first("errors", shows | {"errors": "Against the labels"}, feedback.errors, feedback.errors)
    order = _one_of(orders, request.GET.get("order"))
    ordered = in_order(patches, order)
    chosen = next((p for p in patches if str(p.number) == request.GET.get("patch")), ordered[0])
    grounds = _grounds(request, submission)
    context |= {
        "against": against,
        "others": others,
        "orders": orders,
        "order": order,
        "shows": shows,
        "show": _one_of(shows, request.GET.get("show")),
        "grounds": grounds,
        "ground": _one_of(grounds, request.GET.get("ground")) if grounds else "",
        "page": Paginator(ordered, PATCHES).get_page(request.GET.get("page") or _page(ordered, chosen)),
        "ordered": ordered,
        "chosen": chosen,
        "neighbours": _neighbours(ordered, chosen),
        "figures": _figures(patches, spec),
        "feedback": feedback,
        "has_gallery": _gallery(request, phase),
        "spec": spec,
        "overlay": ";".join(",".join(map(str, colour)) for colour in OVERLAY),
    }
    return render_in(request, phase.competition, "submissions/masks.html", context)


def _gallery(request: HttpRequest, phase: Phase) -> bool:
    """Whether the viewer can read a report of the phase with the pictures of its hardest patches."""
    now = timezone.now()
    view = view_of(phase, request.user, now)
    if not (view.shows("counts") or gallery_is_public(phase, now)):
        return False
    return PhaseReport.objects.for_viewer(phase, view, now).filter(pictures__isnull=False).exists()


def _feedback(request: HttpRequest, submission: Submission) -> Feedback:
    now = timezone.now()
    return feedback_of(submission.phase, view_of(submission.phase, request.user, now), now)


def _first(key: str, choices: dict[str, str], offered: bool, first: bool) -> dict[str, str]:
    """The choices without ``key`` unless it is offered; or with it before all others."""
    others = {other: name for other, name in choices.items() if other != key}
    if not offered:
        return others
    return {key: choices[key], **others} if first else choices


def _one_of(choices: dict[str, str], wanted: str | None) -> str:
    return wanted if wanted in choices else next(iter(choices))


def _chosen(request: HttpRequest, submission: Submission, others: list[Submission]) -> Submission | None:
    """The submission to compare with: the one asked for, otherwise the team's previous one."""
    wanted = next((other for other in others if str(other.pk) == request.GET.get("against")), None)
    earlier = (other for other in others if other.received_at < submission.received_at)
    return wanted or next(earlier, None)


def _masks(submission: Submission | None, spec: MaskSpec) -> Packed | None:
    """Another submission's masks; None if they are of another number or size."""
    stored = stored_masks(submission) if submission else None
    try:
        return None if stored is None else unpacked(stored, spec)
    except ValueError:
        return None


def _grounds(request: HttpRequest, submission: Submission) -> dict[str, str]:
    """The kinds of pictures that are kept of the phase's images and that the viewer may see."""
    phase, now = submission.phase, timezone.now()
    if not images_may_show(phase, view_of(phase, request.user, now), now):
        return {}
    kept = set(QuickLook.objects.filter(phase=phase, patch=1).values_list("kind", flat=True))
    return {composite.key: composite.name for composite in TASK.composites if composite.key in kept}


def _page(ordered: list[Any], chosen: Any) -> int:
    return 1 + ordered.index(chosen) // PATCHES


def _neighbours(ordered: list[Any], chosen: Any) -> tuple[int, int]:
    at = ordered.index(chosen)
    return ordered[at - 1].number, ordered[(at + 1) % len(ordered)].number


def _figures(patches: list[Any], spec: MaskSpec) -> dict[str, Any]:
    changes = [patch.changed for patch in patches if patch.changed]
    return {
        "empty": sum(patch.marked == 0 for patch in patches),
        "full": sum(patch.is_full for patch in patches),
        "share": 100 * sum(patch.marked for patch in patches) / (spec.patches * spec.pixels),
        "changed": sum(changes),
        "changed_in": len(changes),
    }


# What the page draws from


@signed_in
def bits(request: HttpRequest, pk: int) -> HttpResponse:
    """The masks bit by bit, row after row, patch after patch; the browser inflates them."""
    return _bits(stored_masks(find_submission(request, pk)))


@signed_in
def label_bits(request: HttpRequest, pk: int) -> HttpResponse:
    """The labels that a submission was scored on, in the same form, for who may see its errors."""
    submission = find_submission(request, pk)
    return _bits(_labels(request, submission), cache=False)


@signed_in
def mask_picture(request: HttpRequest, pk: int, patch: int, kind: str) -> HttpResponse:
    """The mask of a patch as a PNG file: alone, against another submission's, or against the label."""
    submission = find_submission(request, pk)
    stored, evaluation = stored_masks(submission), submission.evaluation
    if stored is None or evaluation is None or not 1 <= patch <= evaluation.label_set.patches:
        raise Http404
    spec = spec_of(evaluation.label_set)
    packed = unpacked(stored, spec)
    if kind == "mask":
        return _png(mask_overlay(patch - 1, packed, spec))
    other = _labels(request, submission) if kind == "errors" else _other(request, submission)
    if other is None or kind not in ("change", "errors"):
        raise Http404
    try:
        picture = pair_overlay(patch - 1, packed, unpacked(other, spec), spec)
    except ValueError as another_size:
        raise Http404 from another_size
    return _png(picture, cache=kind != "errors")


def image(request: HttpRequest, slug: str, phase_slug: str, patch: int, kind: str) -> HttpResponse:
    """A picture of a patch's public image, from the opening of its phase."""
    competition, now = find_competition(request, slug), timezone.now()
    phase = next((phase for phase in phases_of(competition) if phase.slug == phase_slug), None)
    if phase is None or not images_may_show(phase, view_of(phase, request.user, now), now):
        raise Http404
    png = QuickLook.objects.filter(phase=phase, patch=patch, kind=kind).values_list("png", flat=True).first()
    if png is None:
        raise Http404
    return _png(bytes(png))


def _labels(request: HttpRequest, submission: Submission) -> bytes | None:
    """The labels as stored, if they are kept and the viewer may see the submission's errors."""
    if submission.evaluation is None or not _feedback(request, submission).errors:
        return None
    kept = LabelSet.objects.filter(pk=submission.evaluation.label_set_id).values_list("masks", flat=True)
    return bytes(kept.get()) or None


def _other(request: HttpRequest, submission: Submission) -> bytes | None:
    """The masks of the submission named after ``against``, if the viewer may see it and it is of the same phase."""
    wanted = request.GET.get("against", "")
    if not wanted.isdecimal():
        return None
    visible = Submission.objects.visible_to(request.user).filter(phase=submission.phase_id)
    other = visible.filter(pk=wanted).only("pk").first()
    return None if other is None else stored_masks(other)


def _bits(stored: bytes | None, *, cache: bool = True) -> HttpResponse:
    if stored is None:
        raise Http404
    response = HttpResponse(stored, content_type="application/octet-stream")
    response["Content-Encoding"] = "deflate"
    return _keep(response, cache=cache)


def _png(content: bytes, *, cache: bool = True) -> HttpResponse:
    return _keep(HttpResponse(content, content_type="image/png"), cache=cache)


def _keep(response: HttpResponse, *, cache: bool) -> HttpResponse:
    """One browser may keep it for an hour, and no one between; what shows labels, nobody."""
    patch_vary_headers(response, ["Cookie"])
    if cache:
        patch_cache_control(response, private=True, max_age=AN_HOUR)
    else:
        add_never_cache_headers(response)
    return response

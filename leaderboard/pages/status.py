"""The public status page: the length and age of the queue, and whether workers are alive."""

from datetime import timedelta

from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from leaderboard.models import Evaluation, Worker
from leaderboard.scoring.waiting import usual_seconds


def status(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    queue = Evaluation.objects.unfinished().aggregate(
        waiting=Count("pk", filter=Q(state=Evaluation.State.QUEUED)),
        rescores=Count("pk", filter=Q(state=Evaluation.State.QUEUED, priority=Evaluation.Priority.RESCORE)),
        scoring=Count("pk", filter=Q(state=Evaluation.State.SCORING, lease_until__gte=now)),
        overdue=Count("pk", filter=Q(state=Evaluation.State.SCORING, lease_until__lt=now)),
        oldest=Min("queued_at", filter=Q(state=Evaluation.State.QUEUED, priority=Evaluation.Priority.FRESH)),
    )
    finished = Evaluation.objects.filter(finished_at__gte=now - timedelta(hours=1)).count()
    waited = (now - queue["oldest"]).total_seconds() if queue["oldest"] else None
    alive = Worker.objects.alive(now)
    workers = {
        "workers": alive.scoring().count(),
        "refusing": alive.filter(confinement=Worker.Confinement.REFUSES).count(),
        "unfiltered": alive.filter(confinement=Worker.Confinement.UNFILTERED).count(),
        "silent": Worker.objects.silent(now).count(),
    }
    context = {
        **queue,
        **workers,
        "finished": finished,
        "waited": waited,
        "usual_seconds": usual_seconds(),
        "now": now,
    }
    template = "status_figures.html" if request.headers.get("HX-Request") == "true" else "status.html"
    return render(request, template, context)

"""The ranking of a phase as organisers see it: exact, with counts, whatever the public sees."""

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Phase, Standing
from leaderboard.models.visibility import view_of
from leaderboard.reporting.boards import Board, Choice, Row, board_of
from leaderboard.reporting.earlier_ranks import ranks_at
from leaderboard.reporting.spreadsheets import write_csv

from .scope import within, without_masks

ROWS = 100
COLUMNS = {
    "f1": "F1 %",
    "precision": "Precision %",
    "recall": "Recall %",
    "counts": "TP, FP, FN",
    "entries": "Entries",
    "submission": "Submission",
    "achieved": "Received",
    "latest": "Last submission",
}
USUAL = ("f1", "precision", "recall", "counts", "entries", "submission", "latest")
ORDERS = {
    "rank": "Rank",
    "team": "Team",
    "entries": "Entries",
    "latest": "Last submission",
    "precision": "Precision",
    "recall": "Recall",
}
HEADER = (
    "rank", "kind", "team", "submission", "method", "f1", "precision", "recall", "tp", "fp", "fn",
    "entries", "received_at", "last_submission_at", "sha256", "team_id",
)  # fmt: skip


class ChoiceForm(forms.Form):
    """What an organiser wants to see of a ranking, from the query of the address; nonsense counts as not given."""

    q = forms.CharField(label="Team", max_length=60, required=False)
    o = forms.ChoiceField(label="Sort by", choices=list(ORDERS.items()), required=False)
    since = forms.DateField(
        label="Movement since (UTC)", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    cols = forms.MultipleChoiceField(
        label="Columns",
        choices=list(COLUMNS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    @property
    def chosen(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    @property
    def columns(self) -> list[str]:
        return self.chosen.get("cols") or list(USUAL)

    @property
    def choice(self) -> Choice:
        return Choice(search=self.chosen.get("q", ""), order=self.chosen.get("o") or "rank")

    @property
    def since_moment(self) -> datetime | None:
        day: date | None = self.chosen.get("since")
        return datetime.combine(day, time.min, tzinfo=UTC) if day else None


def rankings(request: HttpRequest, model_admin: Any, pk: int | None = None) -> HttpResponse:
    """One phase's board as chosen by ``ChoiceForm``, `?start=` rows further down, or all of it with `?format=csv`."""
    now = timezone.now()
    phases = phases_of(request, now)
    if pk is None and phases:
        return HttpResponseRedirect(reverse("admin:leaderboard_phase_ranking", args=[phases[0].pk]))
    phase = next((phase for phase in phases if phase.pk == pk), None)
    if pk is not None and phase is None:
        raise Http404
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Ranking: {phase}" if phase else "Rankings",
        "phases": phases,
        "phase": phase,
    }
    if phase:
        form = ChoiceForm({"cols": USUAL, **request.GET.dict(), **lists_of(request)})
        moved = Movement(phase, form.since_moment)
        if request.GET.get("format") == "csv":
            return as_file(
                phase, board_of(phase, request.user, now, choice=form.choice, organises=True), moved
            )
        start = int(request.GET["start"]) if request.GET.get("start", "").isdecimal() else 0
        board = board_of(
            phase, request.user, now, first=start, limit=ROWS, choice=form.choice, organises=True
        )
        context |= {
            "form": form,
            "board": board,
            "columns": form.columns,
            "moved": moved,
            "now": now,
            "before": address(request, start=max(0, start - ROWS)) if start else None,
            "after": address(request, start=start + ROWS) if start + ROWS < board.found else None,
            "csv": address(request, start=None, format="csv"),
            "public": public_state(phase, now),
        }
    return TemplateResponse(request, "admin/leaderboard/rankings.html", context)


def phases_of(request: HttpRequest, now: datetime) -> list[Phase]:
    """The user's phases, open ones first."""
    rows = within(
        without_masks(Phase.objects.select_related("competition", "labels"), "labels__"), request.user
    )
    found = rows.order_by("-competition__created_at", "position", "opens_at")
    return sorted(found, key=lambda phase: not phase.is_open(now))


def lists_of(request: HttpRequest) -> dict[str, list[str]]:
    return {"cols": request.GET.getlist("cols")} if "cols" in request.GET else {}


def address(request: HttpRequest, **changes: Any) -> str:
    """The same page with other parameters; None removes one."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}"


class Movement:
    """How teams moved since a moment, on the exact board."""

    def __init__(self, phase: Phase, since: datetime | None) -> None:
        self.since = since
        self._then = ranks_at(phase, Standing.Kind.EXACT, since) if since and phase.labels else {}

    def of(self, row: Row) -> int | None:
        """Ranks gained (negative: lost); None for a team that was not on the board then."""
        then = self._then.get(row.team_id)
        return then - row.rank if then and row.rank else None


def public_state(phase: Phase, now: Any) -> str:
    """One sentence: what everyone but the organisers sees of this board now."""
    view = view_of(phase, AnonymousUser(), now)
    if view.board is None:
        return "Participants see no board and no scores until the phase ends."
    if view.board == Standing.Kind.SHOWN:
        return "Participants see an older or coarser board until the phase ends."
    metrics = " and ".join(sorted(view.metrics, key=["precision", "recall", "f1"].index)).replace("f1", "F1")
    return f"Participants see this board, with {metrics}."


def as_file(phase: Phase, board: Board, moved: Movement) -> HttpResponse:
    """All rows with all columns, whichever are shown on the page."""
    header = (*HEADER, f"moved_since_{moved.since:%Y-%m-%d}") if moved.since else HEADER
    kinds = [("team", board.rows or []), ("reference", board.references)]
    rows = [
        (
            row.rank, kind, row.team, row.submission.pk, row.submission.method,
            *(ratio.value if ratio else None for ratio in (row.scores.f1, row.scores.precision, row.scores.recall)),
            *(row.scores.counts or (None, None, None)),
            row.entries, row.achieved_at.isoformat(), row.latest_at.isoformat() if row.latest_at else None,
            row.submission.sha256, row.team_id,
            *((moved.of(row),) if moved.since else ()),
        )
        for kind, lines in kinds
        for row in lines
    ]  # fmt: skip
    response = HttpResponse(write_csv(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{phase.competition.slug}-{phase.slug}.csv"'
    return response
